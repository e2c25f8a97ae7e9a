"""Metrics equal their definitions, weights equal repeated rows, and one class does not crash."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lichen.core.errors import ModelError
from lichen.stages.models.metric import METRICS, Task, choose, metrics_for
from lichen.stages.models.score import score, weighted

# What judges one number for each row; several classes have a file of their own.
NUMBERS = [m.name for task in (Task.binary, Task.regression) for m in metrics_for(task)]
CASES = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.3, 0.7, 1.0])),
    min_size=2,
    max_size=30,
)


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_auc_is_the_share_of_pairs_in_order(case: list[tuple[bool, float]]) -> None:
    pairs = [(p, n) for yes, p in case if yes for no, n in case if not no]
    expected = (
        sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)
        if pairs
        else math.nan
    )
    label, predicted = (np.array([float(pair[i]) for pair in case]) for i in (0, 1))
    assert score("roc_auc", label, predicted) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", NUMBERS)
def test_weights_count_rows(name: str) -> None:
    random = np.random.default_rng(3)
    label = (random.random(60) < 0.4).astype(float)
    predicted = random.integers(0, 12, 60) / 12
    times = random.integers(0, 4, 60)
    repeated = score(name, np.repeat(label, times), np.repeat(predicted, times))
    assert weighted(name, label, predicted)(times.astype(float)) == pytest.approx(repeated)


def test_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(5)
    label = (random.random(500) < 0.3).astype(float)
    predicted = random.integers(1, 50, 500) / 50
    values = random.normal(size=500)
    for name, expected in {
        "roc_auc": reference.roc_auc_score(label, predicted),
        "average_precision": reference.average_precision_score(label, predicted),
        "log_loss": reference.log_loss(label, np.clip(predicted, 1e-15, 1 - 1e-15)),
        "brier": reference.brier_score_loss(label, predicted),
        "accuracy": reference.accuracy_score(label, predicted >= 0.5),
    }.items():
        assert score(name, label, predicted) == pytest.approx(expected, abs=1e-12), name
    for name, expected in {
        "rmse": reference.root_mean_squared_error(values, predicted),
        "mae": reference.mean_absolute_error(values, predicted),
        "r2": reference.r2_score(values, predicted),
    }.items():
        assert score(name, values, predicted) == pytest.approx(expected, abs=1e-12), name


def test_ece_is_the_gap_between_said_and_seen() -> None:
    label = np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    predicted = np.array([0.25] * 4 + [0.95] * 4)
    assert score("ece", label, predicted) == pytest.approx(0.5 * 0.0 + 0.5 * 0.2)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("rows", [0, 5])
def test_one_class_or_no_row_gives_a_number_or_nan(name: str, rows: int) -> None:
    value = score(name, np.zeros(rows), np.full(rows, 0.2))
    assert isinstance(value, float)
    assert math.isnan(value) or rows


def test_a_perfect_answer_is_better_than_a_constant_in_every_metric() -> None:
    label = np.array([0.0, 1, 0, 1, 1, 0])
    for metric in map(METRICS.__getitem__, NUMBERS):
        perfect = score(metric.name, label, label)
        constant = score(metric.name, label, np.full(6, 0.9))
        assert metric.gain(perfect, constant) > 0, metric.name


def test_a_metric_of_another_task_is_refused() -> None:
    assert choose("", Task.regression).name == "rmse"
    with pytest.raises(ModelError, match="allowed: roc_auc"):
        choose("rmse", Task.binary)
    with pytest.raises(ModelError, match="did you mean 'roc_auc'"):
        choose("roc_acu", Task.binary)
