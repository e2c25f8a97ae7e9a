"""Reading of a Kinesis stream: its shards in turn, parents before their children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.kinesisclient import Calls, Expired, Page, Shard
from lichen.core.steps import Mark
from lichen.core.time import Instant, instant, iso
from lichen.ports.source import Batch, Limits

_MOST = 10_000  # records that one call may ask for
_RENEWALS = 3  # iterators that expire one after the other
_AGGREGATED = b"\xf3\x89\x9a\xc2"  # how the producer library begins several records in one


class At(msgspec.Struct, frozen=True):
    """How far one shard was read. `after` is a sequence number: a text, which is only handed back.

    `line` counts its records; up to `till` nothing was left unread.
    """

    after: str | None = None
    line: int = 0
    till: str = ""
    done: bool = False


class Place(msgspec.Struct, frozen=True):
    """A cursor. `first` is when the oldest record arrived that was read; `mark` the last mark."""

    arn: str
    made: str
    shards: dict[str, At] = {}
    first: str = ""
    mark: str = ""


class KinesisReading:
    """Records of all shards that can be read, a page of each in turn.

    A shard is left once nothing is behind it, or all that was there when the mark was made: else
    a stream that is written to fast enough would never let a run end.
    """

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self, calls: Calls, since: Instant | None, place: Place, mark: Mark, limits: Limits
    ) -> None:
        self._calls, self._since = calls, since
        self._place, self._mark, self._marked = place, mark, _time_of(mark)
        self._at = dict(place.shards)
        self._first = place.first
        self._most = min(limits.rows, _MOST)
        self._listed: list[Shard] = []
        self._iterators: dict[str, str] = {}
        self._idle: set[str] = set()

    def __iter__(self) -> Iterator[Batch]:
        self._list(self._calls.describe().now)
        here = {shard.id for shard in self._listed}
        self._at = {id_: at for id_, at in self._at.items() if id_ in here}
        while waiting := [s for s in readable(self._at, self._listed) if s.id not in self._idle]:
            for shard in waiting:
                page = self._page(shard)
                self._advance(shard, page)
                if page.records:
                    rows, rejects = _records(page.records, shard.id, self._at[shard.id].line)
                    yield Batch(rows, self._cursor(self._place.mark), rejects)
        if self._place.mark != self._mark.until or self._at != self._place.shards:
            # What was seen is told by the cursor, so that the next look can say that it is no more.
            yield Batch(_records([], "", 0)[0], self._cursor(self._mark.until))
        self.ended = True

    def close(self) -> None:
        """Do nothing: an iterator of Kinesis holds nothing there."""

    def _list(self, now: Instant) -> None:
        """List the shards, and note since when each is known: before that nothing was missed."""
        self._listed = self._calls.shards()
        for shard in self._listed:
            self._at.setdefault(shard.id, At(till=iso(now)))

    def _page(self, shard: Shard) -> Page:
        for _ in range(_RENEWALS):
            iterator = self._iterators.get(shard.id)
            if iterator is None:
                iterator = self._calls.iterator(shard.id, self._at[shard.id].after, self._since)
            try:
                return self._calls.page(iterator, self._most)
            except Expired:
                self._iterators.pop(shard.id, None)
        raise self._calls.trouble(
            f"its iterators expire at once ({_RENEWALS} times)", "run again; is its clock right?"
        )

    def _advance(self, shard: Shard, page: Page) -> None:
        at, records = self._at[shard.id], page.records
        caught_up = not page.behind and len(records) < self._most
        done = page.next is None or (shard.closed and caught_up)
        if page.next is not None:
            self._iterators[shard.id] = page.next
        till = page.now - timedelta(milliseconds=page.behind)
        if caught_up or till > self._marked:
            self._idle.add(shard.id)
        if records:
            arrived = iso(records[0]["ApproximateArrivalTimestamp"])
            self._first = min(self._first or arrived, arrived)
        self._at[shard.id] = At(
            after=records[-1]["SequenceNumber"] if records else at.after,
            line=at.line + len(records),
            till=iso(till),
            done=done,
        )
        if done:
            self._list(page.now)  # its children may only be known by now

    def _cursor(self, mark: str) -> str:
        place = msgspec.structs.replace(self._place, shards=self._at, first=self._first, mark=mark)
        return msgspec.json.encode(place).decode()


def as_mark(now: Instant, seen: str) -> str:
    """Return a mark: what was seen, and when.

    >>> _time_of(Mark(until=as_mark(instant("2020-01-01"), "x"), said="")).isoformat()
    '2020-01-01T00:00:01+00:00'
    """
    return f"{iso(now)} {seen}"


def _time_of(mark: Mark) -> Instant:
    """Return a moment by which the mark was surely made: the server tells whole seconds."""
    return instant(mark.until.partition(" ")[0]) + timedelta(seconds=1)


def readable(at: Mapping[str, At], shards: Sequence[Shard]) -> list[Shard]:
    """Return the shards that are not at their end, and all of whose parents are.

    A parent that is not listed any more keeps no records.

    >>> family = [Shard("a", (), True), Shard("b", (), True), Shard("ab", ("a", "b"), False)]
    >>> [shard.id for shard in readable({"a": At(done=True)}, family)]
    ['b']
    """
    done = {shard.id: shard.id in at and at[shard.id].done for shard in shards}
    return [
        shard
        for shard in shards
        if not done[shard.id] and all(done.get(parent, True) for parent in shard.parents)
    ]


def _records(records: Sequence[Mapping[str, Any]], shard: str, last: int) -> tuple[Any, Any]:
    """Return records as rows, and those that hold several in one as rejects."""
    numbered = list(enumerate(records, last - len(records) + 1))
    good = [(n, r) for n, r in numbered if not r["Data"].startswith(_AGGREGATED)]
    bad = [(n, r) for n, r in numbered if r["Data"].startswith(_AGGREGATED)]
    times = [int(r["ApproximateArrivalTimestamp"].timestamp() * 1_000_000) for _, r in good]
    text, moment = DataType.utf8(), DataType.timestamp("us", tz="UTC")
    rows = Table.from_pydict(
        {
            "_payload": Array([r["Data"] for _, r in good], DataType.binary()),
            **_places([n for n, _ in good], shard),
            "meta_sequence_number": Array([r["SequenceNumber"] for _, r in good], text),
            "meta_partition_key": Array([r["PartitionKey"] for _, r in good], text),
            "meta_time": Array(times, DataType.int64()).cast(moment),
        }
    )
    if not bad:
        return rows, None
    reason = "several records in one, as the Kinesis Producer Library writes them"
    rejects: dict[str, Any] = {
        **_places([n for n, _ in bad], shard),
        "raw": Array([r["Data"] for _, r in bad], DataType.binary()),
        "reason": Array([reason] * len(bad), text),
    }
    return rows, Table.from_pydict(rejects)


def _places(lines: Sequence[int], shard: str) -> dict[str, Array]:
    return {
        "_file": Array([shard] * len(lines), DataType.utf8()),
        "_line": Array(list(lines), DataType.int64()),
    }
