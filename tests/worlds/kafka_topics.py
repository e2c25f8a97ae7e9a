"""Kafka's topics for tests: a wire for the kit, and producers that write and abort transactions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from servers import Place

from lichen.core.steps import Failed
from lichen.testing.project import SmallProject
from lichen.testing.source import record


@dataclass
class Topic:
    """A topic as the other end of a source, `n` its key."""

    place: Place
    more: str = ""
    connector: str = "kafka"
    keyed: bool = True
    replays: bool = True
    partitions: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Wait until the broker itself has heard of the topic that its controller made."""
        for _ in range(100):
            found = self.producer.list_topics(self.place.name, 10).topics[self.place.name]
            if found.error is None and len(found.partitions) > max(self.partitions):
                return
            time.sleep(0.05)
        raise TimeoutError(self.place.name)

    @property
    def settings(self) -> str:
        return f"brokers: {self.place.room.address}\ntopics: {self.place.name}\n{self.more}"

    @cached_property
    def producer(self) -> Any:
        return self.client.Producer({"bootstrap.servers": self.place.room.address, "linger.ms": 1})

    @cached_property
    def admin(self) -> Any:
        admin = pytest.importorskip("confluent_kafka.admin")
        return admin.AdminClient({"bootstrap.servers": self.place.room.address})

    @cached_property
    def client(self) -> Any:
        return pytest.importorskip("confluent_kafka")

    def say(self, value: bytes | None, key: bytes | None = None, partition: int = 0) -> None:
        self.producer.produce(self.place.name, value, key, partition=partition)

    def put(self, numbers: Sequence[int]) -> None:
        for n in numbers:
            at = self.partitions[n % len(self.partitions)]
            self.say(json.dumps(record(n)).encode(), str(n).encode(), at)
        self.flush()

    def flush(self) -> None:
        assert self.producer.flush(20) == 0

    def poison(self, raw: bytes) -> bool:
        self.say(raw)
        self.flush()
        return True

    def remove(self, number: int) -> bool:
        if "key_format" not in self.more:
            return False
        self.say(None, str(number).encode(), self.partitions[number % len(self.partitions)])
        self.flush()
        return True

    def held(self) -> int:
        """Return how many records the first partition still holds."""
        reader = self.client.Consumer(
            {
                "bootstrap.servers": self.place.room.address,
                "group.id": self.place.name,
                "enable.partition.eof": True,
            }
        )
        reader.assign([self.client.TopicPartition(self.place.name, 0, 0)])
        count = 0
        while not reader.poll(20).error():  # until the partition's end
            count += 1
        reader.close()
        return count

    def transactions(self, name: str) -> Any:
        """Return a producer of transactions."""
        producer = self.client.Producer(
            {"bootstrap.servers": self.place.room.address, "transactional.id": name}
        )
        producer.init_transactions(20)
        return producer


@contextmanager
def transaction(producer: Any, *, commit: bool) -> Iterator[Any]:
    """Begin a transaction, and end it."""
    producer.begin_transaction()
    yield producer
    assert producer.flush(20) == 0
    if commit:
        producer.commit_transaction(20)
    else:
        producer.abort_transaction(20)


def project_of(topic: Topic, root: Path, settings: str = "", /, **columns: str) -> SmallProject:
    """Return a project whose one source, `s`, reads a topic."""
    project = SmallProject(root)
    project.write("sources/s.yml", f"connector: kafka\n{topic.settings}{settings}")
    project.contract("sources/s", columns or {"n": "bigint", "name": "varchar"})
    return project


def failure(project: SmallProject, now: str) -> str:
    """Run a project and return the one error of it."""
    (failed,) = [e.result for e in project.run(now) if isinstance(e.result, Failed)]
    return failed.error
