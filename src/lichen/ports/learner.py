"""The learners: what turns rows and labels into something that predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # ports stay importable without a numbers library
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Settings = Mapping[str, float]


@dataclass(frozen=True)
class Matrix:
    """Encoded rows: float64 of shape (rows, columns), NaN where a value is missing.

    `levels[j]` is 0 for a number. For a category with k known levels it is k: the values are the
    codes 0 … k-1, and k stands for every other level.
    """

    values: Floats
    names: tuple[str, ...]
    levels: tuple[int, ...]

    def rows(self, index: Any) -> Matrix:
        """Return the rows at an index or mask."""
        return Matrix(self.values[index], self.names, self.levels)


@dataclass(frozen=True)
class Knob:
    """One setting that a search may turn, within bounds (inclusive)."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Order:
    """One fit to do. `watch` are later rows for early stopping; `stop` says that time is up.

    A multiclass label is a place among `classes` many, of which some may have no row.
    """

    matrix: Matrix
    label: Floats
    task: str  # binary, multiclass or regression
    metric: str
    settings: Settings
    seed: int
    stop: Callable[[], bool]
    watch: tuple[Matrix, Floats] | None = None
    classes: int = 0


class Fitted(Protocol):
    """Something that predicts; `used` are its settings, early stopping resolved."""

    @property
    def used(self) -> Settings: ...

    def predict(self, inputs: Any) -> Floats:
        """Return probabilities or values, uncalibrated. Reads a Matrix (or a user's frame).

        Of a multiclass task the shape is (rows, classes).
        """

    def save(self, folder: Path) -> None:
        """Write files that need no trust to be read: text, JSON, plain arrays."""


class Learner(Protocol):
    """A candidate of the search."""

    @property
    def name(self) -> str: ...

    @property
    def knobs(self) -> tuple[Knob, ...]: ...

    @property
    def usual(self) -> Settings: ...

    @property
    def enough(self) -> int:
        """Return the number of trials after which more of them are a waste."""

    def missing(self) -> str | None:
        """Return what this machine lacks for it, or None if it can be used."""

    def fit(self, order: Order) -> Fitted:
        """Fit; returns early, with what there is, once `order.stop()` is true."""

    def load(self, folder: Path) -> Fitted:
        """Return what `save` wrote."""


class Sampler(Protocol):
    """Proposes settings to try, learning from the scores of earlier ones."""

    def ask(self) -> Settings:
        """Return the next settings; the first ones are the learner's usual settings."""

    def tell(self, gain: float) -> None:
        """Report how good the last settings were; higher is better, NaN is a failure."""


Samplers = Callable[[Learner, int], Sampler]  # a learner and a seed to a fresh sampler


class Estimators(Protocol):
    """A user's own estimators."""

    def check(self, estimator: Any, task: str) -> None:
        """Refuse, before any work, what cannot be fitted, stored or asked for this task."""

    def fit(self, estimator: Any, frame: Any, label: Floats, task: str, classes: int = 0) -> Fitted:
        """Fit a fresh copy of the estimator on a pandas DataFrame."""

    def is_probability(self, estimator: Any) -> bool:
        """Return whether a classifier answers with probabilities."""

    def load(self, folder: Path) -> Fitted:
        """Return what `save` wrote."""
