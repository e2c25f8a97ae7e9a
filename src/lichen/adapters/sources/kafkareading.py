"""Batches of Kafka's records: from offsets that are given, to offsets that are given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from lichen.adapters.sources.kafkacluster import Cluster, Heard, Partition
from lichen.adapters.sources.kafkarecords import Records
from lichen.core.errors import SourceError
from lichen.core.extras import needed
from lichen.ports.source import Batch, Limits

_MOST, _FEW = 10_000, 500  # records that are taken at once: at most, and at first
_BYTES = 8 * 2**20  # so many bytes of them
_ASIDE = frozenset({"GROUP_AUTHORIZATION_FAILED", "_MAX_POLL_EXCEEDED"})  # groups decide nothing
_PAUSE = 0.2  # seconds to wait for that many
_QUEUE = 16 * 2**10  # KiB that the client reads ahead


class Stood(msgspec.Struct, frozen=True):
    """A topic in a cursor or a mark: by partition where it begins, and how far it goes.

    `times` counts how often its offsets were given anew, because somebody made it again.
    """

    id: str
    begin: list[int]
    offsets: list[int]
    times: int = 0


class Place(msgspec.Struct, frozen=True):
    """A cursor, or a mark."""

    cluster: str
    start: str
    topics: dict[str, Stood]


def part(topic: str, number: int, times: int) -> str:
    """Return the name of a partition as a part of the source, for good.

    >>> part("a", 0, 0), part("a", 0, 2)
    ('a[0]', 'a[0].2')
    """
    return f"{topic}[{number}]" + (f".{times}" if times else "")


class Assignment:
    """One consumer, which stays where a reading left it, so that the next one need not begin."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self.cluster, self.heard = cluster, Heard()
        self.at: dict[Partition, int] = {}  # where it stands, of each partition that it reads
        self._group = group
        self._consumer: Any = None

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        if self._consumer is None:
            self.heard = Heard()
            self._consumer = self.cluster.consumer(self.heard, self._settings())
        if any(self.at.get(place) != offset for place, offset in positions.items()):
            self._consumer.assign([self._place(*place, at) for place, at in positions.items()])
            self.at = dict(positions)

    def take(self, count: int) -> list[Any]:
        """Return what came, up to so many messages; raises SourceError where none came in time."""
        since = time.monotonic()
        while not (messages := self._consumer.consume(count, _PAUSE)):
            if self.heard.hopeless(since, self.cluster.timeout):
                raise self.cluster.silence("reading", self.heard)
        self.heard.well()
        return list(messages)

    def leave(self, place: Partition) -> None:
        """Read no more of a partition."""
        if self.at.pop(place, None) is not None:
            self._consumer.incremental_unassign([self._place(*place)])

    def drop(self) -> None:
        """Close the consumer."""
        consumer, self._consumer, self.at = self._consumer, None, {}
        if consumer is not None:
            consumer.close()

    def _place(self, *place: Any) -> Any:
        return needed("confluent_kafka", "kafka").TopicPartition(*place)

    def _settings(self) -> dict[str, Any]:
        return {
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 10,  # else it rests for a second where its queue was full
            "fetch.max.bytes": _BYTES,
            "queued.max.messages.kbytes": _QUEUE,
        }


class KafkaReading:
    """What lies between the cursor and the mark, as it comes."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self,
        assigned: Assignment,
        records: Records,
        positions: dict[Partition, int],
        mark: Place,
        before: Place | None,
        limits: Limits,
        gone: Callable[[Mapping[Partition, int]], SourceError],
    ) -> None:
        self._assigned, self._records, self._gone = assigned, records, gone
        self._positions, self._mark, self._before = positions, mark, before
        topics = mark.topics.items()
        self._ends = {(name, n): end for name, s in topics for n, end in enumerate(s.offsets)}
        self._parts = {(t, n): part(t, n, mark.topics[t].times) for t, n in positions}
        self._most = max(1, min(limits.rows, _MOST))
        self._count = min(self._most, _FEW)

    def __iter__(self) -> Iterator[Batch]:
        if self._before is None and not self._left():
            yield self._batch([])  # where the source begins is settled from now on
        try:
            yield from self._read()
        except Exception as error:
            self._assigned.drop()
            if isinstance(error, needed("confluent_kafka", "kafka").KafkaException):
                raise self._failed(error.args[0]) from error
            raise
        self.ended = True

    def close(self) -> None:
        """Do nothing: the consumer waits for the next reading."""

    def _read(self) -> Iterator[Batch]:
        while left := self._left():
            self._assigned.begin({p: at for p, at in self._positions.items() if at < self._ends[p]})
            earlier = dict(self._positions)
            good = self._sorted(self._assigned.take(min(left, self._count)))
            if self._positions != earlier:
                yield self._batch(good)

    def _left(self) -> int:
        """Return how many offsets there are up to the mark; some hold no record."""
        return sum(max(0, self._ends[p] - at) for p, at in self._positions.items())

    def _sorted(self, messages: Sequence[Any]) -> list[Any]:
        """Return the records up to the mark, having noted how far each partition came."""
        good = [message for message in messages if message.error() is None]
        at = self._assigned.at
        at.update(((m.topic(), m.partition()), m.offset() + 1) for m in good)
        if len(good) < len(messages):
            self._note([message for message in messages if message.error() is not None])
        beyond = [place for place, offset in at.items() if offset > self._ends[place]]
        for place, offset in at.items():
            self._positions[place] = max(self._positions[place], min(offset, self._ends[place]))
        if beyond:
            good = [m for m in good if m.offset() < self._ends[m.topic(), m.partition()]]
            for place in beyond:
                self._assigned.leave(place)
        return good

    def _note(self, messages: Sequence[Any]) -> None:
        """Note the ends that were reached: what lies before them is told, gaps included."""
        code = needed("confluent_kafka", "kafka").KafkaError
        for message in messages:
            error, place = message.error(), (message.topic(), message.partition())
            if error.code() == code._PARTITION_EOF:
                self._assigned.at[place] = max(self._assigned.at[place], message.offset())
            elif error.code() == code._AUTO_OFFSET_RESET:
                raise self._gone(self._positions)
            elif not error.retriable() and error.name() not in _ASIDE:
                raise self._failed(error)

    def _failed(self, error: Any) -> SourceError:
        return self._assigned.cluster.failed(error, "reading", self._assigned.heard)

    def _batch(self, messages: Sequence[Any]) -> Batch:
        rows, rejects, size = self._records.batch(messages, self._parts)
        if messages:
            fits = _BYTES * len(messages) // max(1, size)
            self._count = max(1, min(self._most, self._count * 4, fits))
        return Batch(rows, self._cursor(), rejects)

    def _cursor(self) -> str:
        """Return how far all was told. A topic that is not seen now may come back."""
        topics = dict(self._before.topics) if self._before is not None else {}
        for name, stood in self._mark.topics.items():
            offsets = [self._positions[name, n] for n in range(len(stood.offsets))]
            topics[name] = msgspec.structs.replace(stood, offsets=offsets)
        return msgspec.json.encode(msgspec.structs.replace(self._mark, topics=topics)).decode()
