"""States after a power cut, rebuilt from what a real run did to the disk, and gone on from.

Two processes land a log, a set of files and a table, with verdicts, merged files and checkpoints,
while strace tells what they write, name and sync. Of each of the states in which a cut may have
left that (see powercuts.py) all holds what was acknowledged, `doctor` is quick, and the next run
brings the rest, exactly once. LICHEN_CUTS says how many states there are: 100, and more at night.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from powercuts import Disk, Op, record
from tests.services import debian

from lichen.core.steps import Adopt, Done
from lichen.doctor import doctor
from lichen.loop import Loop, open_loop
from lichen.testing.project import SmallProject

CUTS = int(os.environ.get("LICHEN_CUTS", "100"))
LINES = 24  # that each of the two processes finds new
LOG = "connector: logs\npath: {log}\n{limits}"
PROGRAM = """
import sys
from pathlib import Path
from lichen.adapters import deltaupkeep
from lichen.core.steps import Done
from lichen.loop import open_loop

deltaupkeep.CHECKPOINT_EVERY, deltaupkeep.MERGE_FROM = 4, 4
root, acknowledged = map(Path, sys.argv[1:])

def report(event):
    if isinstance(event.result, Done) and event.step.node.startswith("sources."):
        with acknowledged.open("a") as file:
            file.write(f"{event.step.node} {event.result.facts['rows']}\\n")

loop = open_loop(root)
for event in loop.run(report=report):
    assert isinstance(event.result, Done), event
"""


def lines(process: int) -> str:
    numbers = range((process - 1) * LINES, process * LINES)
    return "".join(f'{{"n": {n}}}\n' + ("poison\n" if n % 5 == 0 else "") for n in numbers)


def project_of(root: Path, log: Path) -> SmallProject:
    project = SmallProject(root)
    project.write("sources/log.yml", LOG.format(log=log, limits="limits: {rows: 4}\n"))
    project.contract("sources/log", {"n": "bigint"})
    project.source("files", {"n": "bigint", "v": "varchar"}, "key: n\n")
    project.write("tables/both.sql", "/* key: n */\nselect n, v from files\n")
    project.contract("tables/both", {"n": "bigint", "v": "varchar"})
    return project


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Op]]:
    """The project, its log, and what two processes did to the disk, one after the other."""
    if shutil.which("strace") is None and os.environ.get("LICHEN_SERVICES") == "start":
        debian.install("strace")
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    place = tmp_path_factory.mktemp("recorded")
    log, acknowledged = place / "app.log", place / "acknowledged"
    project = project_of(place / "p", log)
    ops: list[Op] = []
    for process in (1, 2):
        with log.open("a") as file:
            file.write(lines(process))
        project.csv(f"feeds/files/{process}.csv", "n,v", [[n, "a"] for n in range(process * 3)])
        program = ["-c", PROGRAM, str(project.root), str(acknowledged)]
        ops += record(program, place / f"trace-{process}", place)
    return project.root, log, ops


@dataclasses.dataclass
class Cut:
    """A state, and how many rows of each source were acknowledged before the cut."""

    root: Path
    rows: dict[str, int]
    digest: str


def cut(recorded: tuple[Path, Path, list[Op]], into: Path, pick: random.Random) -> Cut:
    """Cut the power somewhere, by chance, and leave what is then on the disk in a folder."""
    root, log, ops = recorded
    disk, rows = Disk(str(root)), {}
    ours = [nth for nth, op in enumerate(ops) if str(root) in (op.path + op.other)]
    for op in ops[: pick.choice(ours)]:
        disk.apply(op)
        if op.kind == "write" and op.path.endswith("/acknowledged"):
            node, count = op.data.decode().split()
            rows[node] = int(count)
    shutil.copytree(root, into, ignore=shutil.ignore_patterns(".lichen"))
    disk.leave(into, pick)
    (into / "sources/log.yml").write_text(LOG.format(log=log, limits=""))  # the rest comes at once
    found = hashlib.sha256()
    for path in sorted(p for p in (into / ".lichen").rglob("*") if p.is_file()):
        found.update(f"{path.relative_to(into)} ".encode() + path.read_bytes())
    return Cut(into, rows, found.hexdigest())


def rows_of(loop: Loop, node: str) -> list[Any]:
    """Return what a node holds by its last record."""
    done = loop.state().done.get(node)
    if done is None:
        return []
    import duckdb

    files = [str(path) for path in loop.lake.files(node, done.commits[node][1])]
    return duckdb.connect().execute("select n from read_parquet(?)", [files]).fetchall()


def test_no_cut_loses_what_was_acknowledged(
    recorded: tuple[Path, Path, list[Op]], tmp_path: Path
) -> None:
    seen: set[str] = set()
    slowest, mended, seed = 0.0, 0, 0
    parts: dict[str, Any] = {}
    memo: dict[tuple[object, ...], Any] = {}
    last: dict[str, int] = {}
    while len(seen) < CUTS:
        seed += 1
        state = cut(recorded, tmp_path / str(seed), random.Random(seed))
        if state.digest in seen:
            continue
        seen.add(state.digest)
        loop = dataclasses.replace(open_loop(state.root), _parts=dict(parts), _memo=memo)
        began = time.monotonic()
        found = doctor(loop)
        slowest = max(slowest, time.monotonic() - began)
        assert not found.broken, (seed, found.broken)
        mended += bool(found.mended or found.open)
        for node, rows in state.rows.items():
            there = rows_of(loop, node)
            assert len(there) >= rows, (seed, node, rows, there)
            assert len(set(there)) == len(there)
            last[node] = max(last.get(node, 0), rows)
        for event in loop.run():
            assert isinstance(event.result, Done) or isinstance(event.step, Adopt), (seed, event)
        parts["engine"] = loop.engine
        assert sorted(rows_of(loop, "sources.log")) == [(n,) for n in range(2 * LINES)], seed
        assert sorted(rows_of(loop, "sources.files")) == [(n,) for n in range(6)], seed
        assert sorted(rows_of(loop, "tables.both")) == [(n,) for n in range(6)], seed
        shutil.rmtree(state.root)
    assert slowest <= 5, f"doctor took {slowest:.1f} s"
    assert mended >= CUTS / 10, "hardly any cut left anything to mend"
    assert last["sources.log"] > LINES, "the cuts did not reach the end"
