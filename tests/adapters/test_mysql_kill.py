"""Runs that are killed while rows are written: nothing is lost, nothing lands twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mysql import SECRET, ask, connected, settings
from servers import Place

from lichen.core.steps import Done, Land
from lichen.testing.project import SmallProject

CHILD = """
import sys
from datetime import UTC, datetime, timedelta
from lichen.loop import open_loop
root, begin = sys.argv[1], datetime.fromisoformat(sys.argv[2])
loop, n = open_loop(root), 0
print("begins", flush=True)
while True:
    n += 1
    loop.run(now=begin + timedelta(seconds=n))
"""
KILLS = 10


class Writer(threading.Thread):
    """Inserts, changes, removes and renames rows until it is told to stop."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place, self.halt = place, threading.Event()

    def run(self) -> None:
        chance, number = random.Random(3), 0
        with connected(self.place) as connection, connection.cursor() as cursor:
            while not self.halt.is_set():
                for _ in range(chance.randint(1, 9)):
                    number += 1
                    cursor.execute("insert into t values (%s, %s)", (number, f"r{number}"))
                some = chance.randint(1, number)
                cursor.execute("update t set name = concat(name, '+') where n = %s", (some,))
                cursor.execute("delete from t where n = %s", (chance.randint(1, number),))
                some = chance.randint(1, number)
                cursor.execute("update ignore t set n = -n where n = %s", (some,))
                if chance.random() < 0.9:
                    connection.commit()
                else:
                    connection.rollback()
                time.sleep(0.05)


@pytest.mark.parametrize("mode", ["changes: true", "incremental: n"])
def test_killed_runs_lose_nothing_and_land_nothing_twice(
    mariadb_database: Place, tmp_path: Path, mode: str
) -> None:
    os.environ[SECRET] = mariadb_database.password
    ask(mariadb_database, "create table t (n bigint primary key, name varchar(200))")
    project = SmallProject(tmp_path / "p")
    more = f"connector: mysql\ntable: t\nkey: n\nlimits: {{rows: 100}}\n{mode}"
    project.write("sources/s.yml", settings(mariadb_database, more))
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    writer = Writer(mariadb_database)
    writer.start()
    now, in_flight = datetime(2020, 1, 1, tzinfo=UTC), 0
    try:
        for kill in range(KILLS):
            now += timedelta(hours=1)
            in_flight += killed(project.root, now, kill)
    finally:
        writer.halt.set()
        writer.join()
    assert in_flight >= KILLS * 0.3, "the kills fell beside the commits"
    for event in project.run("2020-02-01"):
        if isinstance(event.step, Land) and event.result is not None:
            assert isinstance(event.result, Done), event.result
    here = project.current("sources.s", "2020-02-02")
    if mode == "changes: true":
        there = ask(mariadb_database, "select n, name from t")
        assert sorted((r["n"], r["name"]) for r in here) == sorted(there)
    else:
        there = ask(mariadb_database, "select n from t")
        assert {n for (n,) in there if n > 0} <= {r["n"] for r in here}
    events = [r["_line"] for r in project.versions("sources.s") if not r["_line"] < 2**32]
    assert len(events) == len(set(events)), "an event landed twice"
    versions = [(r["n"], r["name"], r["_deleted"]) for r in project.versions("sources.s")]
    if mode != "changes: true":
        assert len(versions) == len(set(versions))


def killed(root: Path, begin: datetime, nth: int) -> bool:
    """Kill a process that runs the project; return whether it had a commit in flight."""
    words = [sys.executable, "-c", CHILD, str(root), begin.isoformat()]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    table = root / ".lichen/dev/lake/sources/s"
    flying = False
    deadline = time.monotonic() + 8
    if nth % 2:  # when a file was staged that no commit names yet
        while time.monotonic() < deadline and not flying:
            flying = _staged(table)
    else:
        time.sleep(0.5 + random.Random(nth).random())
        flying = _staged(table)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    return flying


def _staged(table: Path) -> bool:
    parts = {p.name for p in table.rglob("*.parquet")}
    logged = "".join(p.read_text("utf-8", "ignore") for p in table.glob("_delta_log/*.json"))
    return any(name not in logged for name in parts)
