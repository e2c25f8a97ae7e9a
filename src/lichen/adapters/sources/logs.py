"""The logs connector: follows text files line by line, through rotation and truncation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from arro3.core import Array, DataType, Table

from lichen.core.errors import LichenError, SourceError
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Outside, Settings

_COMMON = (
    r'(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" '
    r"(?P<status>\d{3}) (?P<size>\S+)"
)
PATTERNS = {  # as web servers write them
    "common": _COMMON,
    "combined": _COMMON + r' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"',
}
_LINES, _TAIL = 50_000, 64  # records of a batch; bytes before a place, by which it is known again


class LogsSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of logs may say besides.

    `format` is `json` (an object a line), `common` or `combined` (of web servers), or `pattern`:
    then `pattern` is a regular expression, and its named groups are the columns. `begins` matches
    the line with which a record begins, where one may take several.
    """

    path: str
    format: str = "json"
    pattern: str | None = None
    begins: str | None = None


class _Place(msgspec.Struct, frozen=True):
    """How far one file was read; `before` is a digest of what stands just before `offset`."""

    name: str
    offset: int = 0
    line: int = 0
    before: str = ""
    times: int = 0  # how often it was cut short and begun again


_Places = dict[str, _Place]  # by the file's identity, whatever it is called now
_decode = msgspec.json.Decoder(_Places).decode


class Logs:
    """Reads the files that match a glob, in the order in which they were last written."""

    Settings: type[LogsSettings] = LogsSettings

    def __init__(self, settings: LogsSettings, outside: Outside) -> None:
        self._path, self._root = settings.path, outside.root
        self._columns = _pattern(settings)
        self._begins = _compiled(settings.begins, "begins") if settings.begins else None

    def look(self, cursor: str | None) -> Mark:
        """Return where each file ends now."""
        places = _decoded(cursor)
        ends = {id_: path.stat().st_size for id_, path in self._files()}
        new = sum(max(0, end - _at(places, id_)) for id_, end in ends.items())
        gone = sorted(p.name for id_, p in places.items() if id_ not in ends)
        lost = f"{', '.join(gone[:3])} {'is' if len(gone) == 1 else 'are'} gone" if gone else ""
        until = msgspec.json.encode(dict(sorted(ends.items()))).decode()
        return Mark(until=until, said=f"{new:,} bytes were written", gone=lost)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> _LogReading:
        """Read the lines that were complete at the mark."""
        ends: dict[str, int] = msgspec.json.decode(mark.until)
        files = [(id_, path, ends[id_]) for id_, path in self._files() if id_ in ends]
        return _LogReading(self, _decoded(cursor), files, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a file forgets nothing by being read."""

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _files(self) -> list[tuple[str, Path]]:
        if Path(self._path).is_absolute():
            base, pattern = Path("/"), self._path[1:]
        else:
            base, pattern = self._root, self._path
        found = [(p.stat(), p) for p in base.glob(pattern) if p.is_file()]
        found.sort(key=lambda each: (each[0].st_mtime_ns, each[1]))
        return [(f"{stat.st_dev:x}.{stat.st_ino:x}", path) for stat, path in found]

    def records(self, lines: Sequence[tuple[int, bytes]], file: str) -> tuple[Any, Any]:
        """Return records as a table, and those that do not fit the pattern as another."""
        if self._columns is None:
            return _payloads(lines, file), None
        groups = list(self._columns.groupindex)
        rows: list[dict[str, str | None]] = []
        good, bad = [], []
        for line, raw in lines:
            try:
                found = self._columns.fullmatch(raw.decode())
                reason = "it does not fit the pattern"
            except UnicodeDecodeError:
                found, reason = None, "it is no UTF-8 text"
            if found is None:
                bad.append((line, raw, reason))
            else:
                rows.append(found.groupdict())
                good.append(line)
        columns = {g: Array([row[g] for row in rows], DataType.utf8()) for g in groups}
        return Table.from_pydict({**columns, **_where(good, file)}), _rejects(bad, file)

    def begins(self, line: bytes) -> bool:
        """Return whether a line begins a record."""
        return self._begins is None or bool(self._begins.match(line.decode(errors="replace")))


class _LogReading:
    """The records of several files, one after the other."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self, logs: Logs, places: _Places, files: list[tuple[str, Path, int]], limits: Limits
    ) -> None:
        self._logs, self._places, self._files = logs, dict(places), files
        self._most = min(limits.rows, _LINES)

    def __iter__(self) -> Iterator[Batch]:
        for id_, path, end in self._files:
            try:
                with path.open("rb") as file:
                    yield from self._of(id_, path, file, end)
            except FileNotFoundError:
                continue  # it was moved between the two looks: the next one finds it by its id
        self.ended = True

    def close(self) -> None:
        """Do nothing: a file is open only while a batch of it is read."""

    def _of(self, id_: str, path: Path, file: BinaryIO, end: int) -> Iterator[Batch]:
        place = self._places.get(id_) or _Place(path.name)
        if place.offset > end or _before(file, place.offset) != place.before:
            place = _Place(path.name, times=place.times + 1)  # cut short, and begun again
            end = max(end, path.stat().st_size)
        part = f"{place.name}@{id_}" + (f".{place.times}" if place.times else "")
        while True:
            lines, place = self._lines(file, place, end)
            self._places[id_] = place
            if not lines:
                return
            rows, rejects = self._logs.records(lines, part)
            yield Batch(rows, msgspec.json.encode(self._places).decode(), rejects)

    def _lines(
        self, file: BinaryIO, place: _Place, end: int
    ) -> tuple[list[tuple[int, bytes]], _Place]:
        """Read complete records from a place on; the last one of several lines waits for the next.

        A line without an end is still being written.
        """
        file.seek(place.offset)
        records: list[tuple[int, bytes]] = []
        number, offset, done = place.line, place.offset, (place.line, place.offset)
        while offset < end and (line := file.readline()).endswith(b"\n"):
            number, offset = number + 1, offset + len(line)
            text = line.rstrip(b"\r\n")
            if self._logs.begins(text) or not records:
                if len(records) == self._most:
                    break
                done = (number - 1, offset - len(line))
                records.append((number, text))
            else:
                records[-1] = (records[-1][0], records[-1][1] + b"\n" + text)
        else:
            done = (number, offset)
        found = [(line, text) for line, text in records if text.strip() and line <= done[0]]
        before = _before(file, done[1])
        return found, _Place(place.name, done[1], done[0], before, place.times)


