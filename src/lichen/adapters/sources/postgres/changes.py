"""Changes of a table by logical replication, after a snapshot that begins where they begin.

Changes are looked at, and the slot is moved on only when they are acknowledged: a stream of the
replication protocol would have its client confirm places in the log that no landing knows of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from lichen.adapters.sources.postgres import pgoutput, slots
from lichen.adapters.sources.postgres.catalog import Relation
from lichen.adapters.sources.postgres.link import Link
from lichen.adapters.sources.postgres.pull import Pull
from lichen.adapters.sources.postgres.records import Records
from lichen.adapters.sources.postgres.server import Session
from lichen.adapters.sources.postgres.whole import Everything
from lichen.core.errors import SourceError
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Reading

_FAR = 512 << 20  # bytes of the log that are looked through at once
_NEAR = 64 << 20  # so many that it is worth looking whether any of it is ours, before a plan
_BATCH = 10_000  # records
_NOW = "select (pg_current_wal_flush_lsn() - '0/0')::bigint"


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far changes were read: all transactions that ended before `lsn`; of `open`, `done` rows.

    The slot belongs to a target: another one that began as its branch makes one of its own.
    """

    server: str
    table: int
    slot: str
    publication: str
    target: str
    lsn: int
    open: int = 0
    done: int = 0
    until: str = ""  # the mark, where it was reached


class Changes:
    """Follows a table; the last reading stays open, and goes on where it was cut."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._flow: _Flow | None = None

    def look(self, cursor: str | None) -> Mark:
        """Return where the log ends; the mark of before while it tells nothing of the table."""
        place, relation = _decoded(cursor), self._link.relation()
        ((now,),) = self._link.session().ask(_NOW)
        reason = self._reason(place, relation)
        if place is None or reason:
            said = f"{relation.part} is read whole, and its changes from then on"
            said = f"{reason}: it is read whole again, and compared by key" if reason else said
            return Mark(until=f"whole {now}", said=said)
        if place.until and self._is_quiet(place, now):
            return Mark(until=place.until, said="nothing changed")
        size = now - place.lsn
        return Mark(until=f"changes {now}", said=f"the log went on by {size:,} bytes")

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read on from a cursor: the table, where that is not possible."""
        if self._flow is not None and self._flow.follows(cursor, mark):
            return _Reading(self._flow, limits)
        self.close()
        place, relation = _decoded(cursor), self._link.relation()
        server = self._link.identity()
        if place is not None and place.server != server:
            raise SourceError(
                f"{self._link.server}: this is another server than the one that was followed",
                where=self._link.outside.where,
                hint="go back to that one, or begin anew with this one: "
                f"lichen run {self._link.outside.node} --full",
            )
        if place is None or self._reason(place, relation):
            return self._begun(relation, server, mark)
        slots.unused(self._link, place.slot)
        self._flow = _Flow(self._link, relation, place, mark, limits)
        return _Reading(self._flow, limits)

    def acknowledge(self, cursor: str) -> None:
        """Move the slot on: the server may forget what lies before."""
        place = _decoded(cursor)
        if place is None or place.target != self._link.outside.target:
            return
        slots.unused(self._link, place.slot)
        session = self._link.session()
        slot = slots.slot_named(session, place.slot)
        if slot is not None and not slot.lost and slot.confirmed < place.lsn:
            move = "select pg_replication_slot_advance(%s, %s::pg_lsn)"
            session.ask(move, (place.slot, slots.spelled(place.lsn)))

    def close(self) -> None:
        """End the last reading."""
        if self._flow is not None:
            self._flow.close()
        self._flow = None

    def _reason(self, place: Place | None, relation: Relation) -> str:
        """Return why changes do not follow on a cursor; nothing where they do."""
        if place is None:
            return ""
        if place.target != self._link.outside.target:
            return f"the replication slot of the target {place.target} is its own"
        if place.table != relation.table:
            return f"{relation.part} was made anew"
        slot = slots.slot_named(self._link.session(), place.slot)
        if slot is None:
            return f"the replication slot {place.slot} is gone"
        if slot.lost:
            return f"the replication slot {place.slot} was invalidated: its changes are gone"
        if slot.confirmed > place.lsn:
            return f"the replication slot {place.slot} was moved on by somebody else"
        if not slots.publishes(self._link, place.publication):
            return f"the publication {place.publication} does not have {relation.part} any more"
        return ""

    def _is_quiet(self, place: Place, now: int) -> bool:
        if now <= place.lsn:
            return True
        slot = slots.slot_named(self._link.session(), place.slot)
        if now - place.lsn > _NEAR or slot is None or slot.active:
            return False
        peek = _peek(self._link.session(), place, now, 1)
        return not self._link.session().ask(f"select 1 from {peek} limit 1")  # noqa: S608

    def _begun(self, relation: Relation, server: str, mark: Mark) -> Reading:
        """Make the slot, and read the table as it was at that moment."""
        publication = slots.settle(self._link, relation)
        name = slots.own_name(self._link)
        session = Session(self._link.server, replication=True)
        try:
            point, snapshot = slots.create(self._link, session, name)
        except BaseException:
            session.close()
            raise
        target = self._link.outside.target
        place = Place(server, relation.table, name, publication, target, point, until=mark.until)
        before = (
            "begin isolation level repeatable read read only",
            f"set transaction snapshot {session.text(snapshot)}",
        )
        return _First(self._link, _told(relation), _encoded(place), before, session)


