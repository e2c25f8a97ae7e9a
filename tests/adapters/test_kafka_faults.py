"""Kafka that refuses, cuts, stalls or restarts, and who is let in: errors in time, no loss."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import Proxy
from kafka_topics import Topic, failure, project_of
from servers import Place
from tests.services import frame, keeper, processes
from tests.services import kafka as broker
from tests.services.frame import Room

from lichen.testing.project import SmallProject
from lichen.testing.source import numbers

SECONDS = 3  # the timeout of a source; the client counts in seconds and may need one more


@pytest.fixture
def topic(kafka_topic: Place) -> Topic:
    return Topic(kafka_topic, keyed=False)


@pytest.fixture
def proxy(kafka_topic: Place) -> Iterator[Proxy]:
    room = kafka_topic.room
    with Proxy(room.ports["behind"], door=broker.cut(room)) as proxy:
        yield proxy


def behind(topic: Topic, proxy: Proxy, root: Path, more: str = "") -> SmallProject:
    project = project_of(topic, root)
    project.write(
        "sources/s.yml",
        f"connector: kafka\nbrokers: {frame.HOST}:{proxy.port}\ntopics: {topic.place.name}\n"
        f"timeout: {SECONDS} s\nlimits: {{rows: 1000}}\n{more}",
    )
    return project


def in_time(project: SmallProject, now: str) -> str:
    began = time.monotonic()
    error = failure(project, now)
    assert time.monotonic() - began < SECONDS + 3
    return error


def test_a_broker_that_refuses(topic: Topic, proxy: Proxy, tmp_path: Path) -> None:
    project = behind(topic, proxy, tmp_path)
    topic.put(range(5))
    proxy.refuse()
    error = in_time(project, "2020-01-01")
    assert f"Kafka at {frame.HOST}:{proxy.port}: the cluster: no broker answered" in error
    assert "Connection refused" in error
    proxy.heal()
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == list(range(5))


def test_a_broker_that_stalls_before_and_amid_a_reading(
    topic: Topic, proxy: Proxy, tmp_path: Path
) -> None:
    project = behind(topic, proxy, tmp_path)
    topic.put(range(30_000))
    proxy.stall()
    assert "no broker answered" in in_time(project, "2020-01-01")
    proxy.heal()
    loop = project.loop()

    def stall(event: Any) -> None:
        if event.note:  # records are coming
            proxy.stall()

    began = time.monotonic()
    events = loop.run(now=_at(2), report=stall)
    assert time.monotonic() - began < 4 * SECONDS
    assert any("no broker answered" in repr(event.result) for event in events)
    assert len(numbers(project, "2020-01-03")) < 30_000
    proxy.heal()
    project.run("2020-01-03")
    project.run("2020-01-04")
    assert numbers(project, "2020-01-05") == list(range(30_000))
    assert len(project.versions("sources.s")) == 30_000


def test_a_connection_that_is_cut_amid_records(topic: Topic, proxy: Proxy, tmp_path: Path) -> None:
    project = behind(topic, proxy, tmp_path, "retries: 2\n")
    topic.put(range(30_000))
    for size in (5_000, 100_000):
        proxy.cut_after(size)
        project.run("2020-01-01")
    assert proxy.accepted > 4
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == list(range(30_000))
    assert len(project.versions("sources.s")) == 30_000


def _at(day: int) -> Any:
    from lichen.core.time import instant

    return instant(f"2020-01-0{day}")


def test_a_broker_that_is_killed_and_started_again(kafka: Room, tmp_path: Path) -> None:
    with keeper.private(broker, tmp_path / "k") as now:
        broker.create(now.room, "t", partitions=1)
        topic = Topic(Place(now.room, "t"), f"timeout: {SECONDS} s\n", keyed=False)
        project = project_of(topic, tmp_path / "p")
        topic.put(range(5))
        project.run("2020-01-01")
        topic.put(range(5, 9))
        processes.kill(now.processes)
        assert "Connection refused" in in_time(project, "2020-01-02")
        keeper.start(broker, tmp_path / "k")
        project.run("2020-01-03")
        assert numbers(project, "2020-01-04") == list(range(9))
        assert len(project.versions("sources.s")) == 9


def secured(topic: Topic, root: Path, **settings: str) -> SmallProject:
    room = topic.place.room
    said = {
        "brokers": f"{frame.HOST}:{room.ports['secure']}",
        "topics": topic.place.name,
        "timeout": f"{SECONDS} s",
        "sasl": "PLAIN",
        "user": frame.USER,
        "password": "file:password",
        "tls": f"{{ca: {room.folder / 'tls.crt'}}}",
        **settings,
    }
    project = project_of(topic, root)
    text = "\n".join(f"{name}: {value}" for name, value in said.items() if value)
    project.write("sources/s.yml", f"connector: kafka\n{text}\n")
    project.write("password", frame.PASSWORD)
    return project


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_who_knows_the_password_is_let_in(topic: Topic, tmp_path: Path, mechanism: str) -> None:
    client = pytest.importorskip("confluent_kafka.admin")
    known = client.ScramCredentialInfo(client.ScramMechanism.SCRAM_SHA_256, 4096)
    told = client.UserScramCredentialUpsertion(frame.USER, known, frame.PASSWORD.encode())
    for done in topic.admin.alter_user_scram_credentials([told]).values():
        done.result(20)
    topic.put([1])
    project = secured(topic, tmp_path, sasl=mechanism)
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [1]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"user": "nobody"}, "Invalid username or password"),
        ({"tls": "{}"}, "certificate verify failed"),
        ({"tls": "{ca: missing.crt}"}, "tls: the file missing.crt is missing"),
        ({"tls": ""}, "does it ask for tls or sasl?"),
        ({"password": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE, which is not set"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    topic: Topic, tmp_path: Path, settings: dict[str, str], what: str
) -> None:
    error = in_time(secured(topic, tmp_path, **settings), "2020-01-01")
    assert what in error
    assert frame.PASSWORD not in error
