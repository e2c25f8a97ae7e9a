"""A table or a query that is read from the greatest value of a column on.

Rows come ordered by the column and the key, so that a reading can be cut anywhere. One that reached
its mark goes on from the rows that have the mark's very value: some of them may be new, and landing
compares those that are not. Rows whose value has no place in the order (NULL, infinity, NaN) are
read again, all of them, when any of them changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from arro3.core import RecordBatch
from msgspec.structs import replace

from lichen.adapters.sources.postgres.catalog import (
    FLOAT4,
    FLOAT8,
    INTEGERS,
    MOMENTS,
    NUMERIC,
    Column,
    Relation,
)
from lichen.adapters.sources.postgres.link import Link, told_columns
from lichen.adapters.sources.postgres.pull import Pull
from lichen.adapters.sources.postgres.server import Session
from lichen.adapters.sources.postgres.settings import overlap_of
from lichen.adapters.sources.postgres.values import place, rows_of
from lichen.core.errors import SourceError
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Reading

_NUMBERS = (*INTEGERS, FLOAT4, FLOAT8, NUMERIC)
_DIGEST = "count(*) || ':' || coalesce(sum(hashtextextended(row(q.*)::text, 0)::numeric), 0)"


class _Seen(msgspec.Struct, frozen=True):
    """A mark: the greatest value, digests of the rows that have it and of those without a place."""

    server: str
    at: str | None
    ties: str
    odd: str


class _Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was read to the end; and, where a reading was cut, how far its parts came."""

    server: str
    at: str | None = None
    ties: str = ""
    odd: str = "0:0"
    after: tuple[str | None, ...] = ()  # the value of the column, and the key
    odd_now: str = ""  # the digest of the odd rows that are being read
    odd_after: tuple[str | None, ...] = ()  # the key


@dataclass(frozen=True)
class _Plan:
    """The columns that a reading is about, and its parts of SQL."""

    relation: Relation
    by: Column
    keys: tuple[Column, ...]
    session: Session
    back: str  # how far a reading goes back, as the end of an expression

    def name(self, column: Column) -> str:
        return f"q.{self.session.name(column.name)}"

    def value(self, text: str, column: Column) -> str:
        return f"{self.session.text(text)}::{column.type}"

    def query(self, part: str, condition: str) -> str:
        """Return the query of the odd rows, or of the others, that meet a condition."""
        odd = self.by.odd(self.session)
        of = self.keys if part == "odd" else (self.by, *self.keys)
        # The same row with the same value has the same place whenever it is read.
        what = "q.*" if part == "odd" else ", ".join(map(self.name, (*self.keys, self.by)))
        values = [column.read(self.session) for column in told_columns(self.relation)]
        values.append(f"hashtextextended(row({what})::text, 0) & {2**63 - 1}")
        values += [column.read(self.session) for column in (self.by, *self.keys)]
        where = odd if part == "odd" else f"not {odd}"
        order = ", ".join(f"{self.name(column)} nulls first" for column in of)
        return (
            f"select {', '.join(values)} from {self.relation.sql} as q "  # noqa: S608
            f"where {where} and {condition} order by {order}"
        )

    def beyond(self, columns: Sequence[Column], values: Sequence[str | None]) -> str:
        """Return the condition that a row comes after values in the order of columns."""
        found, same = [], ["true"]
        for column, value in zip(columns, values, strict=True):
            name = self.name(column)
            if value is None:
                further, equal = f"{name} is not null", f"{name} is null"
            else:
                further = f"{name} > {self.value(value, column)}"
                equal = f"{name} = {self.value(value, column)}"
            found.append(" and ".join([*same, further]))
            same.append(equal)
        return f"({' or '.join(f'({each})' for each in found)})"


