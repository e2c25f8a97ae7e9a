"""What of MQTT's messages becomes a row, what is refused, and when a reading ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from mqtt_world import Wire, left, project, publish, stored
from servers import Place

from lichen.adapters.sources.mqttcursor import Landed
from lichen.adapters.sources.mqttlink import Access, Link, Message
from lichen.adapters.sources.mqttreading import _is_new
from lichen.core.errors import LichenError
from lichen.core.steps import Blocked, Failed
from lichen.testing.project import SmallProject

META = {"meta_topic": "varchar", "meta_time": "timestamptz", "meta_retained": "boolean"}


def test_topics_by_wildcard_with_what_is_said_of_a_message(
    mqtt_topic: Place, tmp_path: Path
) -> None:
    name = mqtt_topic.name
    wire = Wire(mqtt_topic, tmp_path)
    made = project(wire, tmp_path / "p", {"n": "bigint", **META})
    settings = wire.settings.replace(f"{name}/#", f"[{name}/+/t, {name}/all/deep/#]")
    made.write("sources/s.yml", f"connector: mqtt\n{settings}")
    publish(mqtt_topic, [(f"{name}/a/t", b'{"n": 1}')], retain=True)  # there before anybody asked
    made.run("2020-01-01")
    sent = [
        (f"{name}/b/t", b'{"n": 2}'),
        (f"{name}/b/other", b"{}"),
        (f"{name}/all/deep", b'{"n": 3}'),
    ]
    publish(mqtt_topic, sent)
    made.run("2020-01-02")
    publish(mqtt_topic, [(f"{name}/a/t", b"")], retain=True)  # forget it
    rows = made.versions("sources.s")
    told = [(r["n"], r["meta_topic"], r["meta_retained"], r["_line"]) for r in rows]
    assert told == [
        (1, f"{name}/a/t", True, 1),
        (2, f"{name}/b/t", False, 2),
        (3, f"{name}/all/deep", False, 3),
    ]
    assert all(abs(r["meta_time"].timestamp() - time.time()) < 60 for r in rows)


def test_a_retained_message_is_taken_once(mqtt_topic: Place, tmp_path: Path) -> None:
    for version in ("5", "3.1.1"):
        folder = tmp_path / version
        folder.mkdir()
        place = Place(mqtt_topic.room, f"{mqtt_topic.name}{version[0]}")
        publish(place, [(f"{place.name}/a", b'{"n": 1}')], retain=True)
        made = project(Wire(place, folder, more=f"version: {version}\n"), folder / "p")
        for day in range(1, 4):
            made.run(f"2020-01-0{day}")
        publish(place, [(f"{place.name}/a", b"")], retain=True)
        assert stored(made) == [1]


def test_text_is_a_value_and_other_bytes_are_kept_aside(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path, more="format: text\n")
    made = project(wire, tmp_path / "p", {"value": "varchar"})
    made.run("2020-01-01")
    publish(mqtt_topic, [(f"{mqtt_topic.name}/a", raw) for raw in (b"21.5", b"\xff", b"")])
    made.run("2020-01-02")
    assert [row["value"] for row in made.versions("sources.s")] == ["21.5", ""]
    (held,) = made.verdicts("sources.s")
    assert (bytes(held["raw"]), held["reason"]) == (
        b"\xff",
        f"it is no UTF-8 text (topic {mqtt_topic.name}/a)",
    )


def test_a_group_shares_a_topic(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path)
    made = project(wire, tmp_path / "p")
    settings = wire.settings.replace("topics: ", f"topics: $share/{mqtt_topic.name}/")
    made.write("sources/s.yml", f"connector: mqtt\n{settings}")
    made.run("2020-01-01")
    wire.put(range(5))
    made.run("2020-01-02")
    assert stored(made) == list(range(5))


def test_a_broker_that_holds_back_is_read_in_one_run(mqtt_topic: Place, tmp_path: Path) -> None:
    """Before version 5 nobody can ask Mosquitto for more than 20 at once."""
    wire = Wire(mqtt_topic, tmp_path, more="version: 3.1.1\n")
    made = project(wire, tmp_path / "p")
    made.run("2020-01-01")
    wire.put(range(150))
    made.run("2020-01-02")
    assert stored(made) == list(range(150))
    assert left(wire) == []


def test_a_run_ends_though_messages_never_pause(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path, quiet="0.3 s", more="limits: {seconds: 0.5}\n")
    made = project(wire, tmp_path / "p")
    made.run("2020-01-01")
    ends = threading.Event()

    def river() -> None:
        number = 0
        while not ends.wait(0.05):
            wire.put([number])
            number += 1

    sends = threading.Thread(target=river)
    sends.start()
    try:
        began = time.monotonic()
        made.run("2020-01-02")
        assert time.monotonic() - began < 15
        assert stored(made)
    finally:
        ends.set()
        sends.join()


def test_who_stays_connected_runs_only_for_news(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path)
    loop = project(wire, tmp_path / "p").loop()
    with loop.connected():
        loop.run()
        assert loop.run() == ()
        wire.put([1])
        time.sleep(0.5)  # it has a way to go
        assert loop.run() != ()
        assert loop.run() == ()


def test_a_changed_definition_does_not_take_what_is_gone(mqtt_topic: Place, tmp_path: Path) -> None:
    wire = Wire(mqtt_topic, tmp_path)
    made = project(wire, tmp_path / "p")
    made.run("2020-01-01")
    wire.put([1])
    made.run("2020-01-02")
    settings = wire.settings.replace("/#", "/+")
    made.write("sources/s.yml", f"connector: mqtt\n{settings}")
    (result,) = [e.result for e in made.run("2020-01-03") if isinstance(e.result, Blocked)]
    assert "the broker forgot the 1 messages" in result.findings[0].message
    assert stored(made) == [1]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("topics: []", "topics: there is none"),
        ("topics: a/#/b", "# can only stand at the end"),
        ("topics: a+/b", "+ and # stand alone"),
        ("topics: $share/g", "a shared one is"),
        ("topics: [a/#, a/+/b]", "have messages in common"),
        ("topics: a\nformat: avro", "format"),
        ("topics: a\nversion: 4", "version"),
        ("topics: a\nquiet: soon", "quiet: 'soon' is not a duration"),
        ("topics: a\nport: 70000", "port: 70000 is none"),
        ("topics: a\nversion: 3.1.1\nsession: 1 day", "session: only version 5"),
        ("topics: a\ntls: {ca: nowhere.pem}", "tls: a certificate cannot be used"),
    ],
)
def test_settings_that_cannot_be_meant(says: str, told: str, tmp_path: Path) -> None:
    made = SmallProject(tmp_path)
    made.write("sources/s.yml", f"connector: mqtt\nbroker: localhost\n{says}\n")
    made.contract("sources/s", {"n": "bigint"})
    try:
        results = [e.result for e in made.run("2020-01-01")]
        said = " ".join(r.error for r in results if isinstance(r, Failed))
    except LichenError as error:
        said = str(error)
    assert told in said
    assert "s.yml" in said


def test_an_id_in_use_again_is_no_repetition(tmp_path: Path) -> None:
    """Brokers differ in how they give out ids; what is new to us must never be left out."""
    link = Link(Access("h", 1, "c", True, None, 9, None, None, None), None)  # type: ignore[arg-type]

    def came(id_: int, payload: bytes, *, again: bool) -> bool:
        return _is_new(Message(id_, "t", payload, False, again, 0), link, landed)

    landed = Landed()
    assert came(1, b"a", again=False)
    committed, landed, link.unanswered = landed, Landed(1, dict(landed.ids)), {}
    link.firsts.clear()  # another process from here on
    assert not came(1, b"a", again=True)
    assert came(1, b"b", again=True), "another message under the id"
    assert came(2, b"a", again=True), "sent before, and never landed"
    landed, link.unanswered = Landed(1, dict(committed.ids)), {}
    assert came(1, b"a", again=False), "the same content, for the first time"
    assert not came(1, b"a", again=True), "sent again on the same connection"
    assert came(0, b"a", again=False), "nobody acknowledges that"
