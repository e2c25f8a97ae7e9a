"""From scores to probabilities that can be taken at their word; the map is two plain arrays.

Many predictions on unseen rows give a centred isotonic map (Oron and Flournoy, 2017: isotonic
blocks joined at their centres, so that the order of scores survives), few a sigmoid on the log
odds (Platt). A map is used only if it helped, by more than chance, on later predictions that it
was not made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MANY = 5000  # predictions, and a tenth of it of each class, from which isotonic is used
_BINS = 500
_SURE = 1e-6


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A rising map in log odds, linear between `scores`; `method` names how it was made.

    Probabilities by class have a `temperature` in its place: their logarithms are divided by it.
    """

    method: str
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    temperature: float | None = None

    def __call__(self, predicted: Floats) -> Floats:
        """Return calibrated probabilities."""
        if self.temperature is not None:
            return cooled(predicted, self.temperature)
        return np.asarray(
            np.interp(np.clip(predicted, 0, 1), self.scores, self.probabilities), dtype=np.float64
        )


def calibrate(predicted: Floats, label: Floats) -> Calibration | None:
    """Return a map that lowers the log loss, or None. Rows are in the order of time.

    The map is judged on the last third, made from the rest; if it helps, all rows make it.
    """
    cut = len(label) * 2 // 3
    early, late = slice(None, cut), slice(cut, None)
    if min(_rarer(label[early]), _rarer(label[late])) < 5:
        return None
    trial = fit(predicted[early], label[early])
    gains = _losses(predicted[late], label[late]) - _losses(trial(predicted[late]), label[late])
    chance = float(gains.std()) / np.sqrt(len(gains))
    return fit(predicted, label) if gains.mean() > chance else None


def calibrate_classes(predicted: Floats, label: Floats) -> Calibration | None:
    """Return the temperature that lowers the log loss of probabilities by class, or None.

    It is judged as a map for yes/no is.
    """
    cut = len(label) * 2 // 3
    if min(cut, len(label) - cut) < 5 * predicted.shape[1]:
        return None
    trial = fit_temperature(predicted[:cut], label[:cut])
    before, after = predicted[cut:], trial(predicted[cut:])
    gains = _class_losses(before, label[cut:]) - _class_losses(after, label[cut:])
    chance = float(gains.std()) / np.sqrt(len(gains))
    return fit_temperature(predicted, label) if gains.mean() > chance else None


def fit_temperature(predicted: Floats, label: Floats) -> Calibration:
    """Return the temperature of the least log loss: one number, found by halving an interval."""
    low, high = np.log(0.1), np.log(10.0)
    golden = (np.sqrt(5) - 1) / 2

    def loss(logarithm: float) -> float:
        return float(_class_losses(cooled(predicted, float(np.exp(logarithm))), label).mean())

    for _ in range(40):  # the loss has one valley over the logarithm of the temperature
        a, b = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, b) if loss(a) <= loss(b) else (a, high)
    return Calibration(method="temperature", temperature=float(np.exp((low + high) / 2)))


def cooled(predicted: Floats, temperature: float) -> Floats:
    """Return probabilities by class, sharper below a temperature of 1 and flatter above it."""
    logs = np.log(np.clip(predicted, _SURE, 1)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _class_losses(predicted: Floats, label: Floats) -> Floats:
    true = predicted[np.arange(len(label)), label.astype(np.intp)]
    return np.asarray(-np.log(np.clip(true, _SURE, 1)))


def fit(predicted: Floats, label: Floats) -> Calibration:
    """Return the map that these predictions call for."""
    if len(label) >= MANY and _rarer(label) >= MANY // 10:
        return _isotonic(predicted, label)
    return _sigmoid(predicted, label)


def _losses(predicted: Floats, label: Floats) -> Floats:
    sure = np.clip(predicted, _SURE, 1 - _SURE)
    return np.asarray(-np.log(np.where(label > 0, sure, 1 - sure)))


def _rarer(label: Floats) -> int:
    return int(min(label.sum(), len(label) - label.sum()))


def _isotonic(predicted: Floats, label: Floats) -> Calibration:
    order = np.argsort(predicted, kind="stable")
    blocks: list[tuple[float, float, float]] = []  # weight, mean score, mean label
    for place in np.array_split(order, min(_BINS, len(order))):
        block = (float(len(place)), float(predicted[place].mean()), float(label[place].mean()))
        while blocks and blocks[-1][2] >= block[2]:
            block = _pooled(blocks.pop(), block)
        blocks.append(block)
    # A block of n rows is never surer than n rows allow (Laplace).
    sure = [(x, (w * y + 0.5) / (w + 1)) for w, x, y in blocks]
    scores = [0.0, *(x for x, _ in sure), 1.0]
    values = np.maximum.accumulate([sure[0][1], *(y for _, y in sure), sure[-1][1]])
    return _calibration("isotonic", np.array(scores), values)


def _pooled(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float, float]:
    weight = a[0] + b[0]
    return weight, (a[0] * a[1] + b[0] * b[1]) / weight, (a[0] * a[2] + b[0] * b[2]) / weight


def _sigmoid(predicted: Floats, label: Floats) -> Calibration:
    columns = np.stack([_odds(predicted), np.ones(len(predicted))], axis=1)
    slope, shift = _logistic(columns, label)
    slope = max(slope, 0.01)  # a map that turned the order round would hide a defect
    scores = 1 / (1 + np.exp(-np.linspace(-14, 14, 281)))
    return _calibration("sigmoid", scores, 1 / (1 + np.exp(-(slope * _odds(scores) + shift))))


def _logistic(columns: Floats, label: Floats) -> Floats:
    """Return the weights of a logistic regression; a little ridge towards (1, 0) bounds them."""
    usual = np.array([1.0, 0.0])

    def loss(weights: Floats) -> float:
        odds = columns @ weights
        ridge = 0.05 * ((weights - usual) ** 2).sum()
        return float(np.logaddexp(0, odds).sum() - label @ odds + ridge)

    weights = usual.copy()
    for _ in range(50):  # Newton's method, with steps halved until they gain
        p = 1 / (1 + np.exp(-columns @ weights))
        slope = columns.T @ (p - label) + 0.1 * (weights - usual)
        bend = (columns * (p * (1 - p))[:, None]).T @ columns + 0.1 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _odds(predicted: Floats) -> Floats:
    sure = np.clip(predicted, _SURE, 1 - _SURE)
    return np.asarray(np.log(sure / (1 - sure)))


def _calibration(method: str, scores: Any, values: Any) -> Calibration:
    return Calibration(
        method=method,
        scores=tuple(float(x) for x in scores),
        probabilities=tuple(float(np.clip(y, _SURE, 1 - _SURE)) for y in values),
    )
