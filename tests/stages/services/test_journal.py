"""A log keeps complete lines, in files of its own, whatever happens to the disk."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lichen.core.errors import ServiceError
from lichen.core.names import Kind
from lichen.stages.services.journal import Journal
from lichen.stages.services.log import log_sizes
from lichen.stages.services.tables import Outcome


def outcome(number: int) -> Outcome:
    return Outcome(key=f"k{number}", label=1.0, known_at="2020-01-01T00:00:00Z")


def keys(folder: Path) -> list[str]:
    paths = sorted((folder / "log/late").glob("feedback-*.ndjson"), key=lambda p: p.stat().st_ino)
    return sorted(json.loads(line)["key"] for p in paths for line in p.read_text().splitlines())


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "late", Kind.feedback)
    journal.write([])
    assert log_sizes(tmp_path, "late") == {}
    journal.write([outcome(1), outcome(2)])
    assert keys(tmp_path) == ["k1", "k2"]
    journal.close()


def test_a_new_file_begins_after_a_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "late", Kind.feedback, rotate_at=150)
    for number in range(5):
        journal.write([outcome(number)])
    journal.close()
    assert len(log_sizes(tmp_path, "late")) == 3
    assert keys(tmp_path) == [f"k{number}" for number in range(5)]


def test_two_logs_share_no_file(tmp_path: Path) -> None:
    for number in range(2):
        journal = Journal(tmp_path, "late", Kind.feedback)
        journal.write([outcome(number)])
        journal.close()
    assert len(log_sizes(tmp_path, "late")) == 2


def test_a_full_disk_leaves_no_part_of_a_request(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "late", Kind.feedback)
    journal.write([outcome(1)])
    (before,) = log_sizes(tmp_path, "late").values()
    with disk_of(before + 20), pytest.raises(ServiceError, match="the log cannot be written"):
        journal.write([outcome(2), outcome(3)])
    (path,) = (tmp_path / "log/late").iterdir()
    assert path.stat().st_size == before
    journal.write([outcome(4)])
    journal.close()
    assert keys(tmp_path) == ["k1", "k4"]
