"""Tables and queries that are read by SELECT: whole, or from the greatest value of a column on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.mysql.columns import Item, Relation, relation_of
from lichen.adapters.sources.mysql.pull import nothing, tables
from lichen.adapters.sources.mysql.server import Server, Session, identity, literal, same
from lichen.adapters.sources.mysql.settings import MysqlSettings, overlap_of
from lichen.core.errors import SourceError
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits


def placed(rows: Table, part: str, line: int) -> Table:
    """Return rows with their place: the part, and lines that follow one."""
    names = rows.column_names
    columns = {name: rows.column(name) for name in names}
    lines = list(range(line + 1, line + 1 + rows.num_rows))
    return Table.from_pydict(
        {
            **columns,
            "_file": Array([part] * rows.num_rows, DataType.utf8()),
            "_line": Array(lines, DataType.int64()),
        }
    )


def whole_batches(session: Session, relation: Relation, part: str, cursor: str) -> Iterator[Batch]:
    """Yield all rows; at least one batch, be it empty."""
    line = 0
    with closing(tables(session, relation, relation.select())) as found:
        for table in found:
            yield Batch(placed(table, part, line), cursor)
            line += table.num_rows
    if not line:
        yield Batch(placed(nothing(relation), part, 0), cursor)


class WholeReading:
    """All rows of a table or a query, by one SELECT, as of one moment."""

    ended = False

    def __init__(self, settings: MysqlSettings, server: Server) -> None:
        self._settings, self._server = settings, server
        self._session: Session | None = None
        self.whole: tuple[str, ...] = (settings.part,)

    def __iter__(self) -> Iterator[Batch]:
        self._session = Session(self._server)
        relation = relation_of(self._session, self._settings)
        yield from whole_batches(self._session, relation, self._settings.part, "{}")
        self.ended = True

    def close(self) -> None:
        """Give back the connection."""
        if self._session is not None:
            self._session.close()


class _Place(msgspec.Struct, frozen=True):
    """Rows were read up to the value `at`, and of those at it up to the key `after`.

    Without `after` all at the value were read, which were `ties` then: more may have come since.
    """

    server: str
    at: str
    after: list[str | None] | None = None
    ties: int = 0
    line: int = 0


class _Point(msgspec.Struct, frozen=True):
    """The greatest value, None where there is no row, and how many rows have it."""

    at: str | None
    ties: int


def look_by(session: Session, settings: MysqlSettings, cursor: str | None) -> Mark:
    """Return the greatest value of the column, and how many rows have it."""
    relation = relation_of(session, settings)
    item = column_of(relation, settings, session.server)
    top = f"(select max({item.sql}) from {relation.sql})"  # noqa: S608
    found = session.ask(
        f"select max({item.sql}), count(*) from {relation.sql} where {item.sql} = {top}"  # noqa: S608
    )
    point = _Point(found[0][0], int(found[0][1]))
    was = _decoded(cursor)
    said = f"{item.name} went from {was.at} to {point.at}" if was else f"{item.name} is {point.at}"
    if was and was.at == point.at:
        said = f"more rows came with {item.name} {point.at}"
    if point.at is None:
        said = "there is no row"
    return Mark(until=msgspec.json.encode(point).decode(), said=said)


def column_of(relation: Relation, settings: MysqlSettings, server: Server) -> Item:
    """Return the column by which rows are read; raises SourceError."""
    item = relation.item(str(settings.incremental))
    if item is None:
        raise server.refusal(
            f"incremental: there is no column {settings.incremental!r}",
            allowed=relation.names(),
            given=settings.incremental,
        )
    if not item.sorts:
        raise server.refusal(
            f"incremental: values of {item.name!r} cannot be compared exactly",
            allowed=("an integer", "a decimal", "a time", "a text"),
        )
    return item


class IncrementalReading:
    """Rows from the last value on, in the order of the column and the key."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self,
        settings: MysqlSettings,
        server: Server,
        cursor: str | None,
        mark: Mark,
        limits: Limits,
    ) -> None:
        self._settings, self._server, self._limits = settings, server, limits
        self._was = _decoded(cursor)
        self._to = msgspec.json.decode(mark.until, type=_Point)
        self._session: Session | None = None

    def __iter__(self) -> Iterator[Batch]:
        was, to = self._was, self._to
        if to.at is None or (was and (was.at, was.after, was.ties) == (to.at, None, to.ties)):
            self.ended = True
            return
        self._session = Session(self._server)
        self._identity = identity(self._session)
        same(self._server, was.server if was else None, self._identity)
        relation = relation_of(self._session, self._settings)
        item = column_of(relation, self._settings, self._server)
        keys = [self._key(relation, key) for key in self._settings.keys]
        yield from self._batches(relation, item, keys)

    def close(self) -> None:
        """Give back the connection."""
        if self._session is not None:
            self._session.close()

    def _key(self, relation: Relation, key: str) -> Item:
        found = relation.item(key)
        if found is None:
            raise self._server.refusal(
                f"key: there is no column {key!r}", allowed=relation.names(), given=key
            )
        return found

    def _batches(self, relation: Relation, item: Item, keys: Sequence[Item]) -> Iterator[Batch]:
        """Yield batches; each but the last says after which row it ends."""
        assert self._session is not None
        sql = self._sql(relation, item, keys)
        line = self._was.line if self._was else 0
        came, held = 0, None
        with closing(tables(self._session, relation, sql)) as found:
            for table in found:
                if held is not None:
                    yield held
                came += table.num_rows
                last = table.slice(table.num_rows - 1, 1)
                fresh = self._fresh(table, item, keys) if came == table.num_rows else table
                fresh = fresh if fresh.num_rows else nothing(relation)
                place = _Place(
                    self._identity,
                    str(_text(last, item)),
                    [_text(last, key) for key in keys],
                    line=line + fresh.num_rows,
                )
                held = Batch(placed(fresh, self._settings.part, line), _encoded(place))
                line = place.line
        if came > self._limits.rows and held is not None:
            yield held
            return
        all_ = _Place(self._identity, str(self._to.at), None, self._to.ties, line)
        rows = held.rows if held is not None else placed(nothing(relation), self._settings.part, 0)
        self.ended = True
        yield Batch(rows, _encoded(all_))

    def _fresh(self, table: Table, item: Item, keys: Sequence[Item]) -> Table:
        """Leave the row after which it goes on, where it comes first again."""
        if self._was is None or self._was.after is None or not table.num_rows:
            return table
        one = table.slice(0, 1)
        again = [_text(one, key) for key in keys] == self._was.after
        return table.slice(1) if again and _text(one, item) == self._was.at else table

    def _sql(self, relation: Relation, item: Item, keys: Sequence[Item]) -> str:
        orders = [item.sql, *(_ordered(key) for key in keys)]
        most = _value(item, str(self._to.at))
        wanted = [f"{item.sql} <= {most}"]
        if self._was is not None:
            wanted.append(self._from(item, keys, self._was))
        # One more than is asked for: the row after which it goes on may come again.
        return (
            f"{relation.select()} where {' and '.join(wanted)} "
            f"order by {', '.join(orders)} limit {self._limits.rows + 1}"
        )

    def _from(self, item: Item, keys: Sequence[Item], was: _Place) -> str:
        at = _value(item, was.at)
        if was.after is not None:
            after = _beyond(
                [(_ordered(k), _value(k, v)) for k, v in zip(keys, was.after, strict=True)]
            )
            return f"({item.sql} > {at} or ({item.sql} = {at} and {after}))"
        if self._settings.overlap is None:
            return f"{item.sql} >= {at}"
        back = overlap_of(self._settings.overlap)
        if item.sorts == "moment":
            at = f"cast({at} as datetime(6)) - interval {round(back * 10**6)} microsecond"
        elif item.sorts == "number":
            at = f"{at} - {back:f}"
        else:
            raise self._server.refusal(
                f"overlap: {item.name!r} is a text", allowed=("a number", "a time")
            )
        return f"{item.sql} >= {at}"


