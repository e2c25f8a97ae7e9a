"""Metrics of several classes as functions of row weights: labels are places, predictions rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Weighted = Callable[[Floats], float]

MOST_CURVES = 20  # of more classes than that nobody reads a mean of curves, and it takes long
_SURE = 1e-15


def log_loss(label: Floats, predicted: Floats) -> Weighted:
    """Return the mean of −log(probability of the true class)."""
    true = predicted[np.arange(len(label)), label.astype(np.intp)]
    return _mean(-np.log(np.clip(true, _SURE, 1)))


def accuracy(label: Floats, predicted: Floats) -> Weighted:
    """Return the share of rows whose most probable class is the true one."""
    return _mean((_chosen(predicted) == label).astype(np.float64))


def balanced_accuracy(label: Floats, predicted: Floats) -> Weighted:
    """Return the mean over classes of the share that was found, rare classes as heavy as others."""
    count, place = predicted.shape[1], label.astype(np.intp)
    right = (_chosen(predicted) == label).astype(np.float64)

    def value(weights: Floats) -> float:
        there = np.bincount(place, weights=weights, minlength=count)
        found = np.bincount(place, weights=weights * right, minlength=count)
        seen = there > 0
        return float((found[seen] / there[seen]).mean()) if seen.any() else float("nan")

    return value


def macro_f1(label: Floats, predicted: Floats) -> Weighted:
    """Return the mean over classes (true or predicted) of 2 · right / (true + predicted)."""
    count, place, chosen = predicted.shape[1], label.astype(np.intp), _chosen(predicted)
    right = (chosen == label).astype(np.float64)

    def value(weights: Floats) -> float:
        true = np.bincount(place, weights=weights, minlength=count)
        said = np.bincount(chosen, weights=weights, minlength=count)
        found = np.bincount(place, weights=weights * right, minlength=count)
        seen = true + said > 0
        return float((2 * found[seen] / (true + said)[seen]).mean()) if seen.any() else float("nan")

    return value


def roc_auc(curve: Callable[[Floats, Floats], Weighted]) -> Callable[[Floats, Floats], Weighted]:
    """Return the mean over classes of the area under one class's curve against all others."""

    def prepare(label: Floats, predicted: Floats) -> Weighted:
        places = range(predicted.shape[1] if predicted.shape[1] <= MOST_CURVES else 0)
        curves = [curve((label == k).astype(np.float64), predicted[:, k]) for k in places]

        def value(weights: Floats) -> float:
            areas = np.array([each(weights) for each in curves])
            defined = areas[~np.isnan(areas)]
            return float(defined.mean()) if len(defined) else float("nan")

        return value

    return prepare


def _chosen(predicted: Floats) -> NDArray[np.intp]:
    return np.asarray(predicted.argmax(axis=1))


def _mean(losses: Floats) -> Weighted:
    def value(weights: Floats) -> float:
        total = weights.sum()
        return float(weights @ losses / total) if total else float("nan")

    return value
