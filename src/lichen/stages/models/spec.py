"""A model: a target, some features, a metric, its guards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lichen.core.errors import Where
from lichen.core.names import Name


@dataclass(frozen=True)
class Retrain:
    """When a model is due: any of an age, a number of new labels, a fall below the interval."""

    age: timedelta | None = None
    labels: int | None = None
    fall: bool = False


@dataclass(frozen=True)
class Model:
    """A model as its file's syntax tree declares it; the function is imported only to train."""

    name: Name
    where: Where
    path: Path
    function: str
    target: Name
    features: tuple[Name, ...]
    metric: str
    slices: tuple[str, ...] = ()
    holdout: timedelta | float = 0.2
    retrain: Retrain = Retrain()
    margin: float = 0.0
    seed: int = 0