def _beyond(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the condition that a key is not before another; NULL is before all."""
    (column, value), *rest = pairs
    after = f"{column} is not null" if value == "null" else f"{column} > {value}"
    same = f"{column} <=> {value}"
    return f"({after} or ({same} and {_beyond(rest)}))" if rest else f"({after} or {same})"


def _ordered(item: Item) -> str:
    """Return a column as it is sorted: lists sort by their texts, as they are compared."""
    return item.sql if item.sorts or item.kind != "text" else f"cast({item.sql} as char)"


def _text(row: Table, item: Item) -> str | None:
    value: Any = row.column(item.name)[0].as_py()
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else str(value)


def _value(item: Item, text: str | None) -> str:
    """Return a value of a column as SQL writes it."""
    if text is None:
        return "null"
    if item.kind == "bytes":
        return literal(bytes.fromhex(text))
    if item.sorts == "number" or item.kind == "double":
        return _number(text)
    return literal(text)


def _number(text: str) -> str:
    """Return a number as SQL writes it: it was the server's own, and is nothing else.

    >>> _number("-12.50")
    '-12.50'
    """
    if text.strip("0123456789.-+e"):
        raise SourceError(f"the cursor holds {text!r} where a number was read")
    return text


def _decoded(cursor: str | None) -> _Place | None:
    return msgspec.json.decode(cursor, type=_Place) if cursor is not None else None


def _encoded(place: _Place) -> str:
    return msgspec.json.encode(place).decode()
