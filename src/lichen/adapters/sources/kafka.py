"""The Kafka connector: topics, read on from the offsets that the ledger holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import msgspec

from lichen.adapters.sources.avrorecords import AvroRecords, read_schema
from lichen.adapters.sources.kafkacluster import Access, Cluster, Partition, Topic
from lichen.adapters.sources.kafkareading import Assignment, KafkaReading, Place, Stood, part
from lichen.adapters.sources.kafkarecords import Keys, Records, keys_of
from lichen.adapters.sources.schemaregistry import Registry
from lichen.core.errors import LichenError, SourceError
from lichen.core.steps import Mark
from lichen.core.time import instant
from lichen.ports.source import Limits, Outside, Settings, Tls

_BROKER = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class KafkaSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of Kafka's topics may say besides.

    Either `topics` or a `pattern` of their names. `registry` is the URL of a schema registry, for
    Avro. `lost` says what to do where retention took records before they were read.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password", "registry_password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset(
        {"brokers", "lost", "sasl", "user", "tls", "registry", "registry_user", "registry_tls"}
        | {"group"}
    )

    brokers: str | list[str]
    topics: str | list[str] | None = None
    pattern: str | None = None
    start: str = "earliest"
    lost: Literal["fail", "continue"] = "fail"
    format: Literal["json", "avro", "text"] = "json"
    key_format: Literal["json", "text", "avro"] | None = None
    reader: str | None = None
    registry: str | None = None
    registry_user: str | None = None
    registry_password: str | None = None
    registry_tls: Tls | None = None
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    user: str | None = None
    password: str | None = None
    tls: Tls | None = None
    group: str | None = None


class Kafka:
    """Reads topics partition by partition; what it read is known by offsets alone."""

    Settings = KafkaSettings

    def __init__(self, settings: KafkaSettings, outside: Outside) -> None:
        self._settings, self._outside = settings, outside
        self._names = _names(settings)
        self._pattern = _pattern(settings)
        self._since = _since(settings.start)
        self._records = _records(settings, outside)
        self._cluster = Cluster(_access(settings), outside)
        self._assigned = Assignment(self._cluster, settings.group or f"lichen-{outside.node}")

    def look(self, cursor: str | None) -> Mark:
        """Return the last stable offset of each partition: what lies before it is decided."""
        before = self._decoded(cursor)
        cluster = self._cluster.id()
        if before is not None and before.cluster != cluster:
            raise self._cluster.trouble(
                f"this is the cluster {cluster!r}, and what was landed came from "
                f"{before.cluster!r}",
                "offsets of one cluster mean nothing in another: point `brokers` back, or begin "
                "another source beside this one",
            )
        topics = self._topics()
        every = _partitions({name: topic.partitions for name, topic in topics.items()})
        low, end = self._cluster.first(every), self._cluster.ends(every)
        held = before.topics if before is not None else {}
        same_start = before is not None and before.start == self._settings.start
        begins = self._begins(every, low, end, anew=not same_start)
        seen: dict[str, Stood] = {}
        for name, topic in topics.items():
            known = self._known(name, topic, held.get(name), end)
            begin = [begins[name, n] for n in range(topic.partitions)]
            if known is not None and same_start:
                begin[: len(known.begin)] = known.begin
            times = known.times if known is not None else self._times(held.get(name))
            ends = [end[name, n] for n in range(topic.partitions)]
            seen[name] = Stood(topic.id, begin, ends, times)
        place = Place(cluster, self._settings.start, seen)
        positions = self._positions(before if same_start else None, place)
        lost = self._lost(positions, low) if same_start else {}
        if lost and self._settings.lost == "fail":
            raise self._losing(lost)
        new = sum(max(0, end[p] - max(positions[p], low[p])) for p in every)
        said = f"up to {new:,} new records in {len(every)} partitions"
        return Mark(
            until=_encoded(place),
            said=f"{said}, and {_told(lost)} gone unread" if lost else said,
            gone=_gone(held, topics, low),
        )

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> KafkaReading:
        """Read what is committed from the cursor's offsets to the mark's."""
        place, before = msgspec.json.decode(mark.until, type=Place), self._decoded(cursor)
        if before is None or before.start != place.start:
            before = None
        positions = self._positions(before, place)
        if self._settings.lost == "continue" and before is not None:
            low = self._cluster.first(positions)
            positions = {p: max(offset, low[p]) for p, offset in positions.items()}
        return KafkaReading(
            self._assigned, self._records, positions, place, before, limits, self.gone
        )

    def acknowledge(self, cursor: str) -> None:
        """Tell the consumer group, if one is named, how far it is: for people, not for us."""
        if self._settings.group is None:
            return
        topics = msgspec.json.decode(cursor, type=Place).topics
        offsets = {
            (name, number): offset
            for name, stood in topics.items()
            for number, offset in enumerate(stood.offsets)
        }
        self._cluster.tell(self._settings.group, offsets)

    def close(self) -> None:
        """Close the consumer and the connections."""
        self._assigned.drop()
        self._cluster.close()

    def gone(self, positions: Mapping[Partition, int]) -> SourceError:
        """Return the error that an offset is not there any more."""
        return self._losing(self._lost(positions, self._cluster.first(positions)))

    def _topics(self) -> dict[str, Topic]:
        if self._pattern is None:
            names = list(self._names)
        else:
            names = [name for name in self._cluster.names() if self._pattern.fullmatch(name)]
        found = self._cluster.topics(names)
        missing = [name for name in self._names if name not in found]
        if missing:
            raise SourceError(
                f"Kafka has no topic {missing[0]!r}",
                where=self._outside.where,
                allowed=self._cluster.names(),
                given=missing[0],
                hint="make it first; this source makes no topics",
            )
        return found

    def _begins(
        self,
        every: Iterable[Partition],
        low: Mapping[Partition, int],
        end: Mapping[Partition, int],
        *,
        anew: bool,
    ) -> Mapping[Partition, int]:
        """Return where a partition that was never read begins.

        One that appeared since the source began is new as a whole, if `start` is no time.
        """
        if self._since is not None:
            found = self._cluster.since(every, self._since)
            return {p: offset if 0 <= offset < end[p] else end[p] for p, offset in found.items()}
        return end if self._settings.start == "latest" and anew else low

    def _known(
        self, name: str, topic: Topic, held: Stood | None, end: Mapping[Partition, int]
    ) -> Stood | None:
        """Return what is held of a topic if its offsets still mean the same records."""
        if held is None:
            return None
        why = ""
        if held.id != topic.id or len(held.offsets) > topic.partitions:
            why = f"the topic {name} was deleted and made again"
        else:
            ahead = {(name, n): o for n, o in enumerate(held.offsets) if o > end[name, n]}
            written = self._cluster.written(ahead)
            if short := [p for p, offset in ahead.items() if offset > written[p]]:
                why = f"{part(*short[0], 0)} ends before what was landed of it"
        if why and self._settings.lost == "fail":
            raise self._cluster.trouble(
                f"{why}, so that records may be lost",
                "`lost: continue` reads what is there now from its beginning, as new records",
            )
        return None if why else held

    def _times(self, held: Stood | None) -> int:
        return held.times + 1 if held is not None else 0

    def _positions(self, before: Place | None, place: Place) -> dict[Partition, int]:
        """Return from where on each partition is to be read."""
        found = {}
        for name, stood in place.topics.items():
            held = before.topics.get(name) if before is not None else None
            same = held is not None and (held.id, held.times) == (stood.id, stood.times)
            offsets = [*held.offsets] if held is not None and same else []
            for number, begin in enumerate(stood.begin):
                found[name, number] = offsets[number] if number < len(offsets) else begin
        return found

    def _lost(
        self, positions: Mapping[Partition, int], low: Mapping[Partition, int]
    ) -> dict[Partition, tuple[int, int]]:
        return {p: (at, low[p]) for p, at in positions.items() if at < low[p]}

    def _losing(self, lost: Mapping[Partition, tuple[int, int]]) -> SourceError:
        what = _told(lost) if lost else "some offsets are"
        return self._cluster.trouble(
            f"{what} gone before anybody read them: its retention is shorter than the time "
            "between two runs",
            "run more often or keep the topic longer; `lost: continue` goes on from what is there",
        )

    def _decoded(self, cursor: str | None) -> Place | None:
        return msgspec.json.decode(cursor, type=Place) if cursor is not None else None


def _names(settings: KafkaSettings) -> tuple[str, ...]:
    said = settings.topics if settings.topics is not None else []
    names = (said,) if isinstance(said, str) else tuple(said)
    if bool(names) == (settings.pattern is not None):
        raise SourceError(
            "it is to say either topics or a pattern of their names",
            allowed=("topics: [NAME, …]", "pattern: REGULAR EXPRESSION"),
        )
    for name in names:
        if not _TOPIC.fullmatch(name) or name in (".", ".."):
            raise SourceError(
                f"{name!r} is no name of a topic", allowed=("letters, digits, '.', '_' and '-'",)
            )
    return tuple(dict.fromkeys(names))


def _pattern(settings: KafkaSettings) -> re.Pattern[str] | None:
    try:
        return re.compile(settings.pattern) if settings.pattern is not None else None
    except re.error as error:
        raise SourceError(f"pattern: this is no regular expression: {error}") from error


def _since(start: str) -> int | None:
    """Return a time in milliseconds; None where the start is none."""
    if start in ("earliest", "latest"):
        return None
    try:
        return int(instant(start).timestamp() * 1000)
    except LichenError as error:
        raise SourceError(
            f"start: {start!r} is no place to begin",
            allowed=("earliest", "latest", "a time such as 2026-01-31T12:00:00Z"),
            given=start,
        ) from error


def _records(settings: KafkaSettings, outside: Outside) -> Records:
    avro = _avro(settings, outside)
    value = avro.json if avro is not None and settings.format == "avro" else None
    return Records(text=settings.format == "text", value=value, keys=_keys(settings, avro))


def _avro(settings: KafkaSettings, outside: Outside) -> AvroRecords | None:
    if "avro" not in (settings.format, settings.key_format):
        return None
    if settings.registry is None:
        raise SourceError(
            "Avro records carry the id of a schema, and no registry is named",
            hint="registry: https://HOST[:PORT]",
        )
    registry = Registry(
        settings.registry,
        settings.registry_user,
        settings.registry_password,
        settings.registry_tls,
        outside,
    )
    return AvroRecords(
        registry, read_schema(outside.root / settings.reader) if settings.reader else None
    )


def _keys(settings: KafkaSettings, avro: AvroRecords | None) -> Keys | None:
    said = settings.key
    columns = [said] if isinstance(said, str) else list(said or ())
    others = [name for name in columns if name.lower() != "meta_key"]
    if settings.key_format is None:
        return None if others or not columns else keys_of([], None)
    if not columns:
        raise SourceError("key_format: a record's key fills key columns, and no `key` names them")
    if settings.key_format == "text":
        if len(others) > 1:
            raise SourceError(f"key_format: a text cannot fill {', '.join(others)}")
        return keys_of(others, None)
    return keys_of(
        others, avro.json if avro is not None and settings.key_format == "avro" else bytes
    )


def _access(settings: KafkaSettings) -> Access:
    said = settings.brokers
    brokers = (said,) if isinstance(said, str) else tuple(said)
    for broker in brokers or ("",):
        if not _BROKER.fullmatch(broker):
            # The text is not told where it may hold a password.
            shown = repr(broker) if "@" not in broker else "what stands there"
            raise SourceError(f"brokers: {shown} is no address", allowed=("HOST:PORT",))
    if settings.sasl is not None and (settings.user is None or settings.password is None):
        raise SourceError(f"sasl: {settings.sasl} asks for a user and a password")
    if settings.sasl is None and (settings.user is not None or settings.password is not None):
        raise SourceError(
            "a user is told by a sasl mechanism, and none is named",
            allowed=("sasl: PLAIN", "sasl: SCRAM-SHA-256", "sasl: SCRAM-SHA-512"),
        )
    return Access(brokers, settings.sasl, settings.user, settings.password, settings.tls)


def _partitions(topics: Mapping[str, int]) -> list[Partition]:
    return [(name, number) for name, count in topics.items() for number in range(count)]


def _told(lost: Mapping[Partition, tuple[int, int]]) -> str:
    """Return ranges of offsets in words.

    >>> _told({("a", 0): (3, 5)})
    'offsets 3 to 4 of a[0] are'
    """
    some = [f"offsets {a} to {b - 1} of {t}[{n}]" for (t, n), (a, b) in sorted(lost.items())]
    return ", ".join(some[:5]) + (f" and of {len(some) - 5} others" if some[5:] else "") + " are"


def _gone(
    held: Mapping[str, Stood], topics: Mapping[str, Topic], low: Mapping[Partition, int]
) -> str:
    """Return what was landed and could not be read again."""
    again = [name for name, stood in held.items() if name not in topics or stood.times]
    if again:
        return f"the topic {again[0]} that was read is deleted"
    begins = {(name, n): at for name, s in held.items() for n, at in enumerate(s.begin)}
    lost = {p: (at, low[p]) for p, at in begins.items() if at < low.get(p, 0)}
    return f"{_told(lost)} no longer in Kafka" if lost else ""


def _encoded(place: Place) -> str:
    return msgspec.json.encode(place).decode()