def _before(file: BinaryIO, offset: int) -> str:
    begin = max(0, offset - _TAIL)
    file.seek(begin)
    found = file.read(offset - begin)
    file.seek(offset)
    return hashlib.sha256(found).hexdigest()[:16] if offset else ""


def _pattern(settings: LogsSettings) -> re.Pattern[str] | None:
    if settings.format == "json":
        return None
    if settings.format in PATTERNS:
        return re.compile(PATTERNS[settings.format])
    if settings.format != "pattern":
        raise SourceError(
            f"there is no log format {settings.format!r}",
            allowed=("json", *PATTERNS, "pattern"),
            given=settings.format,
        )
    if settings.pattern is None:
        raise SourceError("the format is a pattern, and none is given", hint="add a pattern")
    found = _compiled(settings.pattern, "pattern")
    if not found.groupindex:
        raise SourceError("pattern: it names no groups", hint="name the columns: (?P<name>…)")
    return found


def _compiled(text: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise LichenError(f"{what}: this is no regular expression: {error}") from error


def _decoded(cursor: str | None) -> _Places:
    return _decode(cursor) if cursor is not None else {}


def _at(places: Mapping[str, _Place], id_: str) -> int:
    return places[id_].offset if id_ in places else 0


def _where(lines: Sequence[int], file: str) -> dict[str, Array]:
    return {
        "_file": Array([file] * len(lines), DataType.utf8()),
        "_line": Array(list(lines), DataType.int64()),
    }


def _payloads(lines: Sequence[tuple[int, bytes]], file: str) -> Table:
    raw = Array([text for _, text in lines], DataType.binary())
    return Table.from_pydict({"_payload": raw, **_where([line for line, _ in lines], file)})


def _rejects(bad: Sequence[tuple[int, bytes, str]], file: str) -> Table | None:
    if not bad:
        return None
    return Table.from_pydict(
        {
            **_where([line for line, _, _ in bad], file),
            "raw": Array([raw for _, raw, _ in bad], DataType.binary()),
            "reason": Array([reason for _, _, reason in bad], DataType.utf8()),
        }
    )
