"""Logs that are followed: the kit for streams, rotation, truncation, patterns, several lines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, numbers, record


@dataclass
class LogFile:
    path: Path
    connector = "logs"
    keyed = False
    replays = True

    @property
    def settings(self) -> str:
        return f"path: {self.path}*"

    def put(self, numbers: Sequence[int]) -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(record(n)) + "\n" for n in numbers)

    def poison(self, raw: bytes) -> bool:
        with self.path.open("ab") as file:
            file.write(raw + b"\n")
        return True

    def remove(self, _: int) -> bool:
        return False


class TestLogs(StreamKit):
    def wire(self, tmp_path: Path) -> Wire:
        return LogFile(tmp_path / "app.log")


def followed(tmp_path: Path, settings: str = "") -> tuple[SmallProject, Path]:
    log = tmp_path / "app.log"
    project = SmallProject(tmp_path / "p")
    project.write("sources/s.yml", f"connector: logs\npath: {log}*\n{settings}")
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    return project, log


def test_a_rotated_file_is_read_to_its_end_and_its_successor_from_its_beginning(
    tmp_path: Path,
) -> None:
    project, log = followed(tmp_path)
    wire = LogFile(log)
    wire.put([1, 2])
    project.run("2020-01-01")
    wire.put([3])  # after the look, before the rotation
    log.rename(tmp_path / "app.log.1")
    wire.put([4])
    project.run("2020-01-02")
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    log.rename(tmp_path / "app.log.1")
    wire.put([5])
    project.run("2020-01-03")
    assert numbers(project, "2020-01-04") == [1, 2, 3, 4, 5]


def test_a_file_that_was_cut_and_written_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    project, log = followed(tmp_path)
    wire = LogFile(log)
    wire.put([1, 2, 3])
    project.run("2020-01-01")
    os.truncate(log, 0)
    wire.put([4])
    project.run("2020-01-02")
    os.truncate(log, 0)
    wire.put([5, 6, 7, 8])  # longer than what was there
    project.run("2020-01-03")
    rows = project.versions("sources.s")
    assert [row["n"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len({(row["_file"], row["_line"]) for row in rows}) == 8


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    project, log = followed(tmp_path)
    log.write_text('{"n": 1}\n{"n": 2')
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [1]
    with log.open("a") as file:
        file.write("2}\n")
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == [1, 22]


def test_lines_of_a_web_server(tmp_path: Path) -> None:
    project, log = followed(tmp_path, "format: combined\n")
    project.contract("sources/s", {"host": "varchar", "status": "bigint", "agent": "varchar"})
    log.write_text(
        '::1 - - [10/Oct/2020:13:55:36 +0000] "GET / HTTP/1.0" 200 2326 "-" "curl/8"\n'
        "no such line\n"
    )
    project.run("2020-01-01")
    (row,) = project.current("sources.s", "2020-01-02")
    assert row == {"host": "::1", "status": 200, "agent": "curl/8"}
    (held,) = project.verdicts("sources.s")
    assert (bytes(held["raw"]), held["_line"]) == (b"no such line", 2)


def test_records_of_several_lines(tmp_path: Path) -> None:
    settings = "format: pattern\npattern: '(?P<level>\\w+) (?P<text>.*)'\nbegins: '[A-Z]+ '\n"
    project, log = followed(tmp_path, settings)
    project.contract("sources/s", {"level": "varchar", "text": "varchar"})
    log.write_text("ERROR it broke\n  at line 5\n  at line 6\nINFO all well\n")
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [
        {"level": "ERROR", "text": "it broke\n  at line 5\n  at line 6"},
        {"level": "INFO", "text": "all well"},
    ]
