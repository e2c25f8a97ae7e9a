"""A user's own estimator is fitted on named columns, or refused with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from lichen.adapters.sklearn import Sklearn
from lichen.core.errors import ModelError
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.metric import METRICS, Task
from lichen.stages.models.score import score
from lichen.stages.models.split import split
from lichen.stages.models.train import train_own
from lichen.stages.models.trained import save

Rows = Callable[..., TrainingSet]
NOW = datetime(2013, 3, 5, tzinfo=UTC)


def _pipeline(model: Any) -> Any:
    return make_pipeline(
        make_column_transformer(
            (
                make_pipeline(SimpleImputer(), StandardScaler()),
                make_column_selector("number|flag"),
            ),
            (
                make_pipeline(
                    SimpleImputer(strategy="constant", fill_value="?"),
                    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                ),
                ["a__place"],
            ),
        ),
        model,
    )


@pytest.mark.parametrize(
    ("model", "metric", "gain"),
    [
        (LogisticRegression(), "roc_auc", 0.25),
        (RandomForestClassifier(30, random_state=0), "roc_auc", 0.2),
        (HistGradientBoostingClassifier(max_iter=30, random_state=0), "roc_auc", 0.2),
        (LinearSVC(), "log_loss", 0.1),
        (CalibratedClassifierCV(LinearSVC(), cv=3), "log_loss", 0.1),
        (Ridge(), "rmse", 0.5),
        (RandomForestRegressor(30, random_state=0), "rmse", 0.4),
        (HistGradientBoostingRegressor(max_iter=30, random_state=0), "r2", 0.4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else str(value),
)
def test_own_estimators_learn_and_are_saved(
    rows: Rows, tmp_path: Any, model: Any, metric: str, gain: float
) -> None:
    judge = METRICS[metric]
    parts = split(rows(1500, judge.task), timedelta(days=15), NOW)
    found = train_own(parts.training, _pipeline(model), judge, Sklearn())
    label = parts.holdout.numbers()
    constant = score(metric, label, np.full(len(label), parts.training.numbers().mean()))
    reached = score(metric, label, found.trained.predict(parts.holdout.frame))
    assert judge.gain(reached, constant) > gain
    assert found.reading.keys == tuple(parts.training.key)
    save(found.trained, tmp_path)


def test_decision_values_become_probabilities(rows: Rows) -> None:
    parts = split(rows(1500), timedelta(days=15), NOW)
    found = train_own(parts.training, _pipeline(LinearSVC()), METRICS["roc_auc"], Sklearn())
    predicted, label = found.trained.predict(parts.holdout.frame), parts.holdout.numbers()
    assert found.trained.calibration is not None
    assert score("ece", label, predicted) < 0.1
    assert abs(predicted.mean() - label.mean()) < 0.08


def test_rows_with_json_types_and_extra_columns_are_read_as_in_training(rows: Rows) -> None:
    data = rows(300)
    trained = train_own(
        data, _pipeline(LogisticRegression()), METRICS["roc_auc"], Sklearn()
    ).trained
    row = data.frame.iloc[3:4]
    asked = pd.DataFrame([{"extra": 1, **row.iloc[0].to_dict()}], dtype=object)
    assert trained.predict(asked)[0] == pytest.approx(trained.predict(row)[0], abs=1e-12)
    with pytest.raises(ModelError, match="trained with the column 'a__place'"):
        trained.predict(row.drop(columns="a__place"))


class Mine(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A class of the user's own."""

    def fit(self, _frame: Any, _label: Any) -> Mine:
        raise AssertionError("it must be refused before it is fitted")

    def predict(self, frame: Any) -> Any:
        return np.zeros(len(frame))


@pytest.mark.parametrize(
    ("estimator", "metric", "says"),
    [
        (Ridge(), "roc_auc", "the target is yes or no, and Ridge is not a classifier"),
        (LogisticRegression(), "rmse", "is a number, and LogisticRegression is not a regressor"),
        (LogisticRegression, "roc_auc", "which is no estimator"),
        (None, "roc_auc", "allowed: lichen.auto"),
        (Mine(), "roc_auc", "not safe to store: .*Mine"),
        (_pipeline(Mine()), "roc_auc", "not safe to store: .*Mine"),
        (
            make_pipeline(FunctionTransformer(lambda f: f), LogisticRegression()),
            "roc_auc",
            "cannot be stored|not safe to store",
        ),
        (LogisticRegression(), "roc_auc", "cannot be fitted: .*next: let its pipeline"),
    ],
)
def test_what_cannot_be_learned_or_kept_is_refused(
    rows: Rows, estimator: Any, metric: str, says: str
) -> None:
    data = rows(200, METRICS[metric].task)
    with pytest.raises(ModelError) as error:
        train_own(data, estimator, METRICS[metric], Sklearn())
    assert re.search(says, str(error.value), re.DOTALL), str(error.value)


def test_a_type_that_only_appears_in_fitting_is_refused_on_saving(
    rows: Rows, tmp_path: Any
) -> None:
    pipeline = _pipeline(KNeighborsClassifier())
    trained = train_own(rows(200), pipeline, METRICS["roc_auc"], Sklearn()).trained
    with pytest.raises(ModelError, match=r"not safe to store: .*KDTree") as error:
        save(trained, tmp_path)
    assert "next:" in str(error.value)


def test_regression_labels_stay_values(rows: Rows) -> None:
    data = rows(300, Task.regression)
    trained = train_own(data, _pipeline(Ridge()), METRICS["rmse"], Sklearn()).trained
    assert trained.calibration is None
    assert trained.predict(data.frame).max() > 1
