"""init writes a shipped project that check finds nothing wrong with; both start fast."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lichen as package

HEAVY = ("duckdb", "pandas", "sklearn", "deltalake", "sqlalchemy", "numpy", "lightgbm", "arro3")


def test_init_writes_a_project_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lichen: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = lichen("init", "mine", "--template", "flights")
    assert said.code == 0
    assert "next: lichen plan -C mine" in said.out
    told = lichen("check", "-C", "mine", "--json").json
    assert told["project"] == "flights"
    assert told["nodes"]["models"] == ["late"]


@pytest.mark.parametrize("template", ["flights", "fligths"])
def test_init_overwrites_nothing(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lichen: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    if template == "flights":
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "note.txt").write_text("mine", "utf-8")
    said = lichen("init", "mine", "--template", template)
    assert said.code == 1
    says = {"flights": "nothing is overwritten", "fligths": "did you mean 'flights'?"}
    assert says[template] in said.err
    assert [p.name for p in (tmp_path / "mine").glob("*")] == (
        ["note.txt"] if template == "flights" else []
    )


@pytest.mark.parametrize("words", [["--help"], ["check"], ["run", "--help"]])
def test_no_engine_is_loaded_to_start(words: list[str], shop: Path) -> None:
    script = (
        "import sys\n"
        "from lichen.cli import main\n"
        f"code = main({words!r})\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "[]\n")
    assert ended.stdout
