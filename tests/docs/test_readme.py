"""The README's own project: its files are written out, and its commands run, as they stand."""

from __future__ import annotations

import pytest
from pages import ROOT, Reader, blocks, section

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Someone who has followed the whole section."""
    folder = tmp_path_factory.mktemp("parcels")
    new = Reader(folder, tmp_path_factory.mktemp("readme") / "bin")
    for block in blocks(section(README, "A project of your own")):
        new.follow(block)
    return new


def test_the_project_of_the_readme_runs(reader: Reader) -> None:
    assert len([name for name in reader.files if name != "feeds.py"]) == 10
    reader.type("lichen show services.slow --json")
    assert '"version": 1' in reader.printed


def test_a_second_run_has_nothing_to_do(reader: Reader) -> None:
    reader.type("lichen run --now 2026-02-10")
    assert "nothing to do" in reader.printed
