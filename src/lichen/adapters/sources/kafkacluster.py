"""A Kafka cluster as it is asked: its topics and how far they reach, with errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.ports.source import Outside, Tls

Partition = tuple[str, int]  # a topic's name, and which of its partitions

_DOWN = 5.0  # seconds after which brokers that nobody can reach are given up, if not before
_TURN = 0.02  # seconds of waiting before a look at what the client has to say
_AGAIN = 0.1  # seconds before a question is asked again
_AWAY = frozenset({"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE"})
_SOON = frozenset(  # a leader is being found, or has just been
    {"NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "OFFSET_NOT_AVAILABLE"}
    | {"FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "KAFKA_STORAGE_ERROR"}
    | {"COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"}
)


@dataclass(frozen=True)
class Access:
    """Where a cluster is and who asks; `sasl` is the mechanism, None where nobody is asked."""

    brokers: tuple[str, ...]
    sasl: str | None
    user: str | None
    password: str | None = field(repr=False)  # a reference
    tls: Tls | None


class Topic(NamedTuple):
    """A topic that is there: what tells it from another of its name, and its partitions."""

    id: str
    partitions: int


class UnknownTopic(SourceError):
    """There is no such topic, or not that many partitions."""


class Heard:
    """What a client says on the side: why it cannot go on, or not yet."""

    def __init__(self) -> None:
        self.last = ""  # the last trouble, in the client's words
        self.final: Any = None  # an error that waiting does not mend
        self.down: float | None = None  # since when no broker can be reached

    def __call__(self, error: Any) -> None:
        """Take an error of the client."""
        code = needed("confluent_kafka", "kafka").KafkaError
        if error.code() == code._ALL_BROKERS_DOWN:  # it names no broker, the one before it did
            self.down = self.down or time.monotonic()
            return
        self.last = error.str()
        if error.fatal() or error.code() in (code._AUTHENTICATION, code._SSL):
            self.final = error

    def well(self) -> None:
        """Forget: a broker answered."""
        self.last, self.down = "", None

    def hopeless(self, since: float, timeout: float) -> bool:
        """Whether to wait no longer for what was asked at a time of `monotonic`."""
        now, patience = time.monotonic(), min(_DOWN, timeout)
        down = self.down is not None and now - max(since, self.down) > patience
        return down or self.final is not None or now - since > timeout


class Cluster:
    """Asks a cluster, never waiting longer than the source's timeout for an answer."""

    def __init__(self, access: Access, outside: Outside) -> None:
        self._access, self._outside = access, outside
        self.timeout = outside.timeout
        self._heard = Heard()
        self._made: Any = None

    def id(self) -> str:
        """Return what tells this cluster from others."""
        ask = partial(self._admin().describe_cluster, request_timeout=self.timeout)
        return str(self._answer(ask, "the cluster").cluster_id or "")

    def names(self) -> list[str]:
        """Return the names of all topics, but for Kafka's own."""
        try:
            found = self._admin().list_topics(timeout=self.timeout).topics
        except self._errors() as error:
            raise self.failed(error.args[0], "the list of topics", self._heard) from error
        return sorted(name for name in found if not name.startswith("__"))

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Return those of the topics that are there."""
        found = {}
        for name in names:
            try:
                said = self._answer(partial(self._described, name), f"the topic {name}")
            except UnknownTopic:
                continue
            found[name] = Topic(str(said.topic_id or ""), len(said.partitions))
        return found

    def first(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the first offset that each partition still holds."""
        return self._offsets(partitions, self._spec().earliest())

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offset up to which all is committed or aborted."""
        level = needed("confluent_kafka", "kafka").IsolationLevel.READ_COMMITTED
        return self._offsets(partitions, self._spec().latest(), isolation_level=level)

    def written(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offset that the next record will get."""
        return self._offsets(partitions, self._spec().latest())

    def since(self, partitions: Iterable[Partition], at: int) -> dict[Partition, int]:
        """Return the first offset of a time (ms) or later; -1 where there is none."""
        return self._offsets(partitions, self._spec().for_timestamp(at))

    def tell(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Say how far a consumer group is; nobody may be a member of it."""
        client = needed("confluent_kafka", "kafka")
        places = [client.TopicPartition(*place, offset) for place, offset in offsets.items()]
        wanted = [client.ConsumerGroupTopicPartitions(group, places)]

        def ask() -> Any:
            alter = self._admin().alter_consumer_group_offsets
            return alter(wanted, request_timeout=self.timeout)[group]

        for told in self._answer(ask, f"the group {group}").topic_partitions:
            if told.error is not None:
                raise self.failed(told.error, f"the group {group}", self._heard)

    def consumer(self, heard: Heard, settings: Mapping[str, Any]) -> Any:
        """Return a consumer that reads nothing yet."""
        client = needed("confluent_kafka", "kafka")
        return self._opened(client.Consumer, {**self._settings(heard), **settings})

    def failed(self, error: Any, what: str, heard: Heard) -> SourceError:
        """Return an error of the client as one of ours: what, where, and what to do."""
        if error.name() in _AWAY:
            heard.last = heard.last or error.str()
            return self.silence(what, heard)
        code, said = needed("confluent_kafka", "kafka").KafkaError, error.str()
        heard.last = heard.last if heard.last != said else ""
        why = f"{said} ({heard.last})" if heard.last else said
        hint = None
        if error.code() in (code._AUTHENTICATION, code.SASL_AUTHENTICATION_FAILED):
            hint = "look at sasl, user and what password refers to"
        elif error.code() == code._SSL:
            hint = "look at tls: the ca that signed the broker's certificate, or one's own cert"
        elif "AUTHORIZATION" in error.name():
            hint = "this user needs the right to describe and read it"
        return self._error(f"{what}: {why}", hint, away=False)

    def silence(self, what: str, heard: Heard) -> SourceError:
        """Return the error that nothing came in time."""
        if heard.final is not None:
            return self.failed(heard.final, what, heard)
        why = f": {heard.last}" if heard.last else ""
        hint = "is it running, can it be reached from here, and does it ask for tls or sasl?"
        return self._error(f"{what}: no broker answered{why}", hint, away=True)

    def trouble(self, what: str, hint: str | None = None) -> SourceError:
        """Return an error that names the brokers."""
        return self._error(what, hint, away=False)

    def _error(self, what: str, hint: str | None, *, away: bool) -> SourceError:
        kind = SourceAway if away else SourceError
        brokers = ", ".join(self._access.brokers)
        return kind(f"Kafka at {brokers}: {what}", where=self._outside.where, hint=hint)

    def close(self) -> None:
        """Forget the connection."""
        self._made, self._heard = None, Heard()

    def _offsets(
        self, partitions: Iterable[Partition], spec: Any, **how: Any
    ) -> dict[Partition, int]:
        client = needed("confluent_kafka", "kafka")
        wanted = {place: client.TopicPartition(*place) for place in partitions}
        asked: dict[Partition, Any] = {}

        def ask(place: Partition) -> Any:
            if place not in asked:  # one question for all that are still open
                left = {wanted[p]: spec for p in wanted if p not in found}
                said = self._admin().list_offsets(left, request_timeout=self.timeout, **how)
                asked.update({(p.topic, p.partition): future for p, future in said.items()})
            return asked.pop(place)

        found: dict[Partition, int] = {}
        for place in wanted:
            what = f"the offsets of {place[0]}[{place[1]}]"
            found[place] = self._answer(partial(ask, place), what).offset
        return found

    def _answer(self, ask: Callable[[], Any], what: str) -> Any:
        """Return an answer; asks again while brokers only say that they are about to know it."""
        since, future = time.monotonic(), ask()
        while True:
            try:
                found = future.result(timeout=_TURN)
            except TimeoutError:
                self._admin().poll(0)
                if self._heard.hopeless(since, self.timeout):
                    raise self.silence(what, self._heard) from None
            except self._errors() as error:
                self._admin().poll(0)
                name = error.args[0].name()
                if name == "UNKNOWN_TOPIC_OR_PART":
                    raise UnknownTopic(f"{what}: it is gone", where=self._outside.where) from error
                if name not in _SOON or self._heard.hopeless(since, self.timeout):
                    raise self.failed(error.args[0], what, self._heard) from error
                time.sleep(_AGAIN)
                future = ask()
            else:
                self._heard.well()
                return found

    def _described(self, name: str) -> Any:
        names = needed("confluent_kafka", "kafka").TopicCollection([name])
        return self._admin().describe_topics(names, request_timeout=self.timeout)[name]

    def _admin(self) -> Any:
        if self._made is None:
            admin = needed("confluent_kafka.admin", "kafka")
            self._made = self._opened(admin.AdminClient, self._settings(self._heard))
        return self._made

    def _opened(self, make: Any, settings: dict[str, Any]) -> Any:
        try:
            return make(settings)
        except self._errors() as error:
            what = error.args[0].str()
            raise self.trouble(what, "look at sasl and tls, and the files named there") from error

    def _errors(self) -> type[Exception]:
        errors: type[Exception] = needed("confluent_kafka", "kafka").KafkaException
        return errors

    def _spec(self) -> Any:
        return needed("confluent_kafka.admin", "kafka").OffsetSpec

    def _settings(self, heard: Heard) -> dict[str, Any]:
        patience = max(1000, int(self.timeout * 1000))
        return {
            "bootstrap.servers": ",".join(self._access.brokers),
            "client.id": "lichen",
            "log_level": 0,  # what matters becomes an error
            "socket.timeout.ms": min(patience, 300_000),
            "socket.connection.setup.timeout.ms": min(patience, 2**31 - 1),
            "reconnect.backoff.max.ms": 1000,
            "error_cb": heard,
            **self._who(),
        }

    def _who(self) -> dict[str, Any]:
        access, root = self._access, self._outside.root
        found: dict[str, Any] = {}
        if access.sasl is not None:
            assert access.password is not None
            found = {
                "sasl.mechanism": access.sasl,
                "sasl.username": access.user,
                "sasl.password": self._outside.secret(access.password),
            }
        if (tls := access.tls) is not None:
            files = (("ca", tls.ca), ("certificate", tls.cert), ("key", tls.key))
            for name, path in files:
                if path and not (root / path).is_file():
                    raise SourceError(f"tls: the file {path} is missing", where=self._outside.where)
                found |= {f"ssl.{name}.location": str(root / path)} if path else {}
            if not tls.verify:
                found["enable.ssl.certificate.verification"] = False
        protocol = ("SASL_" if access.sasl else "") + ("SSL" if access.tls else "PLAINTEXT")
        return {"security.protocol": protocol, **found}
