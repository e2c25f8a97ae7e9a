"""Metrics as functions of row weights, prepared once, so that a bootstrap is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lichen.stages.models import score_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Weighted = Callable[[Floats], float]  # weights of the rows to the metric; NaN: undefined

BINS = 10  # equal-width bins of the expected calibration error
_SURE = 1e-15  # probabilities are clipped to [_SURE, 1 - _SURE] in the log loss


def score(name: str, label: Floats, predicted: Floats) -> float:
    """Return a metric over all rows; NaN where it is undefined (one class, no rows).

    >>> y = np.array([0.0, 0.0, 1.0, 1.0])
    >>> score("roc_auc", y, np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    return weighted(name, label, predicted)(np.ones(len(label)))


def weighted(name: str, label: Floats, predicted: Floats) -> Weighted:
    """Return the metric as a function of row weights; sorting and losses are done once.

    A prediction is one number for each row, or a row of probabilities by class.
    """
    prepare = _PREPARE if predicted.ndim == 1 else _OF_CLASSES
    return prepare[name](label, predicted)


def _roc_auc(label: Floats, predicted: Floats) -> Weighted:
    order, starts = _tied(predicted)
    positive = label[order]

    def value(weights: Floats) -> float:
        w = weights[order]
        hits = np.add.reduceat(w * positive, starts)
        misses = np.add.reduceat(w * (1 - positive), starts)
        below = np.cumsum(misses) - misses / 2  # half of a tie counts as below
        total = hits.sum() * misses.sum()
        return float((hits * below).sum() / total) if total else float("nan")

    return value if len(label) else _undefined


def _average_precision(label: Floats, predicted: Floats) -> Weighted:
    order, starts = _tied(-predicted)
    positive = label[order]

    def value(weights: Floats) -> float:
        w = weights[order]
        hits = np.add.reduceat(w * positive, starts)
        seen = np.cumsum(np.add.reduceat(w, starts))
        found = np.cumsum(hits)
        if not found[-1]:
            return float("nan")
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return float((precision * hits).sum() / found[-1])

    return value if len(label) else _undefined


def _ece(label: Floats, predicted: Floats) -> Weighted:
    place = np.minimum((predicted * BINS).astype(np.intp), BINS - 1)
    off = label - predicted

    def value(weights: Floats) -> float:
        total = weights.sum()
        gaps = np.abs(np.bincount(place, weights=weights * off, minlength=BINS))
        return float(gaps.sum() / total) if total else float("nan")

    return value


def _mean_of(loss: Callable[[Floats, Floats], Floats]) -> Callable[[Floats, Floats], Weighted]:
    def prepare(label: Floats, predicted: Floats) -> Weighted:
        losses = loss(label, predicted)

        def value(weights: Floats) -> float:
            total = weights.sum()
            return float(weights @ losses / total) if total else float("nan")

        return value

    return prepare


def _log_loss(label: Floats, predicted: Floats) -> Floats:
    sure = np.clip(predicted, _SURE, 1 - _SURE)
    return np.asarray(-np.log(np.where(label > 0, sure, 1 - sure)))


def _squared(label: Floats, predicted: Floats) -> Floats:
    return np.asarray((label - predicted) ** 2)


def _absolute(label: Floats, predicted: Floats) -> Floats:
    return np.asarray(np.abs(label - predicted))


def _right(label: Floats, predicted: Floats) -> Floats:
    return np.asarray((label > 0) == (predicted >= 0.5), dtype=np.float64)


def _rmse(label: Floats, predicted: Floats) -> Weighted:
    mean = _mean_of(_squared)(label, predicted)
    return lambda weights: float(np.sqrt(mean(weights)))


def _r2(label: Floats, predicted: Floats) -> Weighted:
    missed = _squared(label, predicted)

    def value(weights: Floats) -> float:
        total = weights.sum()
        if not total:
            return float("nan")
        spread = weights @ (label - weights @ label / total) ** 2
        return float(1 - weights @ missed / spread) if spread else float("nan")

    return value


def _tied(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the ascending order and where each run of equal values starts in it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else order
    return order, starts


def _undefined(_weights: Floats) -> float:
    return float("nan")


_PREPARE: dict[str, Callable[[Floats, Floats], Weighted]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "ece": _ece,
    "log_loss": _mean_of(_log_loss),
    "brier": _mean_of(_squared),
    "accuracy": _mean_of(_right),
    "rmse": _rmse,
    "mae": _mean_of(_absolute),
    "r2": _r2,
}
_OF_CLASSES: dict[str, Callable[[Floats, Floats], Weighted]] = {
    "log_loss": score_classes.log_loss,
    "accuracy": score_classes.accuracy,
    "balanced_accuracy": score_classes.balanced_accuracy,
    "macro_f1": score_classes.macro_f1,
    "roc_auc": score_classes.roc_auc(_roc_auc),
}
