"""Sources that are followed and killed: one that forgets, and two that keep their own cursor."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Table

from lichen.adapters.sources.logs import Logs, LogsSettings
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Outside, Settings

ENTRY_POINTS = """[lichen.connectors]
spool = followers:Spool
early = followers:Early
late = followers:Late
"""


def install(place: Path) -> Path:
    """Write what an installed package that adds these connectors would be, and return where."""
    info = place / "followers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: followers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return place


class SpoolSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder with a file for each few records, named by its number."""

    path: str


class Spool:
    """Gives each file once: what was acknowledged is deleted, as a queue would do."""

    Settings = SpoolSettings

    def __init__(self, settings: SpoolSettings, outside: Outside) -> None:
        self._folder = outside.root / settings.path

    def look(self, cursor: str | None) -> Mark:
        numbers = [n for n, _ in self._files() if n > int(cursor or 0)]
        until = str(max(numbers, default=int(cursor or 0)))
        return Mark(until=until, said=f"{len(numbers)} new files")

    def read(self, cursor: str | None, mark: Mark, _limits: Limits) -> _Spooled:
        begin, end = int(cursor or 0), int(mark.until)
        return _Spooled([(n, p) for n, p in self._files() if begin < n <= end])

    def acknowledge(self, cursor: str) -> None:
        for number, path in self._files():
            if number <= int(cursor):
                path.unlink()

    def close(self) -> None:
        pass

    def _files(self) -> list[tuple[int, Path]]:
        return sorted((int(path.stem), path) for path in self._folder.glob("*.json"))


class _Spooled:
    whole: tuple[str, ...] = ()
    ended = False

    def __init__(self, files: list[tuple[int, Path]]) -> None:
        self._files = files

    def __iter__(self) -> Iterator[Batch]:
        for number, path in self._files:
            numbers = json.loads(path.read_text())
            rows = Table.from_pydict(
                {
                    "n": Array(numbers, DataType.int64()),
                    "_file": Array([path.name] * len(numbers), DataType.utf8()),
                    "_line": Array(list(range(len(numbers))), DataType.int64()),
                }
            )
            yield Batch(rows, str(number))
        self.ended = True

    def close(self) -> None:
        pass


class BesideSettings(LogsSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logs, and the file in which the connector keeps its own cursor."""

    cursor: str


class _Beside(Logs):
    """Reads on from a cursor of its own, whatever was committed."""

    Settings: type[LogsSettings] = BesideSettings

    def __init__(self, settings: LogsSettings, outside: Outside) -> None:
        assert isinstance(settings, BesideSettings)
        super().__init__(settings, outside)
        self.kept = Path(settings.cursor)

    def own(self) -> str | None:
        return self.kept.read_text() if self.kept.exists() else None

    def keep(self, cursor: str) -> None:
        part = self.kept.with_suffix(".part")
        part.write_text(cursor)
        part.replace(self.kept)

    def look(self, _cursor: str | None) -> Mark:
        return super().look(self.own())


class Early(_Beside):
    """Keeps its cursor as it reads, as consumers do that commit by themselves."""

    def read(self, _cursor: str | None, mark: Mark, limits: Limits) -> Any:
        return _Kept(super().read(self.own(), mark, limits), self)


class Late(_Beside):
    """Keeps its cursor after the commit, and has no place to tell a record's second coming by."""

    def read(self, _cursor: str | None, mark: Mark, limits: Limits) -> Any:
        return _Renumbered(super().read(self.own(), mark, limits))

    def acknowledge(self, cursor: str) -> None:
        self.keep(cursor)


class _Wrapped:
    def __init__(self, reading: Any) -> None:
        self.reading = reading

    @property
    def whole(self) -> tuple[str, ...]:
        return ()

    @property
    def ended(self) -> bool:
        return bool(self.reading.ended)

    def close(self) -> None:
        self.reading.close()


class _Kept(_Wrapped):
    def __init__(self, reading: Any, beside: _Beside) -> None:
        super().__init__(reading)
        self._beside = beside

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.reading:
            self._beside.keep(batch.cursor)
            yield batch


class _Renumbered(_Wrapped):
    def __iter__(self) -> Iterator[Batch]:
        for batch in self.reading:
            table = Table.from_arrow(batch.rows)
            begin = time.monotonic_ns()
            lines = Array(list(range(begin, begin + table.num_rows)), DataType.int64())
            index = table.column_names.index("_line")
            yield Batch(table.set_column(index, "_line", lines), batch.cursor, batch.rejects)


class Feeder:
    """Writes to a log and to a spool, all the time, until it is left; knows what it wrote.

    It writes in bursts, so that a follower is sometimes behind and sometimes waits.
    """

    def __init__(self, log: Path, spool: Path | None = None, *, seed: int = 5) -> None:
        self._log, self._spool, self._pick = log, spool, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self.logged: list[int] = []
        self.spooled: list[int] = []
        self.poison: list[bytes] = []

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _feed(self) -> None:
        for burst in itertools.count(1):
            numbers = range(len(self.logged), len(self.logged) + self._pick.choice((1, 10, 20)))
            lines = [b'{"n": %d}\n' % n for n in numbers]
            if burst % 3 == 0:
                self.poison.append(b"poison %d" % burst)
                lines.append(self.poison[-1] + b"\n")
            with self._log.open("ab", buffering=0) as file:
                file.write(b"".join(lines))
            self.logged += numbers
            if self._spool is not None:
                self._put(burst, list(numbers))
            if self._stop.wait(self._pick.choice((0.01, 0.03, 0.06))):
                return

    def _put(self, burst: int, numbers: list[int]) -> None:
        assert self._spool is not None
        part = self._spool / "part"
        part.write_text(json.dumps(numbers))
        part.rename(self._spool / f"{burst}.json")
        self.spooled += numbers
