"""One reading of an MQTT session: messages as batches, those that were landed before left out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from arro3.core import Array, DataType, Table

from lichen.adapters.sources.mqttcursor import Landed, digest
from lichen.adapters.sources.mqttlink import TICK, Link, Message
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits

_BATCH = 10_000  # messages
_LITTLE = (
    4  # a part of what was acknowledged before: so much less comes where nothing was held back
)
_TURNS = 10  # how often the seconds of one landing a run follows what never pauses


@dataclass
class Room:
    """How many messages may wait for their acknowledgement before a reading ends.

    Brokers hold back the rest, some much earlier than we ask for, and none says when: `guess` is
    where one seemed to. `stalled` is how many waited when the last reading heard nothing more.
    """

    most: int
    guess: int | None = None
    stalled: int = 0
    heard: int = 0  # how many were acknowledged since the last reading


@dataclass
class Turn:
    """What one mark asks for: all that is there, though it be a river that never ends.

    `until` is the moment by which its readings have ended at the latest, `reached` the cursor at
    which they did.
    """

    mark: str = ""
    until: float = 0.0
    reached: str | None = None


class _Session(Protocol):
    quiet: float
    text: bool
    room: Room
    turn: Turn
    part: str  # what the source's records are told to lie in

    @property
    def unheard(self) -> bool: ...
    def linked(self, cursor: str | None) -> Link: ...
    def landed(self, link: Link, cursor: str | None) -> Landed: ...
    def giving(self, cursor: str) -> None: ...


class _Why(Enum):
    """Why there is something to take."""

    enough = auto()
    full = auto()  # the broker waits for acknowledgements
    late = auto()
    quiet = auto()
    caught_up = auto()  # what comes is new, and little against what was there before


class MqttReading:
    """What comes until the broker is quiet or holds back, or the limits are reached.

    It has ended once nothing comes at all, or not much after much was acknowledged: as long as
    that is not so, the broker may hold more back.
    """

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(self, session: _Session, cursor: str | None, mark: Mark, limits: Limits) -> None:
        """Begin after a cursor; nothing is asked of the broker yet."""
        self._session, self._cursor, self._limits = session, cursor, limits
        self._began, self._before, self._came = 0.0, session.room.heard, 0
        if session.turn.mark != mark.until:
            session.turn = Turn(mark.until, time.monotonic() + _TURNS * limits.seconds)
            self._before = 0

    def __iter__(self) -> Iterator[Batch]:
        link, room, limits = self._session.linked(self._cursor), self._session.room, self._limits
        landed = self._session.landed(link, self._cursor)
        if room.stalled and link.waiting():  # this came as soon as there was room for it
            room.guess = room.stalled
        room.stalled = room.heard = rows = size = 0
        self._began = time.monotonic()
        why, last = _Why.enough, False
        while not last and rows < limits.rows and size < limits.bytes:
            why = self._awaited(link, min(_BATCH, limits.rows - rows))
            taken = link.take(min(_BATCH, limits.rows - rows), limits.bytes - size)
            self._came += len(taken)
            new = [message for message in taken if _is_new(message, link, landed)]
            rows, size = rows + len(new), size + sum(len(m.payload) for m in new)
            last = why in (_Why.late, _Why.full) or (why is not _Why.enough and not link.waiting())
            # Whoever reads may stop at any batch.
            self.ended = self._reached(why, rows) if last else self._too_late()
            if new:
                yield self._batch(new, landed)
        if last and why in (_Why.quiet, _Why.caught_up):
            yield from self._settled(link, landed)
        self._session.turn.reached = self._cursor if self.ended else None

    def _reached(self, why: _Why, rows: int) -> bool:
        """Return whether all was read that a mark asks for, after the last batch of a reading."""
        # What comes again and again cannot be acknowledged: enough of that for this time.
        stuck = self._session.unheard and not rows
        silent = why is _Why.quiet and (not self._came or stuck)
        return silent or why is _Why.caught_up or self._too_late()

    def _too_late(self) -> bool:
        return time.monotonic() > self._session.turn.until

    def close(self) -> None:
        """Do nothing: the connection stays, so that what was read can be acknowledged."""

    def _awaited(self, link: Link, most: int) -> _Why:
        """Wait until there is enough to take, or no reason to wait on."""
        quiet, room = self._session.quiet, self._session.room
        waiting, since = link.waiting(), time.monotonic()
        while True:
            link.alive()
            now = time.monotonic()
            if (here := link.waiting()) != waiting:
                waiting, since = here, now
            if len(link.unanswered) >= room.most:
                return _Why.full
            if waiting >= most:
                return _Why.enough
            if len(link.unanswered) + waiting >= room.most or self._at_guess(link, waiting):
                return _Why.full
            came = self._came + waiting
            if now - self._began >= self._limits.seconds and came:
                return _Why.late
            little = came * _LITTLE < self._before
            if now - since >= quiet or (little and now - self._began >= quiet):
                link.heard()  # silence is an answer only from a broker that answers
                if link.waiting() == waiting:
                    return _Why.quiet
                if little:
                    return _Why.caught_up
            time.sleep(TICK)

    def _at_guess(self, link: Link, waiting: int) -> bool:
        """Return whether the broker holds back at the guess; unlearn it where it does not."""
        room, open_ = self._session.room, len(link.unanswered) + waiting
        if room.guess is None or open_ < room.guess:
            return False
        if open_ == room.guess:
            time.sleep(2 * TICK)
        if open_ > room.guess or link.waiting() > waiting:
            room.guess = None
            return False
        return True

    def _settled(self, link: Link, landed: Landed) -> Iterator[Batch]:
        """Forget what the broker did not send again: it has heard of that."""
        for id_ in landed.ids.keys() - link.unanswered.keys():
            del landed.ids[id_]
        self._session.room.stalled = len(link.unanswered)
        if landed.encoded() != self._cursor:
            yield self._batch([], landed)

    def _batch(self, messages: Sequence[Message], landed: Landed) -> Batch:
        first = landed.count + 1
        landed.count += len(messages)
        cursor = self._cursor = landed.encoded()
        self._session.giving(cursor)
        numbered = list(enumerate(messages, first))
        if not self._session.text:
            payloads = Array([m.payload for m in messages], DataType.binary())
            return Batch(Table.from_pydict({"_payload": payloads, **self._about(numbered)}), cursor)
        texts, good, bad = [], [], []
        for line, message in numbered:
            try:
                texts.append(message.payload.decode())
                good.append((line, message))
            except UnicodeDecodeError:
                bad.append((line, message))
        columns = {"value": Array(texts, DataType.utf8()), **self._about(good)}
        return Batch(Table.from_pydict(columns), cursor, self._rejects(bad) if bad else None)

    def _about(self, numbered: Sequence[tuple[int, Message]]) -> dict[str, Any]:
        """Return what is said of messages. All are of one part: the session keeps their order."""
        messages = [message for _, message in numbered]
        times = Array([m.at for m in messages], DataType.int64())
        return {
            "_file": Array([self._session.part] * len(messages), DataType.utf8()),
            "_line": Array([line for line, _ in numbered], DataType.int64()),
            "meta_topic": Array([m.topic for m in messages], DataType.utf8()),
            "meta_time": times.cast(DataType.timestamp("us", tz="UTC")),
            "meta_retained": Array([m.retained for m in messages], DataType.bool()),
        }

    def _rejects(self, bad: Sequence[tuple[int, Message]]) -> Table:
        about = self._about(bad)
        return Table.from_pydict(
            {
                "_file": about["_file"],
                "_line": about["_line"],
                "raw": Array([m.payload for _, m in bad], DataType.binary()),
                "reason": Array(
                    [f"it is no UTF-8 text (topic {m.topic})" for _, m in bad], DataType.utf8()
                ),
            }
        )


def _is_new(message: Message, link: Link, landed: Landed) -> bool:
    """Return whether a message was not landed before; it waits for its acknowledgement from now.

    Only what the broker itself calls sent again can be a repetition: of what the cursor knows
    under this id and this connection has not met, or of what it brought itself.
    """
    id_ = message.id
    if not id_:
        return True
    mark = digest(message.topic, message.payload)
    known, here = landed.ids.get(id_, ()), link.unanswered.get(id_, ())
    if message.again and known.count(mark) > here.count(mark):
        link.unanswered[id_] = (*here, mark)
        return False
    if message.again and link.firsts.get(id_) == mark:
        return False  # an acknowledgement for each of the two could hit a later message
    if not message.again:  # the id is free for another message: those not met here were heard of
        known, link.firsts[id_] = here, mark
        link.answered.pop(id_, None)
    landed.ids[id_] = (*known, mark)
    link.unanswered[id_] = (*here, mark)
    return True
