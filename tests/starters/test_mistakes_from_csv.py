"""What cannot become a project is told with its place and what to do, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from lichen.cli import main

HERE = Path(__file__).parent
CASES: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "mistakes.yml").read_text("utf-8"))
SAYS = HERE / "says.yml"
LISTED: dict[str, str] = yaml.safe_load(SAYS.read_text("utf-8")) if SAYS.is_file() else {}


def write(case: dict[str, Any], path: Path) -> None:
    """Write the CSV file of a case."""
    if case.get("binary"):
        path.write_bytes(b"PK\x03\x04\x00\x00\x08\x00")
    elif "names" in case:
        names = [f"name {i}" for i in range(case["names"])] * case.get("times", 1)
        path.write_text("x,name\n" + "".join(f"{i % 7},{n}\n" for i, n in enumerate(names)))
    elif "numbers" in case:
        path.write_text("x,n\n" + "".join(f"{i % 7},{i}\n" for i in range(case["numbers"])))
    elif "csv" in case:
        path.write_text(case["csv"])


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    write(case, tmp_path / "shop.csv")
    if case.get("taken"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "note.txt").write_text("mine")
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    code = main(["init", "made", *shlex.split(case["typed"])])
    told = capsys.readouterr()
    said = told.err.replace(str(tmp_path), "TMP")
    if os.environ.get("LICHEN_WRITE_GOLDEN"):
        LISTED[name] = said
        SAYS.write_text(yaml.safe_dump(LISTED, default_style="|", width=200), "utf-8")
    assert code in (1, 2)
    assert said == LISTED[name]
    assert "unexpected" not in said and told.out == ""
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_every_golden_text_belongs_to_a_case() -> None:
    assert set(LISTED) == set(CASES)
