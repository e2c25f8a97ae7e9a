"""`import lichen` and what a project's files call load no engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lichen
from lichen.core.errors import LichenError

HEAVY = ("numpy", "pandas", "sklearn", "lightgbm", "optuna", "skops", "scipy", "duckdb")


@pytest.mark.parametrize(
    "code",
    [
        "import lichen",
        "import lichen; lichen.model(target='late', metric='rmse')(lambda weather: lichen.auto())",
        "import lichen.stages.models.policy, lichen.stages.models.metric, lichen.ports.learner",
    ],
)
def test_no_engine_is_loaded(code: str) -> None:
    look = f"{code}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_decorator_only_records() -> None:
    @lichen.model(target="late", metric="roc_auc", holdout="30 days", slices=["carrier"])
    def late(schedule: object) -> object:
        raise AssertionError("it must not be called")

    settings = late.__lichen_model__  # type: ignore[attr-defined]
    assert settings["target"] == "late"
    assert settings["holdout"] == "30 days"
    assert settings["slices"] == ["carrier"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'atuo'"):
        _ = lichen.atuo


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"candidates": ["lightgmb"]}, "did you mean 'lightgbm'"),
        ({"candidates": []}, "at least one candidate"),
        ({"budget": "0s"}, "leaves no time"),
        ({"budget": "soon"}, "not a duration"),
        ({"trials": 0}, "0 trials"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(LichenError, match=says):
        lichen.auto(**settings)  # type: ignore[arg-type]
