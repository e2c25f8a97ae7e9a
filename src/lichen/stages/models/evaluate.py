"""What a model is worth on the holdout: metrics with intervals, slices, reliability, importance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lichen.core.errors import ModelError
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.interval import Measured, measure
from lichen.stages.models.metric import Metric, Task, metrics_for
from lichen.stages.models.score import score

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SMALL = 50  # a slice with fewer rows is counted, not judged
MOST_SLICES = 50
IMPORTANCE_ROWS = 2000


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The metric over the rows with one value of a column; None if there are too few, or one class.

    The last slice of a column may be all its rarer values together (`value` is None).
    """

    column: str
    value: str | None
    rows: int
    metric: float | None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """A tenth of the rows by predicted probability: what was said and what came true."""

    rows: int
    predicted: float
    observed: float


def metrics(
    task: Task, label: Floats, predicted: Floats, group: NDArray[Any] | None, *, seed: int
) -> dict[str, Measured]:
    """Return every metric of the task with its interval, on the same resampled groups."""
    return {
        metric.name: measure(metric.name, label, predicted, group, seed=seed)
        for metric in metrics_for(task)
    }


def baseline(task: Task, training_label: Floats, label: Floats) -> dict[str, float | None]:
    """Return what the mean of the training labels scores, given as the answer to every row.

    Of several classes it is their shares.
    """
    constant = np.full(len(label), training_label.mean())
    if task is Task.multiclass:
        count = int(max(training_label.max(), label.max())) + 1
        shares = np.bincount(training_label.astype(np.intp), minlength=count) / len(training_label)
        constant = np.tile(shares, (len(label), 1))
    return {
        metric.name: _defined(score(metric.name, label, constant)) for metric in metrics_for(task)
    }


def slices(
    metric: Metric, label: Floats, predicted: Floats, columns: Mapping[str, pd.Series[Any]]
) -> list[Slice]:
    """Return the metric per value of each column, the most frequent values first."""
    return [
        found
        for name, values in columns.items()
        for found in _slices_of(metric, label, predicted, name, values)
    ]


def slice_columns(data: TrainingSet, names: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """Return the columns that slices name: the outcome's own, or else the features'.

    Of features it is the column of that name, or the `column` of one `features__column`. Raises
    ModelError for a name that fits none or more than one.
    """
    frame, beside = data.frame, data.beside
    own = () if beside is None else tuple(map(str, beside.columns))
    return {
        name: beside[name]
        if beside is not None and name in own
        else frame[_the_column(frame, name)]
        for name in names
    }


def reliability(label: Floats, predicted: Floats, bins: int = 10) -> list[Bin]:
    """Return what was predicted and observed per equal share of the rows.

    Of several classes it is how probable the chosen one was, and how often it was the true one.
    """
    if predicted.ndim == 2:
        label = (predicted.argmax(axis=1) == label).astype(np.float64)
        predicted = predicted.max(axis=1)
    order = np.argsort(predicted, kind="stable")
    return [
        Bin(
            rows=len(place),
            predicted=float(predicted[place].mean()),
            observed=float(label[place].mean()),
        )
        for place in np.array_split(order, min(bins, len(order)))
        if len(place)
    ]


def importance(
    predict: Callable[[pd.DataFrame], Floats],
    frame: pd.DataFrame,
    label: Floats,
    metric: Metric,
    *,
    seed: int,
) -> dict[str, float]:
    """Return by how much the metric falls when a column is shuffled, the largest fall first.

    It is measured on at most IMPORTANCE_ROWS rows; two columns that tell the same share one fall.
    """
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(frame))[:IMPORTANCE_ROWS])
    part, known = frame.iloc[rows].reset_index(drop=True), label[rows]
    whole = score(metric.name, known, predict(part))
    if np.isnan(whole):
        return {}
    order = random.permutation(len(part))
    falls = {
        str(name): -metric.gain(
            score(
                metric.name,
                known,
                predict(part.assign(**{str(name): part[name].iloc[order].reset_index(drop=True)})),
            ),
            whole,
        )
        for name in part.columns
    }
    return dict(sorted(falls.items(), key=lambda item: -item[1]))


def _slices_of(
    metric: Metric, label: Floats, predicted: Floats, name: str, values: pd.Series[Any]
) -> list[Slice]:
    texts = np.array(["(missing)" if v is None or v != v else str(v) for v in values.tolist()])
    distinct, codes, counts = np.unique(texts, return_inverse=True, return_counts=True)
    ranked = sorted(range(len(distinct)), key=lambda code: (-counts[code], distinct[code]))
    found = [
        _slice(metric, label, predicted, name, str(distinct[code]), codes == code)
        for code in ranked[:MOST_SLICES]
    ]
    if rest := ranked[MOST_SLICES:]:
        found.append(_slice(metric, label, predicted, name, None, np.isin(codes, rest)))
    return found


def _slice(
    metric: Metric,
    label: Floats,
    predicted: Floats,
    column: str,
    value: str | None,
    rows: NDArray[np.bool_],
) -> Slice:
    count = int(rows.sum())
    judged = score(metric.name, label[rows], predicted[rows]) if count >= SMALL else float("nan")
    return Slice(column=column, value=value, rows=count, metric=_defined(judged))


def _the_column(frame: pd.DataFrame, name: str) -> str:
    columns = [str(column) for column in frame.columns]
    fits = [c for c in columns if c == name] or [c for c in columns if c.endswith(f"__{name}")]
    if len(fits) == 1:
        return fits[0]
    short = sorted({column.rpartition("__")[2] for column in columns})
    raise ModelError(
        f"the slice {name!r} fits {'more than one column' if fits else 'no column'}",
        allowed=fits or short,
        given=name,
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
