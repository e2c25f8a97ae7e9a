"""The rows that a model learns from, and what kind of answer they hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.errors import ModelError
from lichen.stages.models.metric import Task

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingSet:
    """Rows with their labels, aligned by position.

    `frame` has the columns `features__column`. `at` is the moment of each question (UTC), None
    for data without time; `group` names the cluster of rows that share their luck (a day), None
    where rows are independent; `label_known_at` says when each label became known.
    """

    frame: pd.DataFrame
    label: pd.Series[Any]
    key: pd.Series[str]
    at: pd.Series[Any] | None = None
    group: pd.Series[Any] | None = None
    label_known_at: pd.Series[Any] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, index: NDArray[Any]) -> TrainingSet:
        """Return the rows at an index or mask, in its order."""
        places = np.flatnonzero(index) if index.dtype == bool else index

        def taken(series: pd.Series[Any] | None) -> pd.Series[Any] | None:
            return None if series is None else series.iloc[places].reset_index(drop=True)

        return TrainingSet(
            self.frame.iloc[places].reset_index(drop=True),
            self.label.iloc[places].reset_index(drop=True),
            self.key.iloc[places].reset_index(drop=True),
            taken(self.at),
            taken(self.group),
            taken(self.label_known_at),
        )

    def numbers(self) -> NDArray[np.float64]:
        """Return the labels as float64, NaN where there is none."""
        return self.label.to_numpy(dtype=np.float64, na_value=np.nan)


@dataclass(frozen=True)
class Reading:
    """Which rows a training read: their keys in order, and a digest that proves the list."""

    keys: tuple[str, ...]
    digest: str

    @staticmethod
    def of(keys: pd.Series[str]) -> Reading:
        """Return the reading of a key column."""
        listed = tuple(str(key) for key in keys)
        return Reading(listed, digest(listed))


def digest(keys: tuple[str, ...]) -> str:
    """Return the SHA-256 of an ordered list of keys; lengths are part of it.

    >>> digest(("a", "bc")) == digest(("ab", "c"))
    False
    """
    lines = (f"{len(key)}:{key}" for key in keys)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def task_of(label: pd.Series[Any]) -> Task:
    """Return the task that a label sets.

    Booleans, and numbers that are only 0 and 1, are binary; every other number is a regression.
    Raises ModelError for anything else.
    """
    from pandas.api import types

    known = label.dropna()
    held = types.infer_dtype(known)
    if held == "boolean":
        return Task.binary
    if held in ("integer", "floating", "mixed-integer-float", "decimal"):
        return Task.binary if set(known.unique()) <= {0, 1} else Task.regression
    raise ModelError(
        f"the label is neither yes/no nor a number (its type is {label.dtype})",
        allowed=("a boolean", "0 and 1", "a number"),
        hint="turn it into one in the outcome's `label`, for example `status = 'late'`",
    )


def check_label(values: NDArray[np.float64], task: Task) -> None:
    """Raise ModelError if nothing can be learned from these labels."""
    if len(values) < 10:
        raise ModelError(
            f"{len(values)} labelled rows are too few to learn from (10 at least)",
            hint="give the outcome more rows, or wait until more labels are known",
        )
    if len(np.unique(values)) < 2:
        what = "yes/no answer" if task is Task.binary else "value"
        raise ModelError(
            f"all {len(values)} labels have the same {what}: {values[0]:g}",
            hint="look at the outcome's `label` with `lichen query`",
        )


def utc(moments: pd.Series[Any]) -> NDArray[np.datetime64]:
    """Return moments as datetime64[us] in UTC, NaT where there is none."""
    import pandas as pd

    return pd.to_datetime(moments, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")


def moment(value: datetime) -> np.datetime64:
    """Return an aware instant as datetime64[us] in UTC."""
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us")
