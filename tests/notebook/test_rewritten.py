"""A model's file is changed where its function returns, and in its imports; nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lichen.core.errors import LichenError
from lichen.core.names import Kind, Name
from lichen.notebook.keep import rewritten
from lichen.notebook.source import Source
from lichen.stages.models.spec import read_model

RIDGE = Source("Ridge(alpha=2.0)", {"Ridge": "sklearn.linear_model"})
USUAL = '''"""About lateness."""

from lichen import auto, model


@model(target="late", metric="rmse")
def late(schedule, weather):  # names of features
    """How late?"""
    # the usual
    return auto(
        budget="6s",
    )


def other():
    return 1
'''
CASES = {
    "the import goes, and the new one comes": (USUAL, '''"""About lateness."""

from lichen import model
from sklearn.linear_model import Ridge


@model(target="late", metric="rmse")
def late(schedule, weather):  # names of features
    """How late?"""
    # the usual
    return Ridge(alpha=2.0)


def other():
    return 1
'''),
    "what others use stays": ('''from lichen import auto, model
from sklearn.linear_model import Ridge
import numpy as np

BEST = auto()


@model(target="late", metric="rmse")
def late(schedule):
    weights = np.ones(3)
    return Ridge(alpha=weights.sum())
''', '''from lichen import auto, model
from sklearn.linear_model import Ridge

BEST = auto()


@model(target="late", metric="rmse")
def late(schedule):
    return Ridge(alpha=2.0)
'''),
}  # fmt: skip


def change(tmp_path: Path, text: str, source: Source = RIDGE) -> str:
    path = tmp_path / "late.py"
    path.write_text(text)
    return rewritten(text, read_model(path, Name(Kind.model, "late")), source)


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_it_reads_as_if_it_had_been_written_so(tmp_path: Path, before: str, after: str) -> None:
    assert change(tmp_path, before) == after
    assert change(tmp_path, after) == after


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ('@model(target="late", metric="rmse")\ndef late(schedule): return 1\n', "on one line"),
        (
            'def Ridge():\n    pass\n\n\n@model(target="late", metric="rmse")\n'
            "def late(schedule):\n    return Ridge()\n",
            "already means something else by Ridge",
        ),
        (
            'from mine import Ridge\n\n\n@model(target="late", metric="rmse")\n'
            "def late(schedule):\n    return Ridge()\n",
            "already means something else by Ridge",
        ),
    ],
)
def test_a_file_that_would_come_to_mean_something_else_is_left(
    tmp_path: Path, before: str, says: str
) -> None:
    with pytest.raises(LichenError, match=says):
        change(tmp_path, f"from lichen import model\n{before}")
