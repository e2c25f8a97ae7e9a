"""Calibration makes probabilities true, and is left out where it would not help."""

from __future__ import annotations

import numpy as np
import pytest

from lichen.stages.models.calibrate import calibrate, fit
from lichen.stages.models.score import score


def _said(count: int, sharpness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions whose log odds are `sharpness` times too sure, and what came true."""
    random = np.random.default_rng(seed)
    odds = random.normal(-1, 1, count)
    label = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-sharpness * odds)), label


@pytest.mark.parametrize(("count", "method"), [(400, "sigmoid"), (20_000, "isotonic")])
@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_miscalibrated_probabilities_improve_on_new_rows(
    count: int, method: str, sharpness: float
) -> None:
    found = calibrate(*_said(count, sharpness, seed=1))
    assert found is not None
    assert found.method == method
    predicted, label = _said(20_000, sharpness, seed=2)
    after, truth = found(predicted), _said(20_000, 1.0, seed=2)[0]
    assert score("log_loss", label, after) < score("log_loss", label, predicted) - 0.01
    assert score("log_loss", label, after) < score("log_loss", label, truth) + 0.01
    assert score("ece", label, after) < score("ece", label, predicted)
    assert abs(score("roc_auc", label, after) - score("roc_auc", label, predicted)) < 0.001


def test_true_probabilities_are_left_alone_or_hardly_changed() -> None:
    found = calibrate(*_said(400, 1.0, seed=3))
    predicted, label = _said(20_000, 1.0, seed=4)
    after = predicted if found is None else found(predicted)
    assert score("log_loss", label, after) < score("log_loss", label, predicted) + 0.003


def test_too_few_of_one_class_is_not_calibrated() -> None:
    label = np.zeros(300)
    label[:3] = 1
    assert calibrate(np.linspace(0, 1, 300), label) is None


@pytest.mark.parametrize("count", [50, 20_000])
def test_the_map_rises_and_stays_within_zero_and_one(count: int) -> None:
    predicted, label = _said(count, 2.0, seed=5)
    mapped = fit(predicted, label)(np.linspace(-0.1, 1.1, 1000))
    assert (np.diff(mapped) >= 0).all()
    assert mapped.min() > 0
    assert mapped.max() < 1


def test_even_a_perfect_separation_stays_unsure() -> None:
    predicted = np.linspace(0.01, 0.99, 60)
    mapped = fit(predicted, (predicted > 0.5).astype(float))(predicted)
    assert np.isfinite(mapped).all()
    assert mapped.max() < 1