class Increments:
    """Reads on by a column; the last reading stays open, and goes on where it was cut."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._flow: _Flow | None = None

    def look(self, _: str | None) -> Mark:
        """Return the greatest value of the column, and digests of what comparing it cannot tell."""
        plan, link = self._plan(), self._link
        by, odd = plan.name(plan.by), plan.by.odd(plan.session)
        sql = plan.relation.sql
        top = f"(select {by} as at from {sql} as q where not {odd} order by {by} desc limit 1)"  # noqa: S608
        question = (
            f"select case when num_nulls(m.at) = 0 then concat(m.at) end, "  # noqa: S608
            f"(select {_DIGEST} from {sql} as q where not {odd} and {by} >= m.at{plan.back}), "
            f"(select {_DIGEST} from {sql} as q where {odd}) "
            f"from (select 1) as one left join {top} as m on true"
        )
        ((at, ties, odds),) = link.session().ask(question)
        seen = _Seen(link.identity(), at, ties, odds)
        said = f"{plan.by.name} has come to {at}" if at is not None else "it is empty"
        return Mark(until=msgspec.json.encode(seen).decode(), said=said)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read on from a cursor."""
        if self._flow is None or not self._flow.follows(cursor, mark):
            self.close()
            self._flow = self._begun(cursor, mark)
        return _Reading(self._flow, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a table forgets nothing by being read."""

    def close(self) -> None:
        """End the last reading."""
        if self._flow is not None:
            self._flow.close()
        self._flow = None

    def _begun(self, cursor: str | None, mark: Mark) -> _Flow:
        seen = msgspec.json.decode(mark.until, type=_Seen)
        since = msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor(seen.server)
        if since.server != seen.server:
            raise SourceError(
                f"{self._link.server}: this is another server than the one that was read before",
                where=self._link.outside.where,
                hint=f"go back to that one, or read this one from its beginning: "
                f"lichen run {self._link.outside.node} --full",
            )
        return _Flow(self._link, self._plan(), since, seen, cursor, mark)

    def _plan(self) -> _Plan:
        settings, where = self._link.settings, self._link.outside.where
        relation, session = self._link.relation(), self._link.session()
        by = relation.column(settings.incremental or "", "incremental", where)
        keys = tuple(relation.column(name, "key", where) for name in settings.keys)
        return _Plan(relation, by, keys, session, self._back(by))

    def _back(self, by: Column) -> str:
        settings = self._link.settings
        if settings.overlap is None:
            return ""
        length, is_number = overlap_of(settings.overlap), settings.overlap[-1].isdigit()
        if is_number != (by.base in _NUMBERS) or (not is_number and by.base not in MOMENTS):
            raise SourceError(
                f"overlap: {settings.overlap!r} cannot be taken from {by.name}, which is {by.type}",
                where=self._link.outside.where,
                allowed=("a duration for a date or a time", "a number for a number"),
            )
        return f" - {length:.15g}" if is_number else f" - interval '{length:.6f} seconds'"


class _Flow:
    """The rows that come after a cursor, in pieces."""

    def __init__(
        self, link: Link, plan: _Plan, since: _Cursor, seen: _Seen, cursor: str | None, mark: Mark
    ) -> None:
        self._link, self._plan, self._since, self._seen = link, plan, since, seen
        self._cursor, self._mark = cursor, mark.until
        self._columns = told_columns(plan.relation)
        self._pull: Pull | None = None
        self._batches = self._parts()
        self._rest: tuple[str, RecordBatch] | None = None
        self._begun = self._broken = False

    def follows(self, cursor: str | None, mark: Mark) -> bool:
        """Return whether this is what reads on from a cursor to a mark."""
        return not self._broken and (self._cursor, self._mark) == (cursor, mark.until)

    def next(self, most: int) -> Batch | None:
        """Return the next rows, or None where there are no more."""
        self._broken = True  # unless this comes to its end: an error must not pass for one
        batch = self._next(most)
        self._broken = False
        return batch

    def _next(self, most: int) -> Batch | None:
        if not self._begun:
            self._begun, self._rest = True, next(self._batches, None)
        if self._rest is None:
            return self._last()
        part, batch = self._rest
        piece = batch.slice(0, min(most, batch.num_rows))
        if piece.num_rows < batch.num_rows:
            self._rest = (part, batch.slice(piece.num_rows, batch.num_rows - piece.num_rows))
        else:
            self._rest = next(self._batches, None)
        own = len(self._columns)
        rows = rows_of(piece, self._columns, self._plan.relation.part, piece.column(own), 0)
        return self._told(Batch(rows, self._after(part, piece)))

    def close(self) -> None:
        """End the reading."""
        if self._pull is not None:
            self._pull.close()

    def _told(self, batch: Batch) -> Batch:
        self._cursor = batch.cursor
        return batch

    def _last(self) -> Batch | None:
        """A reading that found nothing still comes to its end."""
        if self._cursor == self._end():
            return None
        nothing = Pull(self._link.server, self._plan.query("main", "false"))
        batch = next(iter(nothing))
        own = len(self._columns)
        rows = rows_of(batch, self._columns, self._plan.relation.part, batch.column(own), 0)
        return self._told(Batch(rows, self._end()))

    def _end(self) -> str:
        seen = self._seen
        return msgspec.json.encode(_Cursor(seen.server, seen.at, seen.ties, seen.odd)).decode()

    def _after(self, part: str, piece: RecordBatch) -> str:
        if self._rest is None:
            return self._end()
        plan, at = self._plan, len(self._columns) + 1
        columns = (plan.by, *plan.keys)
        last = tuple(place(piece.column(at + n), column) for n, column in enumerate(columns))
        if part == "odd":
            found = replace(self._since, odd_now=self._seen.odd, odd_after=last[1:])
        else:
            found = replace(self._since, odd=self._seen.odd, odd_now="", odd_after=(), after=last)
        return msgspec.json.encode(found).decode()

    def _parts(self) -> Iterator[tuple[str, RecordBatch]]:
        since, seen, plan = self._since, self._seen, self._plan
        if since.odd != seen.odd:
            begun = since.odd_after and since.odd_now == seen.odd
            yield from self._part(
                "odd", plan.beyond(plan.keys, since.odd_after) if begun else "true"
            )
        done = not since.after and (since.at, since.ties) == (seen.at, seen.ties)
        if seen.at is not None and not done:
            yield from self._part("main", self._between())

    def _between(self) -> str:
        plan, since = self._plan, self._since
        assert self._seen.at is not None
        by = plan.name(plan.by)
        most = f"{by} <= {plan.value(self._seen.at, plan.by)}"
        if since.after:
            at = since.after[0]
            assert at is not None
            further = plan.beyond((plan.by, *plan.keys), since.after)
            return f"{by} >= {plan.value(at, plan.by)} and {most} and {further}"
        if since.at is None:
            return most
        return f"{by} >= {plan.value(since.at, plan.by)}{plan.back} and {most}"

    def _part(self, part: str, condition: str) -> Iterator[tuple[str, RecordBatch]]:
        self._pull = Pull(self._link.server, self._plan.query(part, condition))
        for batch in self._pull:
            if batch.num_rows:
                yield part, batch


class _Reading:
    """A stretch of a flow."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(self, flow: _Flow, limits: Limits) -> None:
        self._flow, self._limits = flow, limits

    def __iter__(self) -> Iterator[Batch]:
        while (batch := self._flow.next(self._limits.rows)) is not None:
            yield batch
        self.ended = True

    def close(self) -> None:
        """Leave the flow open: the next reading goes on with it."""
