"""The changes of a table, by the binlog: a first snapshot, and all that was committed after it.

What was not told by rows (TRUNCATE, ALTER, a statement logged as such, a log that was purged)
cannot be followed. The table is then read whole again, and compared by its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.mysql import events as log
from lichen.adapters.sources.mysql.columns import Column, table_of
from lichen.adapters.sources.mysql.events import Event, events, number
from lichen.adapters.sources.mysql.follower import Again, Follower, Place, Row
from lichen.adapters.sources.mysql.logged import check_server, followed, log_end, logs_of
from lichen.adapters.sources.mysql.pull import column
from lichen.adapters.sources.mysql.rows import whole_batches
from lichen.adapters.sources.mysql.server import Server, Session, identity, same
from lichen.adapters.sources.mysql.settings import MysqlSettings
from lichen.core.errors import SourceAway, SourceError
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Reading

_ROWS, _BYTES = 20_000, 8 << 20  # of a batch


def look_changes(session: Session, cursor: str | None) -> Mark:
    """Return where the log ends now."""
    check_server(session)
    file, position = log_end(session)
    until = f"{file}:{position}"
    if cursor is None:
        return Mark(until=until, said="the table is read for the first time")
    place = _decoded(cursor)
    logs = logs_of(session)
    if reason := _broken(place, logs):
        return Mark(until=until, said=f"the table is read whole again: {reason}")
    size = sum(s for f, s in logs.items() if number(place.file) <= number(f) < number(file))
    return Mark(until=until, said=f"{max(0, size + position - place.position):,} bytes of binlog")


def follow(
    settings: MysqlSettings, server: Server, cursor: str | None, mark: Mark, limits: Limits
) -> Reading:
    """Return what reads on: the log, or, where that cannot be followed, the whole table."""
    if cursor is None:
        return SnapshotReading(settings, server)
    place = _decoded(cursor)
    with closing(Session(server)) as session:
        same(server, place.server, identity(session))
        logs = logs_of(session)
    if _broken(place, logs):
        return SnapshotReading(settings, server)
    if place.file not in logs or logs[place.file] < place.position:
        raise _begun_anew(server, place.file)
    return ChangesReading(settings, server, place, mark, limits)


def _broken(place: Place, logs: Mapping[str, int]) -> str:
    """Return why the log cannot be followed from a place, if it cannot."""
    first = min(logs, key=number, default=place.file)
    if not place.again and number(place.file) < number(first):
        return f"the binlog before {first} was purged, and {place.file} was not read to its end"
    return place.again


def _begun_anew(server: Server, file: str) -> SourceError:
    return server.refusal(
        f"the binlog was begun anew, or is another server's: {file} is not the file that was read",
        "go back to the server that was read, or read all anew from this one: lichen run --full",
    )


class SnapshotReading:
    """All rows of a table as of one moment, and the place in the log that belongs to it."""

    ended = False

    def __init__(self, settings: MysqlSettings, server: Server) -> None:
        self._settings, self._server = settings, server
        self._session: Session | None = None
        self.whole: tuple[str, ...] = (settings.part,)

    def __iter__(self) -> Iterator[Batch]:
        self._session = session = Session(self._server)
        check_server(session)
        file, position = snapshot(session)
        table = followed(session, self._settings)
        with closing(Session(self._server)) as other:
            born = next(e.time for e in events(other, file, 4) if e.type == log.FORMAT)
            other.abandon()
        place = Place(identity(session), file, position, list(table.columns), born)
        part, cursor = self._settings.part, _encoded(place)
        yield from whole_batches(session, table.relation(), part, cursor)
        self.ended = True

    def close(self) -> None:
        """Give back the connection, and with it the snapshot."""
        if self._session is not None:
            self._session.close()


def snapshot(session: Session, *, locking: bool = False) -> tuple[str, int]:
    """Begin a transaction that sees the tables as of one place in the log; return the place.

    MariaDB tells it without a lock. Elsewhere nobody may write for the moment that it takes.
    """
    begin = "start transaction with consistent snapshot"
    if not locking:
        session.ask(begin)
        told = dict(session.ask("show status like 'binlog_snapshot%'"))
        told = {str(k).lower(): v for k, v in told.items()}
        if told.get("binlog_snapshot_file"):
            return told["binlog_snapshot_file"], int(told["binlog_snapshot_position"])
        session.ask("rollback")
    session.ask(f"set session lock_wait_timeout = {max(1, round(session.server.timeout))}")
    session.ask("flush tables with read lock")
    try:
        session.ask(begin)
        return log_end(session)
    finally:
        session.ask("unlock tables")


class ChangesReading:
    """What the log tells of one table from a place on, up to a mark."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self,
        settings: MysqlSettings,
        server: Server,
        place: Place,
        mark: Mark,
        limits: Limits,
    ) -> None:
        self._settings, self._server, self._place = settings, server, place
        file, _, position = mark.until.rpartition(":")
        self._to, self._last = (number(file), int(position)), (file, int(position))
        self._most = min(limits.rows, _ROWS)
        self._session: Session | None = None
        self._rows: list[Row] = []
        self._size = 0

    def __iter__(self) -> Iterator[Batch]:
        if (number(self._place.file), self._place.position) >= self._to:
            self.ended = True
            return
        self._session = Session(self._server)
        self._follower = Follower(self._session, self._settings, self._place)
        try:
            yield from self._until_the_mark()
        except Again as why:
            yield self._batch(again=str(why))
            return
        if (reason := self._altered()) is not None:
            yield self._batch(again=reason)
            return
        self.ended = True
        file, position = self._last
        yield self._batch(file=file, position=position, line=0)

    def close(self) -> None:
        """Give back the connection."""
        if self._session is not None:
            self._session.abandon()

    def _until_the_mark(self) -> Iterator[Batch]:
        assert self._session is not None
        place, reached = self._place, (0, 0)
        for event in events(self._session, place.file, place.position):
            if event.type == log.FORMAT:
                self._born(event)
            for row in self._follower.rows(event):
                if row.line > self._place.line:
                    self._rows.append(row)
                if len(self._rows) >= self._most:
                    yield self._batch()
            self._size += len(event.body) if self._rows else 0
            if self._size >= _BYTES:
                yield self._batch()
            if event.end:
                reached = event.place
            if reached >= self._to:
                return
        raise SourceAway(
            f"{self._server}: the binlog ended before {self._last}, where it was seen to end",
            where=self._server.where,
        )

    def _born(self, event: Event) -> None:
        """Make sure that the file is the one that was read before."""
        place = self._follower.place
        if event.file == place.file and place.born not in (0, event.time):
            raise _begun_anew(self._server, place.file)
        self._follower.place = msgspec.structs.replace(place, file=event.file, born=event.time)

    def _altered(self) -> str | None:
        """Say if the table has other columns by now, though nothing in the log told of it."""
        with closing(Session(self._server)) as session:
            now = table_of(session, self._settings)
        changed = list(now.columns) != self._place.layout
        return "its columns are others than the log told" if changed else None

    def _batch(self, **more: Any) -> Batch:
        """Return the rows that were gathered, and the place after them."""
        rows, self._rows, self._size = self._rows, [], 0
        line = rows[-1].line if rows else self._place.line
        self._place = msgspec.structs.replace(self._follower.place, **{"line": line, **more})
        return Batch(_arrow(rows, self._place.layout, self._settings.part), _encoded(self._place))


def _arrow(rows: Sequence[Row], layout: Sequence[Column], part: str) -> Table:
    cells = list(zip(*(row.values for row in rows), strict=True)) or [()] * len(layout)
    columns = {
        c.name: column(values, c.kind)
        for c, values in zip(layout, cells, strict=True)
        if not c.name.startswith("_")
    }
    return Table.from_pydict(
        {
            **columns,
            "_file": Array([part] * len(rows), DataType.utf8()),
            "_line": Array([row.line for row in rows], DataType.int64()),
            "_removes": Array([row.removes for row in rows], DataType.bool()),
        }
    )


def _decoded(cursor: str) -> Place:
    return msgspec.json.decode(cursor, type=Place)


def _encoded(place: Place) -> str:
    return msgspec.json.encode(place).decode()
