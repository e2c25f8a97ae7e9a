"""Predictions beside what turned out, as the numbers that a metric reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lichen.stages.context import Shelf
from lichen.stages.models.ask import Inquiry
from lichen.stages.models.bout import together
from lichen.stages.models.data import Answers, Class, class_of
from lichen.stages.models.interval import Measured, measure
from lichen.stages.models.metric import Task, judges

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEVER = 1e-6  # the probability of a class that a prediction does not name


def kind_of(inquiry: Inquiry, shelf: Shelf) -> Answers:
    """Return what kind of answer the newest version of a model gives."""
    trained = shelf.records.get(str(inquiry.model.name))
    if trained is None or "task" not in trained.facts:
        values = judges(inquiry.model.metric, Task.regression)
        return Answers(Task.regression if values else Task.binary)
    return Answers(Task(trained.facts["task"]), tuple(trained.facts.get("classes", ())))


def measured(
    metric: str,
    rows: pd.DataFrame,
    kind: Answers,
    *,
    seed: int,
    replicates: int | None = None,
) -> Measured:
    """Return a metric over rows of `predicted`, `probabilities`, `label` and `day`."""
    known = rows[rows["label"].notna()]
    if not len(known) or not judges(metric, kind.task):
        return Measured(value=None)
    day = known["day"].to_numpy()
    if kind.task is Task.multiclass:
        label, predicted = _of_classes(known, kind.classes)
    else:
        label, predicted = _of_numbers(known, kind)
    there = ~np.isnan(label) & ~np.isnan(predicted).reshape(len(label), -1).any(axis=1)
    if not there.any():
        return Measured(value=None)
    more: dict[str, Any] = {} if replicates is None else {"replicates": replicates}
    return measure(metric, label[there], predicted[there], day[there], seed=seed, **more)


def _of_numbers(known: pd.DataFrame, kind: Answers) -> tuple[Floats, Floats]:
    label = kind.codes(known["label"]).to_numpy(dtype="float64", na_value=np.nan)
    predicted = known["predicted"].to_numpy(dtype="float64", na_value=np.nan)
    if kind.task is Task.binary and not kind.classes:
        label = (label > 0).astype("float64")
    return label, predicted


def _of_classes(known: pd.DataFrame, classes: tuple[Class, ...]) -> tuple[Floats, Floats]:
    """Return places of classes and a row of probabilities each; NaN where none was given."""
    decode = msgspec.json.Decoder(dict[str, float]).decode
    said = [decode(text) if isinstance(text, str) else {} for text in known["probabilities"]]
    labels = sorted({class_of(value) for value in known["label"].unique()}, key=str)
    every = together(classes, labels)
    label = Answers(Task.multiclass, every).codes(known["label"]).to_numpy(dtype="float64")
    names = [str(name) for name in every]
    predicted = np.array(
        [[row.get(name, NEVER) if row else np.nan for name in names] for row in said], np.float64
    )
    return label, np.asarray(predicted / predicted.sum(axis=1, keepdims=True))
