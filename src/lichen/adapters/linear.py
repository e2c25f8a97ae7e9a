"""Logistic (of two or several classes) and ridge regression; what is kept are plain arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lichen.ports.learner import Knob, Matrix, Order, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_STEPS = 20  # iterations between two looks at the clock
_ROUNDS = 15
_NEVER = 14.0  # log odds below all others, of a class that no row had
_FAR = 6.0  # standardised numbers are clipped here: a line must not run off with an outlier


@dataclass(frozen=True)
class Scale:
    """How a matrix becomes the columns of a line.

    A number gives its standardised value (0 where missing) and a flag "is missing"; a category
    with k levels gives k + 2 flags: the levels, other, missing.
    """

    levels: NDArray[np.int64]
    mean: Floats
    deviation: Floats


@dataclass(frozen=True)
class Line:
    """A fitted line: `weights` follow Scale's columns, numbers first, then flags per column.

    Of several classes there is a row of weights for each, and an intercept.
    """

    scale: Scale
    weights: Floats
    intercept: Floats
    logistic: bool
    used: Settings

    def predict(self, inputs: Matrix) -> Floats:
        """Return probabilities or values."""
        numbers, places = _standard(self.scale, inputs.values), _flags(self.scale, inputs.values)

        def total_of(weights: Floats) -> Floats:
            flags = np.append(weights, 0.0)[places].sum(axis=1)
            return np.asarray(numbers @ weights[: numbers.shape[1]] + flags)

        if self.weights.ndim == 2:
            return _softmax(np.stack([total_of(w) for w in self.weights], axis=1) + self.intercept)
        total = total_of(self.weights) + self.intercept
        if not self.logistic:
            return np.asarray(total)
        return np.asarray(1 / (1 + np.exp(-np.clip(total, -700, 700))))

    def save(self, folder: Path) -> None:
        """Write the arrays and the settings."""
        np.savez(
            folder / "linear.npz",
            levels=self.scale.levels,
            mean=self.scale.mean,
            deviation=self.scale.deviation,
            weights=self.weights,
        )
        rest = {
            "intercept": self.intercept.tolist(),
            "logistic": self.logistic,
            "used": dict(self.used),
        }
        (folder / "linear.json").write_bytes(msgspec.json.encode(rest))


@dataclass(frozen=True)
class Linear:
    """Logistic regression for yes/no targets, ridge for values; `strength` is 1 / penalty."""

    name: str = "linear"
    enough: int = 8
    knobs: tuple[Knob, ...] = (Knob("strength", 1e-4, 100.0, log=True),)
    usual: Settings = field(default_factory=lambda: {"strength": 0.1})

    def missing(self) -> str | None:
        """Return None: all that it needs is installed with Lichen."""
        return None

    def fit(self, order: Order) -> Line:
        """Fit, in steps, until it converges or time is up."""
        scale = _learn(order.matrix)
        design = _design(scale, order.matrix.values)
        logistic = order.task != "regression"
        fit = _logistic if logistic else _ridge
        weights, intercept = fit(design, order)
        return Line(scale, weights, np.asarray(intercept), logistic, dict(order.settings))

    def load(self, folder: Path) -> Line:
        """Return the saved line."""
        rest = msgspec.json.decode((folder / "linear.json").read_bytes())
        with np.load(folder / "linear.npz", allow_pickle=False) as arrays:
            scale = Scale(arrays["levels"], arrays["mean"], arrays["deviation"])
            intercept = np.asarray(rest["intercept"], np.float64)
            return Line(scale, arrays["weights"], intercept, rest["logistic"], rest["used"])


def _learn(matrix: Matrix) -> Scale:
    numbers = np.array(matrix.levels, dtype=np.int64) == 0
    values = matrix.values[:, numbers]
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0).sum(axis=0) / count
    spread = np.where(present, (values - mean) ** 2, 0).sum(axis=0) / count
    deviation = np.sqrt(spread)
    return Scale(np.array(matrix.levels, np.int64), mean, np.where(deviation > 0, deviation, 1.0))


def _standard(scale: Scale, values: Floats) -> Floats:
    z = (values[:, scale.levels == 0] - scale.mean) / scale.deviation
    return np.asarray(np.where(np.isnan(z), 0.0, np.clip(z, -_FAR, _FAR)))


def _widths(scale: Scale) -> NDArray[np.int64]:
    return np.asarray(np.where(scale.levels == 0, 1, scale.levels + 2))


def _flags(scale: Scale, values: Floats) -> NDArray[np.int64]:
    """Return the place of each row's flag in the weights, one past their end for none."""
    widths = _widths(scale)
    numbers = scale.levels == 0
    begin = int(numbers.sum()) + np.cumsum(widths) - widths
    end = int(numbers.sum() + widths.sum())
    missing = np.isnan(values)
    codes = np.where(missing, 0.0, values).astype(np.int64)
    category = begin + np.where(missing, scale.levels + 1, np.minimum(codes, scale.levels))
    return np.asarray(np.where(numbers, np.where(missing, begin, end), category), dtype=np.int64)


def _design(scale: Scale, values: Floats) -> Any:
    from scipy import sparse

    numbers = _standard(scale, values)
    width = numbers.shape[1] + int(_widths(scale).sum())
    places = _flags(scale, values)
    rows, columns = np.nonzero(places < width)
    ones = np.ones(len(rows))
    flags = sparse.csr_matrix(
        (ones, (rows, places[rows, columns] - numbers.shape[1])),
        shape=(len(values), width - numbers.shape[1]),
    )
    return sparse.hstack([sparse.csr_matrix(numbers), flags], format="csr")


def _softmax(total: Floats) -> Floats:
    raised = np.exp(total - total.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _logistic(design: Any, order: Order) -> tuple[Floats, Floats]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(
        C=float(order.settings["strength"]), max_iter=_STEPS, warm_start=True, tol=1e-4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
        for _ in range(_ROUNDS):
            line.fit(design, order.label)
            if int(line.n_iter_[0]) < _STEPS or order.stop():
                break
    if order.task == "binary":
        return line.coef_[0], line.intercept_[0]
    return _of_all_classes(line, order.classes)


def _of_all_classes(line: Any, classes: int) -> tuple[Floats, Floats]:
    """Return weights and intercepts for every class, those without a row as good as ruled out."""
    coefficients, intercepts = line.coef_, line.intercept_
    if len(line.classes_) == 2:  # one line tells two classes apart
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weights = np.zeros((classes, coefficients.shape[1]))
    intercept = np.full(classes, float(np.min(intercepts)) - _NEVER)
    there = line.classes_.astype(np.intp)
    weights[there], intercept[there] = coefficients, intercepts
    return weights, intercept


def _ridge(design: Any, order: Order) -> tuple[Floats, Floats]:
    from sklearn.linear_model import Ridge

    centre, spread = float(order.label.mean()), float(order.label.std()) or 1.0
    line = Ridge(alpha=1 / float(order.settings["strength"]), solver="sparse_cg", max_iter=500)
    line.fit(design, (order.label - centre) / spread)
    return line.coef_ * spread, np.asarray(float(line.intercept_) * spread + centre)
