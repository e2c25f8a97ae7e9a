"""Processes beside a run that holds the lease: another run, a plan, a query, a service.

The model's function waits for a file, so that the run stands still in the middle of its training.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import depot
import pytest
from depot_service import instance, serving

from lichen.core.time import instant, iso, wall
from lichen.loop import open_loop

LATER = depot.NOW + timedelta(days=2)
WAIT = """
import pathlib, time

def wait():
    here = pathlib.Path(__file__).parent
    if not (here / "hold").exists():
        return
    (here / "waits").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and served project whose next training will stand still."""
    root = tmp_path_factory.mktemp("beside") / "depot"
    depot.write_project(root, retrain='"1 day"')
    (root / "lichen.yml").write_text("name: depot\ntargets: {other: {}}\n")
    (root / "slow.py").write_text(WAIT)
    model = root / "models/late.py"
    text = model.read_text().replace("    numbers =", "    wait()\n    numbers =")
    model.write_text("from slow import wait\n" + text)
    open_loop(root).run(now=depot.NOW)
    depot.feed(root, depot.NOW, LATER)
    (root / "hold").touch()
    return root


def lichen(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "lichen", *words, "-C", str(root)]


def said(root: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(lichen(root, *words), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def running(command: Sequence[str], root: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that holds the lease, and stands still until it may go on."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (root / "waits").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
            yield process
            (root / "go").touch()
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0, out
        finally:
            process.kill()


def test_one_run_writes_and_all_others_go_on(root: Path) -> None:
    now = ("--now", iso(LATER))
    asked = instance(depot.parcels(depot.NOW - timedelta(days=2), depot.NOW)[0])
    started = wall()
    with running(lichen(root, "run", *now), root) as process:
        code, _, error = said(root, "run", *now)
        assert code == 1
        match = re.search(
            r"another run \((\S+), process (\d+) on \S+\) writes here since (\S+)", error
        )
        assert match, error
        assert int(match[2]) == process.pid
        assert started <= instant(match[3]) <= wall()
        code, told, _ = said(root, "plan", "--json", *now)
        assert code == 0
        assert [step["step"] for step in json.loads(told)["steps"]][-1] == "publish"
        assert open_loop(root).show("models.late")["version"] == 1
        with serving(root) as client:
            (answer,) = client.predict(asked)
            assert answer["model_version"] == 1
        # Another target has a lease of its own, and begins from what is published.
        other = open_loop(root, "other")
        assert len(other.run("sources.scans", now=LATER)) == 2
    assert open_loop(root).show("models.late")["version"] == 2
