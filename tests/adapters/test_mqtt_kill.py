"""Kills at any moment, under load: each message lands once."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import threading
import time
from pathlib import Path

from mqtt_world import Wire, left, project, sender
from servers import Place

from lichen.adapters.delta import DeltaLake
from lichen.loop import Event, open_loop
from lichen.ports import durable
from lichen.testing.source import record

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["lichen.loop", "lichen.adapters.delta", "lichen.adapters.duckdb", "paho.mqtt.client"]
)
KILLS = 10


def runs_for_ever(root: Path) -> None:
    def slow(path: Path) -> None:
        """As on a slow disk, so that kills fall within commits."""
        time.sleep(0.15)
        durable.sync(path)

    loop = open_loop(root)
    loop._parts["lake"] = DeltaLake(loop.folder / "lake", sync=slow)

    def report(event: Event) -> None:
        if event.result is not None:
            (root / "ready").touch()  # it has landed something

    while True:
        loop.run(report=report)


class Load(threading.Thread):
    """Publishes numbers until it is told to end; `sent` is how many the broker has."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place, self.sent, self.ends = place, 0, threading.Event()

    def run(self) -> None:
        with sender(self.place) as client:
            while not self.ends.is_set():
                said = []
                for number in range(self.sent, self.sent + 20):
                    text = json.dumps(record(number))
                    said.append(client.publish(f"{self.place.name}/{number % 7}", text, qos=1))
                for one in said:
                    one.wait_for_publish(20)
                self.sent += 20
                time.sleep(0.02)


def test_kills_under_load_lose_nothing_and_double_nothing(
    mqtt_topic: Place, tmp_path: Path
) -> None:
    wire = Wire(mqtt_topic, tmp_path, more="limits: {rows: 150}\n")
    made = project(wire, tmp_path / "p")
    made.loop().run()
    chance, load, within = random.Random(7), Load(mqtt_topic), 0
    load.start()
    for _ in range(KILLS):
        (made.root / "ready").unlink(missing_ok=True)
        child = _PROCESSES.Process(target=runs_for_ever, args=(made.root,))
        child.start()
        until = time.monotonic() + 60
        while not (made.root / "ready").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(chance.random() / 2)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        within += bool(open_loop(made.root).ledger.state().open)
    load.ends.set()
    load.join(30)
    made.loop().run()
    rows = made.versions("sources.s")
    assert sorted(row["n"] for row in rows) == list(range(load.sent))
    assert len({(row["_file"], row["_line"]) for row in rows}) == load.sent
    assert load.sent > 1000
    assert within >= 0.3 * KILLS, within
    assert left(wire) == []
