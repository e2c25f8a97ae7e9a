"""Intervals resample whole groups, and say nothing where there is nothing to say."""

from __future__ import annotations

import time

import numpy as np

from lichen.stages.models.interval import Measured, difference, measure


def _clustered(days: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose predictability is the luck of their day."""
    random = np.random.default_rng(1)
    day = np.repeat(np.arange(days), each)
    label = (random.random(days * each) < 0.3).astype(float)
    strength = random.normal(0.5, 1.0, days)[day]
    return label, 1 / (1 + np.exp(-(strength * label + random.normal(size=days * each)))), day


def _width(found: Measured) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_clusters_widen_the_interval() -> None:
    label, predicted, day = _clustered(30, 100)
    by_day = measure("roc_auc", label, predicted, day, seed=0, replicates=300)
    by_row = measure("roc_auc", label, predicted, None, seed=0, replicates=300)
    assert by_day.value == by_row.value
    assert _width(by_day) > 2 * _width(by_row)


def test_a_group_per_row_equals_no_group() -> None:
    label, predicted, _ = _clustered(5, 40)
    own = measure("brier", label, predicted, np.arange(200), seed=4, replicates=50)
    assert own == measure("brier", label, predicted, None, seed=4, replicates=50)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for seed in range(100):
        luck = np.repeat(random.normal(0, 1, 25), 8)
        label = luck + random.normal(0, 1, 200)
        found = measure(
            "mae", label, np.zeros(200), np.repeat(np.arange(25), 8), seed=seed, replicates=100
        )
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= np.sqrt(2) * np.sqrt(2 / np.pi) <= found.high
    assert 82 <= covered <= 100


def test_one_group_has_no_interval_and_one_class_no_value() -> None:
    label, predicted, _ = _clustered(1, 50)
    assert measure("brier", label, predicted, np.zeros(50), seed=0).low is None
    assert measure("roc_auc", np.zeros(50), predicted, None, seed=0) == Measured(value=None)


def test_the_paired_difference_is_narrower_than_either_model() -> None:
    label, predicted, day = _clustered(30, 50)
    close = np.clip(predicted + np.random.default_rng(3).normal(0, 0.02, len(label)), 0, 1)
    pair = difference("roc_auc", label, close, predicted, day, seed=0, replicates=200)
    alone = measure("roc_auc", label, predicted, day, seed=0, replicates=200)
    assert _width(pair) < _width(alone) / 3
    assert difference("roc_auc", label, close, close, day, seed=0, replicates=20) == Measured(
        value=0.0, low=0.0, high=0.0
    )


def test_a_month_of_days_is_quick() -> None:
    label, predicted, day = _clustered(30, 900)
    began = time.process_time()
    measure("roc_auc", label, predicted, day, seed=0, replicates=500)
    assert time.process_time() - began < 3
