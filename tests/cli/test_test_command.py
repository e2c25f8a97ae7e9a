"""`lichen test`: what it prints, what --json says, and its exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import lichen
from lichen.cli import main

TEMPLATE = Path(lichen.__file__).parent / "templates" / "flights"


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    shutil.copytree(TEMPLATE, tmp_path / "flights")
    return tmp_path / "flights"


def test_the_tests_of_the_template_pass(flights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "-C", str(flights)]) == 0
    said = capsys.readouterr().out
    assert "ok      tables.weather_hourly: " in said
    assert "ok      features.airport_load: " in said
    assert "all passed" in said
    assert not (flights / ".lichen").exists()


def test_a_failure_is_exit_code_1_and_told_cell_by_cell(
    flights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    select = flights / "features" / "airport_load.sql"
    select.write_text(select.read_text().replace("> 15", "> 5"))
    assert main(["test", "airport_load", "--json", "-C", str(flights)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["failed"]) == (0, 1)
    (test,) = told["tests"]
    assert (test["node"], test["passed"], test["error"]) == ("features.airport_load", False, None)
    (difference,) = test["differences"]
    assert difference["cells"] == {"late_2h": {"expected": 0.5, "found": 1.0}}
    assert difference["row"] == {"at": "2013-01-01T12:00:00Z", "origin": "JFK"}


def test_check_reads_the_tests_too(flights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (flights / "tests" / "planes.yml").write_text("cases:\n  it: {given: {plans: []}}\n")
    assert main(["check", "-C", str(flights)]) == 1
    assert "nothing is expected" in capsys.readouterr().err


def test_a_project_without_tests_is_told_how(
    flights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(flights / "tests")
    assert main(["test", "-C", str(flights)]) == 0
    assert "tests/NODE.yml" in capsys.readouterr().out
