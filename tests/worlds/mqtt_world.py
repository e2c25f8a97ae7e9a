"""Who sends by MQTT in the tests, and a project that reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from servers import Place

from lichen.testing.project import SmallProject
from lichen.testing.source import record

VARIABLE = "LICHEN_TEST_MQTT"  # the environment variable that holds the password


@contextmanager
def sender(place: Place, port: int | None = None) -> Iterator[paho.Client]:
    """A client that publishes."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(place.user, place.password)
    client.max_inflight_messages_set(1000)
    client.connect(place.host, port or place.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(place: Place, messages: Sequence[tuple[str, bytes]], **options: Any) -> None:
    """Publish and wait until the broker has all of it."""
    with sender(place) as client:
        said = [client.publish(t, p, **{"qos": 1, **options}) for t, p in messages]
        for one in said:
            one.wait_for_publish(20)


@dataclass
class Wire:
    """Messages below a topic of the test's own, as the conformance kit writes and reads them."""

    place: Place
    more: str = ""
    keyed: bool = False
    connector: str = "mqtt"
    replays: bool = False
    port: int | None = None
    quiet: str = "0.2 s"

    @property
    def settings(self) -> str:
        return (
            f"broker: {self.place.host}\nport: {self.port or self.place.port}\n"
            f"topics: {self.place.name}/#\nclient: {self.place.name}\nquiet: {self.quiet}\n"
            f"user: {self.place.user}\npassword: env:{VARIABLE}\n{self.more}"
        )

    def put(self, numbers: Sequence[int]) -> None:
        topic = f"{self.place.name}/a"
        publish(self.place, [(topic, json.dumps(record(n)).encode()) for n in numbers])

    def poison(self, raw: bytes) -> bool:
        publish(self.place, [(f"{self.place.name}/a", raw)])
        return True

    def remove(self, _: int) -> bool:
        return False


def known_password(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the password where sources look for it."""
    monkeypatch.setenv(VARIABLE, place.password)


def project(wire: Wire, root: Path, columns: dict[str, str] | None = None) -> SmallProject:
    """A project whose source `s` reads a wire."""
    made = SmallProject(root)
    made.write("sources/s.yml", f"connector: mqtt\n{wire.settings}")
    made.contract("sources/s", columns or {"n": "bigint", "name": "varchar"})
    return made
