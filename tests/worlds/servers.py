"""Fixtures: a running server for the session, and for each test a place of its own within it.

    def test_rows(postgres_database: Place): ...   # an empty database, dropped afterwards

A server that does not run skips its tests by name. With LICHEN_SERVICES=start it is started if
the machine can, and then one that fails is an error, never a skip.
"""

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.services import cassandra as cassandra_server
from tests.services import ferretdb as ferretdb_server
from tests.services import frame, keeper
from tests.services import hdfs as hdfs_server
from tests.services import kafka as kafka_server
from tests.services import mariadb as mariadb_server
from tests.services import mosquitto as mosquitto_server
from tests.services import moto as moto_server
from tests.services import postgres as postgres_server
from tests.services import schemas as schemas_server
from tests.services.frame import Room, Server


@dataclass(frozen=True)
class Place:
    """A part of a server that one test has for itself: a database, a bucket, a topic prefix."""

    room: Room
    name: str
    host: str = frame.HOST
    user: str = frame.USER
    password: str = frame.PASSWORD

    @property
    def port(self) -> int:
        return self.room.port

    @property
    def certificate(self) -> Path:
        """What a client must trust to speak TLS with the server."""
        return self.room.folder / "tls.crt"

    def url(self, scheme: str) -> str:
        """Return the place as a URL with user and password."""
        return f"{scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"


def running(server: Server) -> Room:
    """Return where the server runs, starting it if we shall; skips the test if it does not run."""
    why = server.missing()
    if os.environ.get("LICHEN_SERVICES") == "start" and why is None:
        return keeper.start(server).room
    now = keeper.running(server)
    room = now.room if now else keeper.elsewhere(server)
    if room is None:
        pytest.skip(f"{server.TITLE} is not running: make services" + (f" ({why})" if why else ""))
    return room


def fresh(request: pytest.FixtureRequest) -> str:
    """Return a name that no other test has, from letters, digits and _, 40 long at most."""
    test = re.sub(r"[^a-z0-9]+", "_", request.node.name.lower()).strip("_")
    return f"{test[:29].rstrip('_')}_{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def postgres() -> Room:
    """A running PostgreSQL."""
    return running(postgres_server)


@pytest.fixture(scope="session")
def mariadb() -> Room:
    """A running MariaDB."""
    return running(mariadb_server)


@pytest.fixture(scope="session")
def mosquitto() -> Room:
    """A running MQTT broker."""
    return running(mosquitto_server)


@pytest.fixture(scope="session")
def ferretdb() -> Room:
    """A running server of MongoDB's protocol."""
    return running(ferretdb_server)


@pytest.fixture(scope="session")
def moto() -> Room:
    """A running stand-in for S3 and Kinesis."""
    return running(moto_server)


@pytest.fixture(scope="session")
def kafka() -> Room:
    """A running Kafka broker."""
    return running(kafka_server)


@pytest.fixture(scope="session")
def schemas() -> Room:
    """A running stand-in for a schema registry."""
    return running(schemas_server)


@pytest.fixture(scope="session")
def cassandra() -> Room:
    """A running Cassandra node."""
    return running(cassandra_server)


@pytest.fixture(scope="session")
def hdfs() -> Room:
    """A running NameNode and DataNode."""
    return running(hdfs_server)


@pytest.fixture
def postgres_database(postgres: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty PostgreSQL database; it goes with its replication slots and connections."""
    place = Place(postgres, fresh(request))
    postgres_server.create(postgres, place.name)
    yield place
    postgres_server.drop(postgres, place.name)


@pytest.fixture
def mariadb_database(mariadb: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty MariaDB database."""
    place = Place(mariadb, fresh(request))
    mariadb_server.ask(mariadb, f"create database {place.name}")
    yield place
    mariadb_server.ask(mariadb, f"drop database {place.name}")


@pytest.fixture
def mongo_database(ferretdb: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty database by MongoDB's protocol; it asks for no user."""
    place = Place(ferretdb, fresh(request), user="", password="")
    yield place
    ferretdb_server.drop(ferretdb, place.name)


@pytest.fixture
def mqtt_topic(mosquitto: Room, request: pytest.FixtureRequest) -> Place:
    """A topic that nobody else uses, also fit as the start of topics and of client ids."""
    return Place(mosquitto, fresh(request))


@pytest.fixture
def s3_bucket(moto: Room, request: pytest.FixtureRequest) -> Place:
    """An empty S3 bucket, by path-style addresses at http://host:port; any key is right."""
    place = Place(moto, fresh(request).replace("_", "-"), user=moto_server.KEY_ID)
    moto_server.bucket(moto, place.name)
    return place


@pytest.fixture
def kinesis_stream(moto: Room, request: pytest.FixtureRequest) -> Place:
    """A Kinesis stream of two shards."""
    place = Place(moto, fresh(request), user=moto_server.KEY_ID)
    moto_server.stream(moto, place.name, shards=2)
    return place


@pytest.fixture
def kafka_topic(kafka: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty Kafka topic of three partitions; its name is fit as a consumer group's, too."""
    place = Place(kafka, fresh(request), user="", password="")
    kafka_server.create(kafka, place.name, partitions=3)
    yield place
    kafka_server.drop(kafka, place.name)


@pytest.fixture
def cassandra_keyspace(cassandra: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty keyspace."""
    place = Place(cassandra, fresh(request), user="", password="")
    cassandra_server.create(cassandra, place.name)
    yield place
    cassandra_server.drop(cassandra, place.name)


@pytest.fixture
def hdfs_folder(hdfs: Room, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty folder in HDFS: its name is its path, without the slash before it."""
    place = Place(hdfs, fresh(request), password="")
    hdfs_server.make(hdfs, f"/{place.name}")
    yield place
    hdfs_server.drop(hdfs, f"/{place.name}")
