"""The depot, run once: a model, a service, three features and four sources."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import depot
import pytest

import lichen
from lichen.core.steps import Done
from lichen.notebook.workspace import Workspace


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The depot after one run; for reading only."""
    root = tmp_path_factory.mktemp("notebook") / "depot"
    depot.write_project(root)
    text = (root / "models/late.py").read_text()
    (root / "models/late.py").write_text(
        text.replace('holdout="7 days"', 'holdout="7 days", slices=["depot"]')
    )
    (root / "lichen.yml").write_text("name: depot\ntargets: {dev: {threads: 1}}\n")
    events = lichen.open(root).run(now=depot.NOW)
    assert all(isinstance(event.result, Done) for event in events)
    return root


@pytest.fixture(scope="session")
def project(ran: Path) -> Workspace:
    """The depot, opened; for reading only."""
    return lichen.open(ran)


@pytest.fixture
def own(ran: Path, tmp_path: Path) -> Callable[[], Workspace]:
    """Open a copy of the depot of one's own, which may be changed."""

    def opened() -> Workspace:
        root = tmp_path / "own"
        if not root.exists():
            shutil.copytree(ran, root)
        return lichen.open(root)

    return opened
