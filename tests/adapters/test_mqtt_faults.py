"""What goes wrong between a run and its broker: an error that says so, and nothing lost by it."""

from __future__ import annotations

import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from faults import Proxy
from mqtt_world import Wire, left, project, stored
from paho.mqtt.enums import CallbackAPIVersion
from servers import Place
from tests.services import keeper
from tests.services import mosquitto as broker
from tests.services.frame import Room

from lichen.core.steps import Failed, Land
from lichen.core.time import instant
from lichen.loop import Event
from lichen.testing.project import SmallProject


def error(events: tuple[Event, ...]) -> str:
    (failed,) = [e.result for e in events if isinstance(e.result, Failed)]
    return failed.error


@pytest.mark.parametrize("fault", ["refuse", "cut", "stall"])
def test_a_broken_network_is_told_in_time_and_loses_nothing(
    fault: str, mqtt_topic: Place, tmp_path: Path
) -> None:
    with Proxy(mqtt_topic.port) as proxy:
        wire = Wire(mqtt_topic, tmp_path, more="timeout: 2 s\n", port=proxy.port)
        made = project(wire, tmp_path / "p")
        made.run("2020-01-01")
        Wire(mqtt_topic, tmp_path).put(range(200))
        {"refuse": proxy.refuse, "cut": lambda: proxy.cut_after(3000), "stall": proxy.stall}[
            fault
        ]()
        began = time.monotonic()
        said = error(made.run("2020-01-02"))
        assert f"the broker at 127.0.0.1:{proxy.port}" in said
        assert "next: " in said
        assert time.monotonic() - began < 6
        assert stored(made) == []
        proxy.heal()
        made.run("2020-01-03")
        made.run("2020-01-04")
    assert stored(made) == list(range(200))
    assert left(wire) == []


def test_silence_of_a_half_open_connection_is_not_taken_for_quiet(
    mqtt_topic: Place, tmp_path: Path
) -> None:
    with Proxy(mqtt_topic.port) as proxy:
        wire = Wire(mqtt_topic, tmp_path, more="timeout: 2 s\n", port=proxy.port, quiet="1 s")
        made = project(wire, tmp_path / "p")

        def stalls(event: Event) -> None:
            if event.result is None and isinstance(event.step, Land):
                proxy.stall()  # what looked is connected already

        events = made.loop().run(now=instant("2020-01-01"), report=stalls)
        assert "it does not answer" in error(events)
        proxy.heal()
        Wire(mqtt_topic, tmp_path).put(range(5))
        made.run("2020-01-02")
    assert stored(made) == list(range(5))


def test_a_broker_that_restarts_goes_on_where_it_was(mosquitto: Room, tmp_path: Path) -> None:
    with keeper.private(broker, tmp_path / "home") as now:
        place = Place(now.room, "restarted")
        made = project(Wire(place, tmp_path, more="timeout: 5 s\n"), tmp_path / "p")
        made.run("2020-01-01")
        Wire(place, tmp_path).put(range(10))
        assert keeper.stop(broker, tmp_path / "home")
        assert "cannot be reached" in error(made.run("2020-01-02"))
        place = Place(keeper.start(broker, tmp_path / "home").room, "restarted")
        wire = Wire(place, tmp_path)
        made = project(wire, made.root)  # it may come back on another port
        wire.put(range(10, 12))
        made.run("2020-01-03")
    assert stored(made) == list(range(12))


def test_a_wrong_password_is_told_but_not_which(mqtt_topic: Place, tmp_path: Path) -> None:
    made = project(Wire(mqtt_topic, tmp_path), tmp_path / "p")
    (tmp_path / "mqtt.password").write_text("hunter2")
    said = error(made.run("2020-01-01"))
    assert "it refuses the user 'lichen': Not authorized" in said
    assert "next: check user, password and client" in said
    assert "hunter2" not in said


# The client leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_is_checked(mqtt_topic: Place, tmp_path: Path) -> None:
    port = mqtt_topic.room.ports["tls"]
    made = _over_tls(mqtt_topic, tmp_path / "unknown", "tls: true\n", port)
    assert "certificate" in error(made.run("2020-01-01"))
    known = f"tls: {{ca: {mqtt_topic.certificate}}}\n"
    made = _over_tls(mqtt_topic, tmp_path / "known", known, port)
    made.run("2020-01-01")
    Wire(mqtt_topic, tmp_path).put(range(3))
    made.run("2020-01-02")
    assert stored(made) == [0, 1, 2]


def test_a_session_that_the_broker_lost_is_told_once(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path)
    made = project(wire, tmp_path / "p")
    made.run("2020-01-01")
    _forget(mqtt_topic)
    wire.put([1])  # to nobody
    said = error(made.run("2020-01-02"))
    assert f"it no longer has the session '{mqtt_topic.name}'" in said
    wire.put([2])
    made.run("2020-01-03")
    assert stored(made) == [2]


def _over_tls(place: Place, folder: Path, more: str, port: int) -> SmallProject:
    folder.mkdir()
    return project(Wire(place, folder, more=more, port=port), folder / "p")


def _forget(place: Place) -> None:
    """Begin and end the session anew, as brokers do where it expires."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=place.name, clean_session=True)
    client.username_pw_set(place.user, place.password)
    client.connect(place.host, place.port)
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