class _First(Everything):
    """The rows that a table had when its slot was made."""

    def __init__(
        self, link: Link, relation: Relation, cursor: str, before: tuple[str, ...], slot: Session
    ) -> None:
        super().__init__(link, relation, cursor, before=before)
        self._slot = slot

    def close(self) -> None:
        """End the reading; the slot stays."""
        super().close()
        self._slot.close()


class _Flow:
    """What a slot tells after a place, in pieces that end with a transaction.

    Only one that alone is more than a landing may hold is cut in the middle.
    """

    def __init__(
        self, link: Link, relation: Relation, place: Place, mark: Mark, limits: Limits
    ) -> None:
        self._part, self._table, self._mark = relation.part, relation.table, mark.until
        self._since = self._place = place
        self._cursor: str | None = _encoded(place)
        self._records = Records(link, relation)
        goal = int(mark.until.rpartition(" ")[2])
        self._upto = min(goal, place.lsn + _FAR)
        self._reaches = self._upto == goal
        self._most = 4 * min(limits.rows, 1 << 24)
        self._count = 0  # messages
        self._within = self._nth = self._skip = 0  # of the transaction that is being told
        self._emptied = self._over = self._broken = False
        self._before = place  # where a table that was emptied still had its rows
        peek = _peek(link.session(), place, self._upto, self._most)
        query = f"select (lsn - '0/0')::bigint, data from {peek}"  # noqa: S608
        self._pull = Pull(link.server, query)
        self._events = self._told()

    def follows(self, cursor: str | None, mark: Mark) -> bool:
        """Return whether this is what reads on from a cursor to a mark."""
        usable = not (self._broken or self._over)
        return usable and (self._cursor, self._mark) == (cursor, mark.until)

    def next(self, reading: _Reading, most: int) -> Batch | None:
        """Return the next records; None where the reading ends."""
        self._broken = True  # unless this comes to its end: an error must not pass for one
        batch = None if reading.over else self._next(reading, most)
        self._broken = False
        if batch is not None:
            self._cursor, reading.given = batch.cursor, True
        return batch

    def close(self) -> None:
        """End the reading."""
        self._pull.close()

    def _next(self, reading: _Reading, most: int) -> Batch | None:
        if self._emptied:
            return self._empty(reading)
        for event in self._events:
            if isinstance(event, pgoutput.Truncate):
                self._emptied = True
                if not (self._records.count or reading.given):
                    return self._empty(reading)
                reading.over = True
                return self._batch(self._before) if self._records.count else None
            full = _BATCH if isinstance(event, pgoutput.Commit) else most
            shaped = isinstance(event, pgoutput.Shape) and self._records.count
            if shaped or self._records.count >= full:
                return self._batch(self._place)
        return self._last(reading)

    def _empty(self, reading: _Reading) -> Batch:
        """All rows went: a reading that tells everything, and there is nothing."""
        self._emptied = False
        reading.whole, reading.over = (self._part,), True
        return self._batch(self._place)

    def _last(self, reading: _Reading) -> Batch:
        """Return the rest. All transactions that ended before here were told."""
        self._over = reading.over = True
        cut = self._count >= self._most
        reading.ended = self._reaches and not cut
        if not cut:
            lsn = max(self._place.lsn, self._upto)
            self._place = replace(self._place, lsn=lsn, open=0, done=0)
        until = self._mark if reading.ended else ""
        return self._batch(replace(self._place, until=until))

    def _batch(self, place: Place) -> Batch:
        return Batch(self._records.take(), _encoded(place))

    def _told(self) -> Iterator[pgoutput.Message]:
        """Yield what concerns the table and was not landed yet, and the ends of transactions."""
        for at, message in self._messages():
            match message:
                case pgoutput.Begin(commit=commit):
                    self._within, self._nth, self._skip = commit, 0, self._landed(commit)
                case pgoutput.Commit(end=end):
                    lsn = max(self._place.lsn, end)
                    self._place = replace(self._place, lsn=lsn, open=0, done=0, until="")
                    yield message
                case pgoutput.Shape(table=self._table):
                    if not self._records.fits(message):
                        yield message
                    self._records.take_shape(message)
                case pgoutput.Truncate(tables=tables):
                    if self._table in tables and self._is_new():
                        yield message
                case (
                    pgoutput.Insert(table=self._table)
                    | pgoutput.Delete(table=self._table)
                    | (pgoutput.Update(table=self._table))
                ):
                    line = self._records.line(at)
                    if self._is_new():
                        self._records.add(message, line)
                        yield message

    def _messages(self) -> Iterator[tuple[int, pgoutput.Message | None]]:
        for batch in self._pull:
            places, payloads = batch.column(0).to_pylist(), batch.column(1).to_pylist()
            self._count += len(places)
            for at, payload in zip(places, payloads, strict=True):
                yield at, pgoutput.read(payload)

    def _is_new(self) -> bool:
        """Count a change of the table; returns whether it was not landed before."""
        self._nth += 1
        if self._nth <= self._skip:
            return False
        self._before = self._place
        self._place = replace(self._place, open=self._within, done=self._nth, until="")
        return True

    def _landed(self, commit: int) -> int:
        """How many changes of a transaction were landed before."""
        if commit < self._since.lsn:
            return 1 << 62
        return self._since.done if commit == self._since.open else 0


