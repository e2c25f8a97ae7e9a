"""A CSV file as somebody sends it: encoding, delimiter and header, before anything is parsed."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lichen.core.errors import SourceError, Where
from lichen.starters.words import column_names

DELIMITERS = (",", ";", "\t", "|")
_USUAL = re.compile(r"[^\W_][^\s,;{}()=\"']*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_YEAR = re.compile(r"(19|20)\d\d")
_FIRST = 64 * 1024
_HINT = "name a text file whose first line names the columns, separated by commas"


@dataclass(frozen=True)
class Raw:
    """A file's header, and how the file has to be read; `repairs` say why not as it is."""

    path: Path
    header: tuple[str, ...]
    delimiter: str
    encoding: str
    repairs: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns' names in the feed: the header's own where nothing is repaired."""
        return column_names(self.header) if self.repairs else self.header


def look(path: Path) -> Raw:
    """Return what a CSV file looks like; raises SourceError for what is none."""
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.csv")) if path.parent.is_dir() else []
        raise SourceError("there is no such file", where=Where(path), allowed=near, given=path.name)
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        head = file.read(_FIRST)
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines:
        raise SourceError("this file is empty", where=Where(path), hint=_HINT)
    delimiter = max(DELIMITERS, key=lambda d: (len(_fields(lines[0], d)), d == ","))
    header = tuple(_fields(lines[0], delimiter))
    _refuse_values(path, header, [_fields(line, delimiter) for line in lines[1:200]])
    if len(lines) < 2:
        raise SourceError(
            "this file has a header and no rows",
            where=Where(path, 1),
            hint="there is nothing to learn from in it",
        )
    repairs = tuple(_repairs(header, delimiter, encoding))
    return Raw(path, header, delimiter, encoding, repairs)


def _encoding(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(4)
        if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        try:
            while chunk := file.read(1 << 20):
                if b"\0" in chunk:
                    raise SourceError("this is no text file", where=Where(path), hint=_HINT)
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _refuse_values(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Raise where the first line holds values: numbers, or what stands in the rows again."""
    numbers = [c for c in header if _NUMBER.fullmatch(c) and not _YEAR.fullmatch(c.strip())]
    again = [
        name
        for place, name in enumerate(header)
        if name and any(place < len(row) and row[place] == name for row in rows)
    ]
    if found := numbers or (again if len(again) > len(header) / 2 else []):
        raise SourceError(
            f"the first line seems to hold values ({', '.join(found[:3])}), not names",
            where=Where(path, 1),
            hint="write a line that names the columns above it",
        )


def _repairs(header: Sequence[str], delimiter: str, encoding: str) -> list[str]:
    found = []
    if delimiter != ",":
        words = {";": "semicolons", "\t": "tabs", "|": "bars"}
        found.append(f"its columns are separated by {words[delimiter]}")
    if encoding not in ("utf-8", "utf-8-sig"):
        found.append(f"it is written in {encoding}")
    lower = [name.lower() for name in header]
    for place, name in enumerate(header, 1):
        if not name.strip():
            found.append(f"column {place} has no name")
        elif lower.index(name.lower()) != place - 1:
            found.append(f"the name {name!r} stands twice")
        elif not _USUAL.fullmatch(name):
            found.append(f"{name!r} is no name that every engine takes")
    return found
