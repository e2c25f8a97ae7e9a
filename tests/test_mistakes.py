"""Every mistake is told with file and line, what was allowed and what to do, and exit code 1."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import lichen
from lichen.cli import main

HERE = Path(__file__).parent / "mistakes"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "cases.yml").read_text("utf-8"))


def make(folder: Path, case: dict[str, Any]) -> Path:
    """Write the good project with one mistake in it."""
    root = folder / "shop"
    shutil.copytree(HERE / "project", root)
    change(root, case)
    return root


def change(root: Path, case: dict[str, Any]) -> None:
    """Make the changes of a case."""
    path = root / case["file"]
    if case.get("remove"):
        path.unlink()
    elif "text" in case:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(case["text"], "utf-8")
    else:
        before = path.read_text("utf-8")
        assert before.count(case["old"]) >= 1, "the case does not change its file"
        after = before.replace(case["old"], case["new"], 1)
        path.write_text(after, "utf-8", "surrogateescape")
    if "also" in case:
        change(root, case["also"])


def words(case: dict[str, Any]) -> list[str]:
    """Return the command line of a case."""
    verb: str = case.get("verb", "check")
    return verb.split() + (["--now", "2020-06-01"] if verb == "run" else [])


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(make(tmp_path, CASES[name]))
    code = main(words(CASES[name]))
    told = capsys.readouterr()
    said = re.sub(r"\d+\.\d s\b", "N s", told.err or told.out).replace(str(tmp_path), "TMP")
    golden = HERE / "says" / f"{name}.txt"
    if os.environ.get("LICHEN_WRITE_GOLDEN"):
        golden.write_text(said, "utf-8")
    assert code == 1
    assert said == golden.read_text("utf-8")
    assert "Traceback" not in told.err + told.out


def test_the_project_without_a_mistake_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(HERE / "project", tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    assert main(["check"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_every_golden_text_belongs_to_a_case() -> None:
    assert {path.stem for path in (HERE / "says").glob("*.txt")} == set(CASES)


@pytest.mark.parametrize("name", ["misspelt_column", "model_unknown_metric"])
def test_a_process_of_its_own_says_the_same(name: str, tmp_path: Path) -> None:
    root = make(tmp_path, CASES[name])
    command = [sys.executable, "-c", "import sys; from lichen.cli import main; sys.exit(main())"]
    env = {**os.environ, "PYTHONPATH": str(Path(lichen.__file__).parents[1])}
    ended = subprocess.run(
        [*command, "check"], cwd=root, capture_output=True, text=True, env=env, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (HERE / "says" / f"{name}.txt").read_text("utf-8")
