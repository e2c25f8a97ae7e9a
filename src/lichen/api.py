"""What a project's Python files write: `table`, `features`, `model` with `auto`."""

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
    return _recorded("model", settings)


def table(
    *,
    key: str | Sequence[str],
    columns: Mapping[str, str] | None = None,
    inputs: Sequence[str] = (),
    note: str = "",
) -> Callable[[F], F]:
    """Record that the function below gives a table; the settings are read from the file, not run.

    Its arguments are tables or sources: their rows as Arrow tables, or as DataFrames of pandas or
    Polars where an argument is annotated so.
    """
    return _recorded("table", {"key": key, "columns": columns, "inputs": inputs, "note": note})


def features(
    *,
    entity: str | Sequence[str],
    event_time: str,
    known_at: str | None = None,
    max_age: str | None = None,
    key: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    inputs: Sequence[str] = (),
    note: str = "",
) -> Callable[[F], F]:
    """Record that each row that the function below gives is an event of an entity.

    The settings are read from the file, not run.
    """
    settings = {
        "entity": entity,
        "event_time": event_time,
        "known_at": known_at,
        "max_age": max_age,
        "key": key,
        "columns": columns,
        "inputs": inputs,
        "note": note,
    }
    return _recorded("features", settings)


def _recorded(word: str, settings: Mapping[str, Any]) -> Callable[[F], F]:
    def record(function: F) -> F:
        setattr(function, f"__lichen_{word}__", settings)
        return function

    return record
