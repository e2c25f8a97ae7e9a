"""Kafka: one process that is broker and controller (KRaft), from Maven artefacts.

Topics are not made by naming them. A broker tells its clients where to find it, so a proxy cannot
be put before the port `main`. It can before `behind`: whoever comes there is sent to the port
`cut(room)`, where a test's proxy listens and passes bytes on to `behind`. The port `secure` speaks
TLS and asks who one is, by PLAIN; SCRAM knows whom its administrator told it.
"""

import base64
import socket
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from tests.services import maven
from tests.services.frame import HOST, PASSWORD, USER, Launch, Room, ServiceError, run
from tests.services.tls import certificate

NAME = "kafka"
TITLE = "Kafka"
PORTS = {"main": 19092, "controller": 19093, "behind": 19094, "secure": 19097}
SECONDS = 60.0

CLUSTER = base64.urlsafe_b64encode(b"lichen's brokers").decode().rstrip("=")
NONE: Mapping[str, str] = MappingProxyType({})
LOG = "-Dorg.slf4j.simpleLogger"
LOGIN = "org.apache.kafka.common.security"

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "MAIN",
    "listener.security.protocol.map": "MAIN:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
    "SECURE:SASL_SSL",
    "listener.name.secure.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
    "listener.name.secure.plain.sasl.jaas.config": f"{LOGIN}.plain.PlainLoginModule required "
    f'user_{USER}="{PASSWORD}";',
    "listener.name.secure.scram-sha-256.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule "
    "required;",
    "listener.name.secure.ssl.keystore.type": "PEM",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": str(2 << 20),
    # A broker that was killed comes back when its old session has ended.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "num.io.threads": "2",
    "num.network.threads": "2",
}


def missing() -> str | None:
    """Why Kafka cannot start here; None when it can."""
    return maven.missing(NAME)


def install() -> None:
    """Bring Java, Maven and Kafka's jars."""
    maven.install(NAME)


def launches(room: Room) -> list[Launch]:
    """Write the broker's settings, format its log folder once, and say how to run it."""
    settings, data = room.folder / "server.properties", room.folder / "data"
    settings.write_text("".join(f"{key}={value}\n" for key, value in _settings(room, data)))
    if not (data / "meta.properties").exists():
        words = ["format", "--cluster-id", CLUSTER, "--config", str(settings)]
        run([*maven.command(NAME, "kafka.tools.StorageTool", "-Xmx128m"), *words])
    options = ["-Xms128m", "-Xmx384m", f"{LOG}.defaultLogLevel=warn", f"{LOG}.showDateTime=true"]
    return [Launch([*maven.command(NAME, "kafka.Kafka", *options), str(settings)])]


def cut(room: Room) -> int:
    """Return the port to which clients of `behind` are sent; nobody listens there but a test."""
    return room.ports["behind"] + 1


def _settings(room: Room, data: Path) -> list[tuple[str, str]]:
    """Return the fixed settings and those that hold ports and folders."""
    ports = room.ports
    main, sent = f"MAIN://{HOST}:{ports['main']}", f"CUT://{HOST}:{cut(room)}"
    behind = f"CUT://{HOST}:{ports['behind']}"
    controller = f"{HOST}:{ports['controller']}"
    secure = f"SECURE://{HOST}:{ports['secure']}"
    made, key = certificate(room)
    both = room.folder / "tls.pem"
    both.write_text(key.read_text() + made.read_text())
    both.chmod(0o600)
    return [
        *SETTINGS.items(),
        ("listeners", f"{main},{behind},{secure},CONTROLLER://{controller}"),
        ("advertised.listeners", f"{main},{sent},{secure}"),
        ("listener.name.secure.ssl.keystore.location", str(both)),
        ("controller.quorum.voters", f"1@{controller}"),
        ("log.dirs", str(data)),
    ]


def answer(room: Room) -> str:
    """Ask for the cluster's metadata and return its id; raises until the broker is in it."""
    no_topics = struct.pack(">i", 0)
    told = _ask(room, METADATA, no_topics)
    (brokers,) = struct.unpack(">i", told.read(4))
    if brokers != 1:
        raise ConnectionError(f"{brokers} of 1 brokers are in the cluster")
    told.read(4)  # its id
    _word(told)  # its host
    told.read(4)  # its port
    _word(told)  # its rack
    return f"cluster {_word(told)}"


def create(room: Room, topic: str, *, partitions: int, settings: Mapping[str, str] = NONE) -> None:
    """Make a topic, with settings such as cleanup.policy."""
    fixed = [_packed(key) + _packed(value) for key, value in settings.items()]
    replicas, no_places = 1, 0
    shape = struct.pack(">ihii", partitions, replicas, no_places, len(fixed))
    truly = struct.pack(">ib", PATIENCE, 0)
    topics = struct.pack(">i", 1) + _packed(topic) + shape + b"".join(fixed)
    _done(topic, _ask(room, CREATE, topics + truly))


def drop(room: Room, topic: str) -> None:
    """Remove a topic and all its records."""
    topics = struct.pack(">i", 1) + _packed(topic)
    _done(topic, _ask(room, DELETE, topics + struct.pack(">i", PATIENCE)))


METADATA, CREATE, DELETE = (3, 2), (19, 2), (20, 1)  # questions of the protocol: key and version
PATIENCE = 10_000  # milliseconds that the broker may take


def _ask(room: Room, question: tuple[int, int], body: bytes) -> BytesIO:
    """Send one question and return the answer after its number."""
    number, no_client = 7, -1
    sent = struct.pack(">hhih", *question, number, no_client) + body
    with (
        socket.create_connection((HOST, room.port), timeout=15) as line,
        line.makefile("rb") as said,
    ):
        line.sendall(struct.pack(">i", len(sent)) + sent)
        (length,) = struct.unpack(">i", said.read(4))
        told = BytesIO(said.read(length))
    if struct.unpack(">i", told.read(4)) != (number,):
        raise ConnectionError("the broker answered another question")
    return told


def _done(topic: str, told: BytesIO) -> None:
    """Raise ServiceError unless the broker did to the topic what was asked."""
    told.read(4 + 4)  # a time of throttling, and that there is one topic
    _word(told)
    (code,) = struct.unpack(">h", told.read(2))
    if code != 0:
        raise ServiceError(f"Kafka refused with error {code} for topic {topic}")


def _packed(word: str) -> bytes:
    return struct.pack(">h", len(word)) + word.encode()


def _word(told: BytesIO) -> str:
    """Read a string, which may be absent."""
    (length,) = struct.unpack(">h", told.read(2))
    return told.read(max(length, 0)).decode()
