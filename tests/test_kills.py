"""Sources that are followed under load by a process that is killed at random, again and again.

Nothing that was acknowledged is lost and nothing is there twice, by what the feeder wrote. Some
kills fall at any time, some soon after a commit began. How many fell inside one is seen from
outside, when the process is dead: an intent without an outcome in the ledger. The
same kills lose rows, or bring them twice, where the cursor is not part of the commit.

LICHEN_KILLS says how many kills there are: 50, and 1,000 at night.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import followers
import pytest

from lichen import connectors
from lichen.adapters.sqlite_state import state_of
from lichen.core.errors import LichenError
from lichen.core.steps import Adopt, Done
from lichen.loop import Event, open_loop
from lichen.testing.project import SmallProject
from lichen.watch import watch

# From when on a kill may fall, and how many seconds after that it does at the latest.
AIMS = (("step", 0.25), ("commit", 0.05), ("begin", 0.4), ("commit", 0.02), ("step", 0.1))
KILLS = int(os.environ.get("LICHEN_KILLS", "50"))
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["lichen.loop", "lichen.adapters.delta", "lichen.adapters.duckdb", "lichen.adapters.sqlite",
     "lichen.stages.sources.run", "lichen.adapters.sources.logs", "lichen.watch", "lichen.project"]
)  # fmt: skip


def follow(root: Path, site: Path) -> None:
    """Follow the sources for ever; tells when the first step has ended, and what went wrong."""
    sys.path[:0] = [str(site), str(Path(followers.__file__).parent)]
    connectors._added.cache_clear()
    faulthandler.enable((root / "fault").open("w"))

    def told(events: Sequence[Event], trouble: LichenError | None) -> None:
        wrong = [str(event.result) for event in events if not well(event)]
        wrong += [str(trouble)] if trouble is not None else []
        if wrong:
            (root / "trouble").write_text("\n".join(wrong))

    def report(event: Event) -> None:
        if event.result is not None:
            (root / "ready").touch()

    watch(open_loop(root), (), 0.01, threading.Event(), report, told)


def well(event: Event) -> bool:
    """Return whether a step did what it was to; what a dead run left may well be told as failed."""
    return isinstance(event.result, Done) or isinstance(event.step, Adopt)


@dataclass
class Fallen:
    """Where the kills fell, and how many rows of each source were acknowledged at the last one."""

    places: Counter[str] = field(default_factory=Counter)
    rows: dict[str, int] = field(default_factory=dict)

    def look(self, project: SmallProject) -> None:
        """Look at what a kill left; rows that were acknowledged before are still there."""
        state = state_of(project.root / ".lichen/dev/ledger.db")
        self.places["in a commit" if state.open else "between"] += 1
        for node, record in state.done.items():
            rows = int(record.facts["rows"])
            assert rows >= self.rows.get(node, 0), f"{node} lost rows"
            self.rows[node] = rows


def kill(project: SmallProject, site: Path, aim: str, after: float) -> None:
    """Kill a follower so many seconds after its begin, its first step, or a commit's begin."""
    ready = project.root / "ready"
    ready.unlink(missing_ok=True)
    child = _PROCESSES.Process(target=follow, args=(project.root, site))
    child.start()
    deadline = time.monotonic() + 60
    while not (aim == "begin" or ready.exists()):
        _still(child, deadline)
    while aim == "commit" and not commits(project):
        _still(child, deadline)
    time.sleep(after)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL, (project.root / "fault").read_text()


def _still(child: Any, deadline: float) -> None:
    assert child.is_alive()
    assert time.monotonic() < deadline
    time.sleep(0.001)


def commits(project: SmallProject) -> bool:
    """Return whether the ledger holds an intent without an outcome."""
    with closing(sqlite3.connect(project.root / ".lichen/dev/ledger.db", timeout=10)) as db:
        return bool(db.execute("select 1 from records where state = 'intended'").fetchone())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = followers.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(place))
    connectors._added.cache_clear()
    return place


def declare(project: SmallProject, name: str, settings: str, rows: int = 20) -> None:
    project.write(f"sources/{name}.yml", f"{settings}limits: {{rows: {rows}}}\n")
    project.contract(f"sources/{name}", {"n": "bigint"})


def numbers(project: SmallProject, node: str) -> list[int]:
    return sorted(row["n"] for row in project.versions(node))


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, site: Path) -> None:
    project, pick, fallen = SmallProject(tmp_path / "p"), random.Random(23), Fallen()
    project.write("lichen.yml", "name: small\ntargets: {dev: {engine: {threads: 2}}}")
    log, spool = tmp_path / "app.log", tmp_path / "spool"
    spool.mkdir()
    sources = {
        "log": f"connector: logs\npath: {log}\n",
        "spool": f"connector: spool\npath: {spool}\n",
    }
    for name, settings in sources.items():
        declare(project, name, settings)
    with followers.Feeder(log, spool) as feeder:
        for nth in range(KILLS):
            aim, latest = AIMS[nth % len(AIMS)]
            kill(project, site, aim, pick.uniform(0, latest))
            fallen.look(project)
    assert not (project.root / "trouble").exists(), (project.root / "trouble").read_text()
    assert fallen.places["in a commit"] >= 0.3 * KILLS, f"vacuous: {fallen.places}"
    assert min(fallen.rows.values()) > KILLS, "nothing was landed"
    assert max(fallen.rows.values()) < len(feeder.logged), "nothing waited: there was no load"

    for name, settings in sources.items():
        declare(project, name, settings, rows=250_000)
    for event in project.loop().run():
        assert well(event), event
    assert numbers(project, "sources.log") == feeder.logged
    assert numbers(project, "sources.spool") == feeder.spooled
    held = [bytes(row["raw"]) for row in project.verdicts("sources.log")]
    assert sorted(held) == sorted(feeder.poison)
    assert list(spool.glob("*.json")) == [], "what landed was acknowledged"
    assert project.loop().lake.check("sources.log") == ()


@pytest.mark.parametrize("connector", ["early", "late"])
def test_a_cursor_outside_the_commit_fails_this_test(
    tmp_path: Path, site: Path, connector: str
) -> None:
    project, pick = SmallProject(tmp_path / "p"), random.Random(7)
    log = tmp_path / "app.log"
    settings = f"connector: {connector}\npath: {log}\ncursor: {tmp_path / 'cursor'}\n"
    declare(project, "log", settings)
    lost = twice = 0
    with followers.Feeder(log) as feeder:
        for _ in range(KILLS):
            kill(project, site, "commit" if connector == "late" else "step", pick.uniform(0, 0.1))
            there = Counter(numbers_now(project))
            twice = sum(count > 1 for count in there.values())
            lost = max(there, default=0) + 1 - len(there)
            if lost or twice:
                break
    assert max(numbers_now(project)) <= max(feeder.logged)
    assert lost if connector == "early" else twice


def numbers_now(project: SmallProject) -> list[int]:
    """Return what was landed, as the lake holds it now: pinned or not."""
    loop = project.loop()
    latest = loop.lake.latest("sources.log")
    if latest is None:
        return []
    import duckdb

    files = [str(path) for path in loop.lake.files("sources.log", latest.version)]
    found = duckdb.connect().execute("select n from read_parquet(?)", [files]).fetchall()
    return [n for (n,) in found]
