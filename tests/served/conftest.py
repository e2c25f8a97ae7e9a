"""A small project that is trained once, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import depot
import pytest

from lichen.core.steps import Done
from lichen.loop import Loop, open_loop

POLICY = '{"labels": 125, "fall": True}'


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model is trained and served; read it, and copy it to change it."""
    root = tmp_path_factory.mktemp("trained") / "depot"
    depot.write_project(root, retrain=POLICY)
    events = open_loop(root).run(now=depot.NOW)
    trouble = [event.result for event in events if not isinstance(event.result, Done)]
    assert not trouble, trouble
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained project."""
    return Path(shutil.copytree(trained, tmp_path / "depot"))


@pytest.fixture
def loop(project: Path) -> Loop:
    """The copy, opened."""
    return open_loop(project)
