"""Cassandra: one node that is its own seed, from Maven artefacts; no password is asked for."""

import json
import socket
import struct
from io import BufferedRWPair
from pathlib import Path

from tests.services import maven
from tests.services.frame import HOST, Launch, Room

NAME = "cassandra"
TITLE = "Cassandra"
PORTS = {"main": 19042, "storage": 17000, "storage_tls": 17001}
SECONDS = 120.0

# What Cassandra's own start script grants on Java 17.
EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
)
OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)

# No JMX port is among them, so none is opened.
OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+ExitOnOutOfMemoryError",
    *(f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTS),
    *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENS),
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dcassandra-foreground=yes",
    # Alone, a node has nobody to wait for.
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
)

SETTINGS: dict[str, object] = {
    "cluster_name": "lichen",
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "num_tokens": 1,
    "initial_token": "0",
    "endpoint_snitch": "SimpleSnitch",
    "listen_address": HOST,
    "rpc_address": HOST,
    "commitlog_sync": "periodic",
    "commitlog_sync_period": "10000ms",
    "commitlog_segment_size": "8MiB",
    "auto_snapshot": False,
    "concurrent_reads": 4,
    "concurrent_writes": 4,
    "memtable_heap_space": "96MiB",
    "memtable_offheap_space": "64MiB",
    "file_cache_size": "32MiB",
    "networking_cache_size": "16MiB",
}

LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


def missing() -> str | None:
    """Why Cassandra cannot start here; None when it can."""
    return maven.missing(NAME)


def install() -> None:
    """Bring Java, Maven and Cassandra's jars."""
    maven.install(NAME)


def launches(room: Room) -> list[Launch]:
    """Write the node's settings and say how to run it."""
    settings, log = room.folder / "cassandra.yaml", room.folder / "logback.xml"
    settings.write_text(json.dumps(_settings(room), indent=1))  # JSON is YAML
    log.write_text(LOGBACK)
    places = [
        f"-Dcassandra.config={settings.as_uri()}",
        f"-Dcassandra.storagedir={_data(room)}",
        f"-Dlogback.configurationFile={log}",
    ]
    main = "org.apache.cassandra.service.CassandraDaemon"
    return [Launch(maven.command(NAME, main, *OPTIONS, *places))]


def _data(room: Room) -> Path:
    return room.folder / "data"


def _settings(room: Room) -> dict[str, object]:
    """Return the fixed settings and those that hold ports and folders."""
    data = _data(room)
    own = {"seeds": f"{HOST}:{room.ports['storage']}"}
    return {
        **SETTINGS,
        "seed_provider": [
            {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [own]}
        ],
        "native_transport_port": room.port,
        "storage_port": room.ports["storage"],
        "ssl_storage_port": room.ports["storage_tls"],
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(data / "commitlog"),
        "saved_caches_directory": str(data / "saved_caches"),
        "hints_directory": str(data / "hints"),
        "cdc_raw_directory": str(data / "cdc_raw"),
    }


STARTUP, READY, QUERY, RESULT = 1, 2, 7, 8  # opcodes of the native protocol, version 4


def answer(room: Room) -> str:
    """Ask the node in CQL for its version."""
    rows = ask(room, "select release_version from system.local")
    # One row with one cell: its length follows the count of rows, its text ends the answer.
    mark = struct.pack(">i", 1)
    return rows[rows.rindex(mark) + len(mark) + 4 :].decode()


def create(room: Room, keyspace: str) -> None:
    """Make a keyspace of one replica."""
    replicas = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    ask(room, f'create keyspace "{keyspace}" with replication = {replicas}')


def drop(room: Room, keyspace: str) -> None:
    """Remove a keyspace and all its tables."""
    ask(room, f'drop keyspace if exists "{keyspace}"')


def ask(room: Room, cql: str) -> bytes:
    """Run one statement and return the body of its result, as the protocol writes it."""
    with (
        socket.create_connection((HOST, room.port), timeout=30) as line,
        line.makefile("rwb") as talk,
    ):
        _exchange(talk, STARTUP, _words("CQL_VERSION", "3.0.0"), READY)
        text = cql.encode()
        consistency_one, no_flags = 1, 0
        query = struct.pack(">i", len(text)) + text + struct.pack(">hb", consistency_one, no_flags)
        return _exchange(talk, QUERY, query, RESULT)


def _words(*pairs: str) -> bytes:
    """Return a map of strings as the protocol writes it."""
    encoded = [struct.pack(">h", len(word)) + word.encode() for word in pairs]
    return struct.pack(">h", len(pairs) // 2) + b"".join(encoded)


def _exchange(talk: BufferedRWPair, opcode: int, body: bytes, wanted: int) -> bytes:
    """Send one frame and return the body of the answer; raises unless it is of the wanted kind."""
    version, flags, stream = 4, 0, 0
    talk.write(struct.pack(">BBhBi", version, flags, stream, opcode, len(body)) + body)
    talk.flush()
    head = talk.read(9)
    if len(head) < 9:
        raise ConnectionError("the node hung up")
    *_, told, length = struct.unpack(">BBhBi", head)
    reply = talk.read(length)
    if told != wanted:
        raise ConnectionError(f"the node answered {told}, not {wanted}: {reply!r}")
    return reply