class _Reading:
    """A stretch of a flow; it is `over` where the next one must be told apart from it."""

    def __init__(self, flow: _Flow, limits: Limits) -> None:
        self.whole: tuple[str, ...] = ()
        self.ended = self.over = self.given = False
        self._flow, self._limits = flow, limits

    def __iter__(self) -> Iterator[Batch]:
        while (batch := self._flow.next(self, self._limits.rows)) is not None:
            yield batch

    def close(self) -> None:
        """Leave the flow open: the next reading goes on with it."""


def _peek(session: Session, place: Place, upto: int, most: int) -> str:
    """Return the call that tells changes and leaves the slot as it is."""
    publication = session.text(session.name(place.publication))
    return (
        f"pg_logical_slot_peek_binary_changes({session.text(place.slot)}, '{slots.spelled(upto)}', "
        f"{most}, 'proto_version', '1', 'publication_names', {publication})"
    )


def _told(relation: Relation) -> Relation:
    """The table without what changes never tell."""
    kept = tuple(column for column in relation.columns if not column.generated)
    return dataclasses.replace(relation, columns=kept)


def _encoded(place: Place) -> str:
    return msgspec.json.encode(place).decode()


def _decoded(cursor: str | None) -> Place | None:
    return msgspec.json.decode(cursor, type=Place) if cursor else None
