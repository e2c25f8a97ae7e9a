"""A small shop with real feeds, and the command line in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lichen as package
from lichen.cli import main
from lichen.core.time import instant

GOOD = Path(__file__).parents[1] / "mistakes" / "project"
BACKFILL = "2020-06-01"


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lichen = Callable[..., Said]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without its model, in the working folder."""
    root = tmp_path / "shop"
    shutil.copytree(GOOD, root)
    for folder in ("services", "models", "outcomes"):
        shutil.rmtree(root / folder)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after one run; for reading only."""
    root = tmp_path_factory.mktemp("once") / "shop"
    shutil.copytree(GOOD, root)
    for folder in ("services", "models", "outcomes"):
        shutil.rmtree(root / folder)
    package.open(root).run(now=instant(BACKFILL))
    return root


@pytest.fixture
def ran(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop of one's own after one run, in the working folder."""
    root = tmp_path / "ran"
    shutil.copytree(once, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def lichen(capsys: pytest.CaptureFixture[str]) -> Lichen:
    """The command line; its output is caught."""

    def call(*words: str) -> Said:
        code = main(words)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call
