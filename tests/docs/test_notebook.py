"""The page on notebooks: its cells are run in their order, in the README's own project."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT
from walks import Guide

import lichen

PAGE = (ROOT / "docs" / "notebook.md").read_text("utf-8")
CELL = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def parcels(guide: Guide, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's project after its first run."""
    folder = tmp_path_factory.mktemp("notebook") / "parcels"
    shutil.copytree(guide("first run").folder, folder)
    return folder


@pytest.fixture(scope="module")
def told(parcels: Path) -> dict[str, Any]:
    """What the cells' names stand for in the end; each last line is shown as a notebook does."""
    names: dict[str, Any] = {"shown": []}
    before = Path.cwd()
    os.chdir(parcels)
    try:
        for cell in CELL.findall(PAGE):
            _run(cell, names)
    finally:
        os.chdir(before)
    return names


def _run(cell: str, names: dict[str, Any]) -> None:
    tree = ast.parse(cell)
    for statement in tree.body:
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "cell", "eval"), names)  # noqa: S307
            show = getattr(value, "_repr_html_", None)
            names["shown"].append(show() if show else repr(value))
        else:
            exec(compile(ast.Module([statement], []), "cell", "exec"), names)  # noqa: S102


def test_every_cell_runs_and_what_it_says_happens(told: dict[str, Any], parcels: Path) -> None:
    assert len(told["shown"]) > 15
    assert "<svg" in told["shown"][0]
    kept = told["kept"]
    assert kept.version == 2
    assert (
        "HistGradientBoostingClassifier(max_depth=3, random_state=0)"
        in (parcels / "models/slow.py").read_text()
    )
    again = lichen.open(parcels)
    assert again.plan(now=told["rows"].now) == ()
    assert again.show("models.slow")["read"]["sha256"] == told["rows"].lineage.sha256


def test_the_page_names_all_that_a_workspace_offers(told: dict[str, Any]) -> None:
    offered = ("table", "query", "training_set", "trial", "model", "plan", "run", "show")
    assert all(f"project.{name}(" in PAGE for name in offered)
    for part in (told["rows"].train, told["rows"].validation, told["rows"].holdout):
        assert all(hasattr(part, name) for name in ("X", "y", "key", "at", "group"))


def test_the_commands_of_the_page_work(guide: Guide) -> None:
    folder = guide("docs/notebook.md").folder
    assert (folder / ".vscode/settings.json").is_file()
    assert "complete -F" in (folder / "completion.bash").read_text()
