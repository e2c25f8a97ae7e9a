"""A disk that is full, at ten levels: a clear error, nothing broken, and on it goes with space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lichen.core.errors import LichenError
from lichen.core.steps import Adopt, Done, Failed
from lichen.loop import Event
from lichen.testing.project import SmallProject

LEFT = (0, 4, 12, 24, 40, 60, 90, 130, 200, 300)  # kilobytes
ROWS = 6_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here: that takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, left: int) -> Path:
    """Write a file until so many kilobytes are left."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(max(0, free - left * 1024)))
    return filler


def told(project: SmallProject) -> list[str]:
    """Run, and return what went wrong in words."""
    try:
        events = project.loop().run()
    except LichenError as error:
        return [str(error)]
    assert all(well(event) or isinstance(event.result, Failed) for event in events)
    return [event.result.error for event in events if isinstance(event.result, Failed)]


def well(event: Event) -> bool:
    return isinstance(event.result, Done) or isinstance(event.step, Adopt)


def numbers(project: SmallProject, node: str) -> list[int]:
    return sorted(row["n"] for row in project.versions(node))


def test_it_is_told_and_got_over_at_every_level(small_disk: Path, tmp_path: Path) -> None:
    failed = 0
    for left in LEFT:
        project = SmallProject(small_disk / f"p{left}")
        log = tmp_path / f"{left}.log"
        project.write("sources/log.yml", f"connector: logs\npath: {log}\nlimits: {{rows: 3000}}\n")
        project.contract("sources/log", {"n": "bigint"})
        project.source("files", {"n": "bigint"}, "key: n\n")
        log.write_text('{"n": 0}\n')
        assert told(project) == []
        with log.open("a") as file:
            file.writelines(f'{{"n": {n}}}\n' for n in range(1, ROWS))
        project.csv("feeds/files/1.csv", "n", [[n] for n in range(ROWS)])
        filler = fill(small_disk, left)
        wrong = told(project)
        failed += bool(wrong)
        for text in wrong:
            assert "the disk is full" in text, (left, text)
            assert str(small_disk) in text, (left, text)
            assert "Traceback" not in text
        filler.unlink()
        again = SmallProject(project.root)  # a process of its own
        assert told(again) == [] or told(again) == []
        assert numbers(again, "sources.log") == list(range(ROWS)), left
        assert numbers(again, "sources.files") == list(range(ROWS)), left
        assert again.loop().lake.check("sources.log") == ()
    assert failed >= len(LEFT) // 2, "the disk was hardly ever full"
