"""A connector as a package of somebody else would add it: records in a list of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from arro3.core import Array, DataType, Table

from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Outside, Settings


class LinesSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of JSON lines: `{"n": 1, "name": "a"}`, or `{"n": 1, "gone": true}`."""

    path: str


class Lines:
    """Reads the file from a line on; the cursor is the number of lines that were read."""

    Settings = LinesSettings

    def __init__(self, settings: LinesSettings, outside: Outside) -> None:
        self._path = outside.root / settings.path

    def look(self, cursor: str | None) -> Mark:
        lines = len(_lines(self._path))
        return Mark(until=str(lines), said=f"{lines - int(cursor or 0)} new lines")

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> _Reading:
        return _Reading(_lines(self._path)[: int(mark.until)], int(cursor or 0), limits.rows)

    def acknowledge(self, cursor: str) -> None:
        pass

    def close(self) -> None:
        pass


class _Reading:
    whole: tuple[str, ...] = ()
    ended = False

    def __init__(self, lines: list[str], at: int, most: int) -> None:
        self._lines, self._at, self._most = lines, at, most

    def __iter__(self) -> Iterator[Batch]:
        while self._at < len(self._lines):
            some = [json.loads(line) for line in self._lines[self._at : self._at + self._most]]
            places = range(self._at + 1, self._at + 1 + len(some))
            self._at += len(some)
            rows = Table.from_pydict(
                {
                    "n": Array([row["n"] for row in some], DataType.int64()),
                    "name": Array([row.get("name") for row in some], DataType.utf8()),
                    "_file": Array(["lines"] * len(some), DataType.utf8()),
                    "_line": Array(list(places), DataType.int64()),
                    "_removes": Array([row.get("gone", False) for row in some], DataType.bool()),
                }
            )
            yield Batch(rows, str(self._at))
        self.ended = True

    def close(self) -> None:
        pass


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
