"""`lichen watch` follows a log that grows, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lichen.testing.project import SmallProject


def started(project: SmallProject, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "lichen", "watch", "-C", str(project.root), "--every", "0.1 s"]
    return subprocess.Popen(
        [*words, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def numbers(project: SmallProject) -> list[int]:
    loop = project.loop()
    if "sources.s" not in loop.published():
        return []
    return [row["n"] for row in project.versions("sources.s")]


def test_what_is_written_lands_and_the_end_is_orderly(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", "connector: logs\npath: app.log\n")
    project.contract("sources/s", {"n": "bigint"})
    project.write("tables/t.sql", "select n, n * 2 as twice from s")
    log = tmp_path / "app.log"
    log.write_text('{"n": 1}\n')
    process = started(project, "--json")
    try:
        until(lambda: numbers(project) == [1])
        with log.open("a") as file:
            file.write('{"n": 2}\n')
        until(lambda: numbers(project) == [1, 2])
        until(
            lambda: project.loop().query("select sum(twice) as s from t").table["s"][0].as_py() == 6
        )
        assert project.loop().run() == (), "another run may come in between"
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    told = [json.loads(line) for line in out.splitlines()]
    landed = [each["added"] for each in told if each["node"] == "sources.s"]
    assert landed == [1, 1]


def test_trouble_is_told_once_and_what_follows_goes_on(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.source("s", {"n": "bigint"})
    project.csv("feeds/s/a.csv", "m", [[1]])
    process = started(project)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("watching")
        assert "failed" in process.stdout.readline()
        project.csv("feeds/s/a.csv", "n", [[1]])
        assert "done" in process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert numbers(project) == [1]
