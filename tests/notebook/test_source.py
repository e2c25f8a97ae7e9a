"""An estimator is written down so that it comes back the same, or it is refused."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import lichen
from lichen.core.errors import LichenError
from lichen.notebook.source import WIDTH, source_of

WRITTEN = {
    "defaults": (Ridge(), "Ridge()"),
    "numbers of NumPy": (Ridge(alpha=np.float64(0.5)), "Ridge(alpha=0.5)"),
    "an endless number": (Ridge(tol=float("inf")), 'Ridge(tol=float("inf"))'),
    "a dict": (
        LogisticRegression(class_weight={0: 1.0, 1: 2.5}),
        "LogisticRegression(class_weight={0: 1.0, 1: 2.5})",
    ),
    "a tuple of one": (RidgeCV(alphas=(0.1,)), "RidgeCV(alphas=(0.1,))"),
    "a function of a library": (
        FunctionTransformer(np.log1p, inverse_func=np.expm1),
        "FunctionTransformer(func=log1p, inverse_func=expm1)",
    ),
    "a type of a library": (OneHotEncoder(dtype=np.float32), "OneHotEncoder(dtype=float32)"),
    "an estimator inside": (
        TransformedTargetRegressor(Ridge()), "TransformedTargetRegressor(regressor=Ridge())",
    ),
    "both quotes": (
        make_column_selector("it's \"so\""), "make_column_selector(pattern='it\\'s \"so\"')",
    ),
    "a search": (lichen.auto(budget="5s", trials=2), 'auto(budget="5s", trials=2)'),
    "a search of one": (
        lichen.auto(candidates=["linear"]), 'auto(budget="60s", candidates=["linear"])',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("estimator", "text"), WRITTEN.values(), ids=WRITTEN)
def test_it_is_written_as_one_would(estimator: Any, text: str) -> None:
    found = source_of(estimator)
    assert found.expression == text
    assert shown(made(found.expression, found.statements())) == shown(estimator)


def test_a_pipeline_is_broken_into_lines_that_fit() -> None:
    columns = make_column_transformer(
        (StandardScaler(), ["weather__temp", "weather__wind_speed", "plane__seats"]),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=["str"])),
        remainder="passthrough",
    )
    forest = RandomForestClassifier(200, min_samples_leaf=20, random_state=0)
    estimator = make_pipeline(columns, VotingClassifier([("forest", forest)], voting="soft"))
    found = source_of(estimator, indent=4, before=7)
    assert all(len(line) <= WIDTH for line in found.expression.splitlines()[1:])
    again = made(found.expression, found.statements())
    assert again.get_params().keys() == estimator.get_params().keys()
    assert shown(again) == shown(estimator)


class Mine(BaseEstimator):  # type: ignore[misc]
    """An estimator that a notebook made up."""


class Forgetful(Ridge):  # type: ignore[misc]
    """An estimator whose parameters do not say what it was made with."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha * 2)


def _local() -> Any:
    class Local(BaseEstimator):  # type: ignore[misc]
        pass

    return Local()


REFUSED = {
    "a lambda": (FunctionTransformer(lambda x: x), "FunctionTransformer.func cannot be written"),
    "a generator of chance": (
        LogisticRegression(random_state=np.random.RandomState(1)),
        "LogisticRegression.random_state cannot be written",
    ),
    "an array": (RidgeCV(alphas=np.array([1.0, 2.0])), "RidgeCV.alphas cannot be written"),
    "a class of the notebook": (_local(), "the estimator cannot be written"),
    "deep inside": (
        make_pipeline(FunctionTransformer(lambda x: x), Ridge()),
        "FunctionTransformer.func cannot be written",
    ),
    "not what it says": (Forgetful(), "not the same when it is made again"),
}


@pytest.mark.parametrize(("estimator", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_say_itself_is_refused(estimator: Any, says: str) -> None:
    with pytest.raises(LichenError, match=says):
        source_of(estimator)


def test_what_a_module_of_ones_own_offers_is_imported_from_there() -> None:
    assert source_of(Mine()).imports == {"Mine": __name__.partition(".")[0]}


def shown(estimator: Any) -> str:
    """Return what it looks like, without addresses and NumPy's own spelling of numbers."""
    return re.sub(r"0x\w+|np\.float64\((.*?)\)", r"\1", repr(estimator))


def made(expression: str, statements: list[str]) -> Any:
    """Run what was written, as a file would be."""
    names: dict[str, Any] = {}
    for statement in statements:
        _, module, _, *rest = statement.split()
        for name in "".join(rest).split(","):
            names[name] = getattr(import_module(module), name)
    return eval(expression, names)  # noqa: S307
