"""How sure a metric is: percentile intervals from a bootstrap over clusters of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lichen.stages.models.score import weighted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REPLICATES = 500


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its 95 % interval; None where it is undefined or cannot be estimated."""

    value: float | None
    low: float | None = None
    high: float | None = None


def measure(
    name: str,
    label: Floats,
    predicted: Floats,
    group: NDArray[Any] | None,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> Measured:
    """Return a metric with its interval, resampling whole groups (rows without groups)."""
    metric = weighted(name, label, predicted)
    draws = [metric(w) for w in _weights(len(label), group, seed, replicates)]
    return _measured(metric(np.ones(len(label))), draws)


def difference(
    name: str,
    label: Floats,
    ours: Floats,
    theirs: Floats,
    group: NDArray[Any] | None,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> Measured:
    """Return metric(ours) − metric(theirs) on the same rows, paired in every replicate."""
    a, b = weighted(name, label, ours), weighted(name, label, theirs)
    draws = [a(w) - b(w) for w in _weights(len(label), group, seed, replicates)]
    whole = np.ones(len(label))
    return _measured(a(whole) - b(whole), draws)


def _weights(rows: int, group: NDArray[Any] | None, seed: int, replicates: int) -> Iterator[Floats]:
    """Yield how often each row was drawn; the rows of one group are drawn together."""
    places = np.arange(rows) if group is None else _codes(group)
    clusters = int(places.max()) + 1 if rows else 0
    if clusters < 2:  # one cluster says nothing about its own luck
        return
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = np.bincount(random.integers(0, clusters, clusters), minlength=clusters)
        yield drawn.astype(np.float64)[places]


def _codes(group: NDArray[Any]) -> NDArray[np.intp]:
    import pandas as pd

    return np.asarray(pd.factorize(group, use_na_sentinel=False)[0])


def _measured(value: float, draws: list[float]) -> Measured:
    if np.isnan(value):
        return Measured(value=None)
    defined = np.array([draw for draw in draws if not np.isnan(draw)])
    if len(defined) * 2 <= len(draws) or not len(defined):
        return Measured(value=value)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Measured(value=value, low=float(low), high=float(high))
