"""Kafka: one process that is broker and controller (KRaft), from Maven artefacts.

Topics are not made by naming them. A client that comes through the port `behind` is told that
the broker is to be found at the port `cut`: a test that listens there and passes bytes on to
`behind` can slow, halve or cut every connection of that client.
"""

import base64
import socket
import struct
from pathlib import Path

from tests.services import maven
from tests.services.frame import HOST, Launch, Room, run

NAME = "kafka"
TITLE = "Kafka"
PORTS = {"main": 19092, "controller": 19093, "behind": 19094, "cut": 19095}
SECONDS = 60.0

CLUSTER = base64.urlsafe_b64encode(b"lichen's brokers").decode().rstrip("=")
LOG = "-Dorg.slf4j.simpleLogger"

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "MAIN",
    "listener.security.protocol.map": "MAIN:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT",
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


def _settings(room: Room, data: Path) -> list[tuple[str, str]]:
    """Return the fixed settings and those that hold ports and folders."""
    ports = room.ports
    main, cut = f"MAIN://{HOST}:{ports['main']}", f"CUT://{HOST}:{ports['cut']}"
    behind = f"CUT://{HOST}:{ports['behind']}"
    controller = f"{HOST}:{ports['controller']}"
    return [
        *SETTINGS.items(),
        ("listeners", f"{main},{behind},CONTROLLER://{controller}"),
        ("advertised.listeners", f"{main},{cut}"),
        ("controller.quorum.voters", f"1@{controller}"),
        ("log.dirs", str(data)),
    ]


def answer(room: Room) -> str:
    """Ask for the cluster's metadata and return its id; raises until the broker is in it."""
    metadata, version, question, no_topics = 3, 2, 7, 0
    body = struct.pack(">hhihi", metadata, version, question, -1, no_topics)
    with (
        socket.create_connection((HOST, room.port), timeout=3) as line,
        line.makefile("rb") as said,
    ):
        line.sendall(struct.pack(">i", len(body)) + body)
        (length,) = struct.unpack(">i", said.read(4))
        reply = said.read(length)
    echoed, brokers = struct.unpack_from(">ii", reply)
    if (echoed, brokers) != (question, 1):
        raise ConnectionError(f"answer {echoed} to question {question}, {brokers} brokers of 1")
    (host,) = struct.unpack_from(">h", reply, 12)
    rest = reply[12 + 2 + host + 4 + 2 :]  # after the host: its port and its absent rack
    (length,) = struct.unpack_from(">h", rest)
    return f"cluster {rest[2 : 2 + length].decode()}"
