"""Who sends by MQTT in the tests, and a project that reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from servers import Place

from lichen.testing.project import SmallProject
from lichen.testing.source import record


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
    """Messages below a topic of the test's own, as the conformance kit writes and reads them.

    The password lies in a file of `folder`, so that processes which are killed find it too.
    """

    place: Place
    folder: Path
    more: str = ""
    port: int | None = None
    quiet: str = "0.2 s"
    keyed: bool = False
    replays: bool = False
    connector: str = "mqtt"

    @property
    def settings(self) -> str:
        password = self.folder / "mqtt.password"
        if not password.exists():
            password.write_text(self.place.password)
        return (
            f"broker: {self.place.host}\nport: {self.port or self.place.port}\n"
            f"topics: {self.place.name}/#\nclient: {self.place.name}\nquiet: {self.quiet}\n"
            f"user: {self.place.user}\npassword: file:{password}\n{self.more}"
        )

    def put(self, numbers: Sequence[int]) -> None:
        topic = f"{self.place.name}/a"
        publish(self.place, [(topic, json.dumps(record(n)).encode()) for n in numbers])

    def poison(self, raw: bytes) -> bool:
        publish(self.place, [(f"{self.place.name}/a", raw)])
        return True

    def remove(self, _: int) -> bool:
        return False


def project(wire: Wire, root: Path, columns: Mapping[str, str] | None = None) -> SmallProject:
    """Return a project whose source `s` reads a wire."""
    made = SmallProject(root)
    made.write("sources/s.yml", f"connector: mqtt\n{wire.settings}")
    made.contract("sources/s", columns or {"n": "bigint", "name": "varchar"})
    return made


def stored(made: SmallProject) -> list[int]:
    """Return the numbers of all stored rows, in order; one that landed twice is there twice."""
    return sorted(row["n"] for row in made.versions("sources.s"))


def left(wire: Wire) -> list[bytes]:
    """Return what the broker still has for the session; it is acknowledged by that."""
    found: list[bytes] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=wire.place.name,
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.username_pw_set(wire.place.user, wire.place.password)
    client.on_message = lambda _, __, message: found.append(bytes(message.payload))
    client.connect(wire.place.host, wire.place.port, clean_start=False)
    client.loop_start()
    time.sleep(0.5)
    client.disconnect()
    client.loop_stop()
    return found
