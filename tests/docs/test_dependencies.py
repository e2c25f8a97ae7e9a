"""The page of dependencies names what pyproject names, under the licences that are installed."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([\w-]+) \| +(\d+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)


def test_every_direct_dependency_is_explained_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["demo"], *extras["build"]]
    names = {re.split(r"[<>=!~ ]", each)[0] for each in declared}
    assert {name for name, _, _ in ROWS} == names


@pytest.mark.parametrize(("name", "licence"), [(name, licence) for name, _, licence in ROWS])
def test_the_licence_is_that_of_the_package(name: str, licence: str) -> None:
    told = metadata.metadata(name)
    words = [*(told.get_all("License-Expression") or []), *(told.get_all("License") or [])]
    words += [c for c in told.get_all("Classifier") or [] if c.startswith("License")]
    if not any(licence in text for text in words):  # some tell it in a file alone
        files = [f for f in metadata.files(name) or () if f.parent.name == "licenses"]
        words += [f.read_text() for f in files]
    assert any(licence in text for text in words)
