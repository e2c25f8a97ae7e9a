"""A writer that is killed anywhere, and then resumes, loses no row and writes none twice."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from lichen.adapters.delta import DeltaLake
from lichen.adapters.deltalog import Log
from lichen.adapters.duckdb import DuckDB
from lichen.ports import durable
from lichen.testing.engine import sql
from lichen.testing.lake import TABLE

ROWS = 10
# Where a writer is killed: at a random moment (None), or in a phase, where it then waits for it.
KILLS = (None, "staged", None, "logged", "merged", None, "checkpoint", "staged", "logged") * 2
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["lichen.adapters.delta", "lichen.adapters.duckdb"])


def write_for_ever(root: Path, notes: Path, wait_in: str | None) -> None:
    """Append ROWS rows per sequence until killed; notes each phase before it begins.

    Phases: the Parquet file is being written; it is staged; the commit is in the log, but not yet
    durable; small files were merged, but the table does not know; a checkpoint is there, but not
    yet its pointer; the commit is acknowledged.
    """
    ready = False

    def phase(name: str) -> None:
        (notes / "phase").write_text(name)
        if ready and name == wait_in:
            (notes / "waits").touch()
            time.sleep(60)

    def sync(path: Path) -> None:
        if path.suffix == ".json":
            phase("logged")
        if path.name.startswith("part-"):
            phase("merged")
        if path.name == "_last_checkpoint":
            phase("checkpoint")
        durable.sync(path)

    lake, engine = DeltaLake(root, sync=sync), DuckDB(threads=1)
    lake.sweep(TABLE)
    last = lake.latest(TABLE)
    sequence = last.sequence if last else 0
    again = sql(f"select {sequence}::bigint as n, (-1)::bigint as i")
    staged = engine.write(again, {}, lake.stage(TABLE))
    if last:  # sent again, as by a source that never heard the acknowledgement
        assert lake.append(TABLE, [staged], sequence) == lake.latest(TABLE)
    (notes / "ready").touch()
    ready = True
    while True:
        sequence += 1
        rows = f"select {sequence}::bigint as n, i from unnest(generate_series(1, {ROWS})) as u(i)"  # noqa: S608
        phase("writing")
        staged = engine.write(sql(rows), {}, lake.stage(TABLE))
        phase("staged")
        lake.append(TABLE, [staged], sequence)
        phase("acknowledged")
        (notes / "heard").write_text(str(sequence))


def kill_once(root: Path, notes: Path, phase: str | None, after: float) -> str:
    """Kill a writer in a phase, or `after` seconds; returns the phase that it was in."""
    for note in ("ready", "waits"):
        (notes / note).unlink(missing_ok=True)
    child = _PROCESSES.Process(target=write_for_ever, args=(root, notes, phase))
    child.start()
    deadline = time.monotonic() + 60
    while not (notes / ("waits" if phase else "ready")).exists() and child.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    if not phase:
        time.sleep(after)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    return _text(notes / "phase")


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    root, pick = tmp_path / "lake", random.Random(11)
    phases: Counter[str] = Counter()
    for phase in KILLS:
        phases[kill_once(root, tmp_path, phase, pick.uniform(0.0, 0.12))] += 1
        lake = DeltaLake(root)
        last = lake.latest(TABLE)
        assert int(_text(tmp_path / "heard") or 0) <= (last.sequence if last else 0)
        assert lake.check(TABLE) == ()

    # Between the Parquet file and the end of the commit, or the test would prove nothing.
    assert len(KILLS) >= 15
    assert min(phases["staged"], phases["logged"]) >= 4, phases
    assert min(phases["checkpoint"], phases["merged"]) >= 2, phases
    assert last is not None
    want = [(n, i) for n in range(1, last.sequence + 1) for i in range(1, ROWS + 1)]
    files = [str(path) for path in lake.files(TABLE, last.version)]
    assert sorted(_rows(files)) == want, phases
    assert sorted(_rows(DeltaTable(str(root / "tables" / "t")).file_uris())) == want

    lake.sweep(TABLE)
    log = Log(root / "tables" / "t", TABLE)
    log.refresh()
    assert all(log.refers_to(path) for path in log.folder.glob("*parquet*"))
    assert not list(log.folder.glob(".upkeep-*"))


def _rows(files: list[str]) -> list[tuple[int, int]]:
    query = "select n, i from read_parquet($files)"
    return duckdb.connect().execute(query, {"files": files}).fetchall()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
