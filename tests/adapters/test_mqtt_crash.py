"""A run that dies between its commit and the acknowledgement: each message lands once."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import pytest
from mqtt_world import Wire, left, project, stored
from servers import Place

from lichen.adapters.sources.mqttcursor import Marks
from lichen.adapters.sources.mqttlink import Link
from lichen.loop import open_loop

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["lichen.loop", "lichen.adapters.delta", "lichen.adapters.duckdb", "paho.mqtt.client"]
)


def dies_at_acknowledging(root: Path, how_many: int) -> None:
    """Run the project; acknowledge so many of what it landed, say so, and wait for the end."""
    acknowledge = Link.acknowledge

    def some(link: Link, landed: dict[int, Marks]) -> None:
        if landed:
            acknowledge(link, dict(list(landed.items())[:how_many]))
            (root / "waits").touch()
            time.sleep(120)

    Link.acknowledge = some  # type: ignore[method-assign, assignment]
    open_loop(root).run()


def killed(root: Path, how_many: int) -> None:
    child = _PROCESSES.Process(target=dies_at_acknowledging, args=(root, how_many))
    child.start()
    until = time.monotonic() + 60
    while not (root / "waits").exists():
        assert child.is_alive() and time.monotonic() < until
        time.sleep(0.01)
    child.kill()
    child.join()
    (root / "waits").unlink()
    assert child.exitcode == -signal.SIGKILL


# Of 15 messages some were acknowledged, none, or all, though nobody noted that.
@pytest.mark.parametrize(("version", "kills"), [("5", (0, 4, 15)), ("3.1.1", (4,))])
def test_a_run_killed_before_it_acknowledged_lands_nothing_twice(
    version: str, kills: tuple[int, ...], mqtt_topic: Place, tmp_path: Path
) -> None:
    wire = Wire(mqtt_topic, tmp_path, more=f"version: {version}\n")
    made = project(wire, tmp_path / "p")
    made.loop().run()
    number = 0
    for how_many in kills:
        wire.put(range(number, number + 15))
        number += 15
        killed(made.root, how_many)
    wire.put(range(number, number + 5))
    made.loop().run()
    assert stored(made) == list(range(number + 5))
    assert left(wire) == []


def test_the_same_content_again_is_no_repetition(mqtt_topic: Place, tmp_path: Path) -> None:
    """A sensor may say the same for hours."""
    wire = Wire(mqtt_topic, tmp_path)
    made = project(wire, tmp_path / "p")
    made.loop().run()
    wire.put([1, 1, 1])
    killed(made.root, 1)
    wire.put([1])
    made.loop().run()
    assert stored(made) == [1] * 4
