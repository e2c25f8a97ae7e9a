"""The rows that a model learns from, and what kind of answer they hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.errors import ModelError
from lichen.stages.models.metric import Task, judges

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


MOST_CLASSES = 100
Class = str | int  # a class's own name


@dataclass(frozen=True)
class Answers:
    """What kind of answer a label holds: the task, and the names of its classes.

    A yes/no label of two named classes has the one that yes means last; a label that is itself
    yes or no has no names.
    """

    task: Task
    classes: tuple[Class, ...] = ()

    def codes(self, label: pd.Series[Any]) -> pd.Series[Any]:
        """Return labels as numbers: the places of their classes, NaN where there is none."""
        if not self.classes:
            return label
        import pandas as pd

        places = {name: float(place) for place, name in enumerate(self.classes)}
        known = label.notna().tolist()
        codes = [
            places.get(class_of(value), np.nan) if there else np.nan
            for value, there in zip(label.tolist(), known, strict=True)
        ]
        return pd.Series(codes, index=label.index, dtype="float64", name=label.name)


@dataclass(frozen=True)
class TrainingSet:
    """Rows with their labels, aligned by position.

    `frame` has the columns `features__column`. `at` is the moment of each question (UTC), None
    for data without time; `group` names the cluster of rows that share their luck (a day), None
    where rows are independent; `label_known_at` says when each label became known. `beside` has
    columns of the outcome by which metrics are told, and which no model is shown.
    """

    frame: pd.DataFrame
    label: pd.Series[Any]
    key: pd.Series[str]
    at: pd.Series[Any] | None = None
    group: pd.Series[Any] | None = None
    label_known_at: pd.Series[Any] | None = None
    beside: pd.DataFrame | None = None

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
            None if self.beside is None else self.beside.iloc[places].reset_index(drop=True),
        )

    def coded(self, answers: Answers) -> TrainingSet:
        """Return the same rows with their labels as numbers."""
        return replace(self, label=answers.codes(self.label))

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


def answers_of(label: pd.Series[Any], metric: str, positive: Any = None) -> Answers:
    """Return what kind of answer a label holds. Raises ModelError for what cannot be predicted.

    Booleans, and numbers that are only 0 and 1, are yes or no. Texts name classes, and so do
    whole numbers where the metric judges classes; every other number is a value. Of two classes
    `positive` is yes, or else the last one in order.
    """
    from pandas.api import types

    known = label.dropna()
    held = types.infer_dtype(known)
    if held == "boolean" or (held in _NUMBERS and set(known.unique()) <= {0, 1}):
        if positive is not None and positive not in (True, 1):
            raise ModelError(
                f"positive={positive!r} names no class: the label is itself yes or no",
                hint="negate the outcome's `label`, or leave `positive` out",
            )
        return Answers(Task.binary)
    names = held in _NUMBERS and not judges(metric, Task.regression) and _whole(known)
    if held == "string" or names:
        return _named(known, positive)
    if held in _NUMBERS:
        return Answers(Task.regression)
    raise ModelError(
        f"the label is neither yes/no nor a class nor a number (its type is {label.dtype})",
        allowed=("a boolean", "0 and 1", "a text", "a number"),
        hint="turn it into one in the outcome's `label`, for example `status = 'late'`",
    )


def _named(known: pd.Series[Any], positive: Any) -> Answers:
    classes = sorted(
        {class_of(value) for value in known.unique()},
        key=lambda name: (isinstance(name, str), name),
    )
    if len(classes) > MOST_CLASSES:
        raise ModelError(
            f"the label has {len(classes):,} different values; a model tells at most "
            f"{MOST_CLASSES} classes apart",
            hint="put rare values together in the outcome's `label`; where the number itself is "
            'meant, judge it by metric="rmse"',
        )
    if len(classes) == 1:
        raise ModelError(
            f"all {len(known):,} labels are the same: {classes[0]}",
            hint="look at the outcome's `label` with `lichen query`",
        )
    if positive is not None and positive not in classes:
        raise ModelError(
            f"positive: no row has the label {positive!r}",
            allowed=[str(name) for name in classes],
            given=str(positive),
        )
    if len(classes) == 2:
        yes = classes[1] if positive is None else positive
        return Answers(Task.binary, tuple(sorted(classes, key=lambda name: name == yes)))
    return Answers(Task.multiclass, tuple(classes))


def class_of(value: Any) -> Class:
    """Return the class that a label names; a whole number may have come as a float."""
    return value if isinstance(value, str) else int(value)


def _whole(known: pd.Series[Any]) -> bool:
    return bool((known.astype("float64") % 1 == 0).all())


_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


def check_label(values: NDArray[np.float64], task: Task) -> None:
    """Raise ModelError if nothing can be learned from these labels."""
    if len(values) < 10:
        raise ModelError(
            f"{len(values)} labelled rows are too few to learn from (10 at least)",
            hint="give the outcome more rows, or wait until more labels are known",
        )
    if len(np.unique(values)) < 2:
        same = {Task.binary: "yes/no answer", Task.regression: "value"}.get(task, "class")
        raise ModelError(
            f"all {len(values)} labels have the same {same}: {values[0]:g}",
            hint="look at the outcome's `label` with `lichen query`",
        )


def utc(moments: pd.Series[Any]) -> NDArray[np.datetime64]:
    """Return moments as datetime64[us] in UTC, NaT where there is none."""
    import pandas as pd

    return pd.to_datetime(moments, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")


def moment(value: datetime) -> np.datetime64:
    """Return an aware instant as datetime64[us] in UTC."""
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us")
