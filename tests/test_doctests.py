"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import lichen

SOURCE = Path(lichen.__file__).parent
EXAMPLES = sorted(
    ".".join(("lichen", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text("utf-8") and "templates" not in path.parts
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_say(name: str) -> None:
    tried = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried.attempted > 0
    assert tried.failed == 0


def test_the_pure_modules_have_examples() -> None:
    assert {"lichen.core.graph", "lichen.core.sql", "lichen.core.time"} <= set(EXAMPLES)
