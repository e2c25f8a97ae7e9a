"""What a project's Python files write: `model` says what to learn, `auto` says how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lichen.core.time import duration
from lichen.stages.models.recipe import Auto

F = TypeVar("F", bound=Callable[..., Any])


def auto(
    budget: str = "60s",
    candidates: Sequence[str] = ("lightgbm", "linear"),
    trials: int | None = None,
) -> Auto:
    """Return the recipe of a search over candidates within a wall-clock budget.

    `trials` bounds the number of trials of each candidate; a search that ends by its trials and
    not by its budget gives the same model on every machine.

    >>> auto(budget="5s").budget.total_seconds()
    5.0
    """
    return Auto(budget=duration(budget), candidates=tuple(candidates), trials=trials)


def model(
    *,
    target: str,
    metric: str,
    positive: str | float | None = None,
    features: Sequence[str] = (),
    slices: Sequence[str] = (),
    holdout: str | float = 0.2,
    retrain: str | Mapping[str, str | int | bool] | None = None,
    margin: float = 0.0,
    seed: int = 0,
) -> Callable[[F], F]:
    """Record a model's settings on the function below; they are read from the file, not run."""
    settings = {
        "target": target,
        "metric": metric,
        "positive": positive,
        "features": features,
        "slices": slices,
        "holdout": holdout,
        "retrain": retrain,
        "margin": margin,
        "seed": seed,
    }

    def record(function: F) -> F:
        setattr(function, "__lichen_model__", settings)  # noqa: B010  # a type checker's blind spot
        return function

    return record
