"""A shop with targets that ran once, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from branches import Shop


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that ran once in `dev`; for copies only."""
    made = Shop(tmp_path_factory.mktemp("opened") / "shop")
    made.go("dev", "2020-03-01")
    return made.root


@pytest.fixture
def shop(opened: Path, tmp_path: Path) -> Shop:
    """A shop of one's own that ran once in `dev`."""
    shutil.copytree(opened, tmp_path / "shop")
    return Shop(tmp_path / "shop")
