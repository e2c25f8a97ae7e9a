"""Two models on the same rows: labels and predictions brought to the same classes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from lichen.stages.models.data import Answers, Class, TrainingSet, class_of
from lichen.stages.models.gate import Contender
from lichen.stages.models.metric import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEVER = 1e-6  # the probability of a class that a model does not know


@dataclass(frozen=True)
class Said:
    """What a model version said of the rows; its training read labels up to `cutoff`."""

    version: str
    cutoff: datetime | None
    predicted: Floats
    task: Task
    classes: tuple[Class, ...]


@dataclass(frozen=True)
class Bout:
    """What the gate compares; labels of `ground` are numbers. `note` says why one is missing."""

    ground: TrainingSet
    challenger: Contender
    champion: Contender | None
    task: Task
    note: str


def bout(ground: TrainingSet, ours: Said, theirs: Said | None, note: str = "") -> Bout:
    """Return both on the rows that can be judged, by the classes that the challenger tells apart.

    A champion whose answers mean something else is left out, and the note says so.
    """
    if theirs is not None and not _comparable(ours, theirs):
        note += f"; version {theirs.version} answered another question: it is not compared"
        theirs = None
    wanted = ours.classes
    if ours.task is Task.multiclass:
        labels = {class_of(value) for value in ground.label.dropna().unique()}
        others = theirs.classes if theirs is not None else ()
        wanted = together(ours.classes, others, sorted(labels, key=str))
    coded = ground.coded(Answers(ours.task, wanted))
    rows = ~np.isnan(coded.numbers())  # of a third class a yes/no model knows nothing

    def contender(said: Said) -> Contender:
        predicted = said.predicted
        if wanted and said.classes != wanted:
            predicted = by_class(predicted, said.classes, wanted)
            predicted = predicted[:, -1] if ours.task is Task.binary else predicted
        return Contender(said.version, said.cutoff, predicted[rows])

    champion = contender(theirs) if theirs is not None else None
    return Bout(coded.rows(rows), contender(ours), champion, ours.task, note)


def together(*each: Sequence[Class]) -> tuple[Class, ...]:
    """Return all classes once: those of the first in their order, then the others.

    >>> together(["a", "b"], ["b", "c"])
    ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(name for names in each for name in names))


def by_class(predicted: Floats, known: Sequence[Class], wanted: Sequence[Class]) -> Floats:
    """Return probabilities with a column for each class in `wanted`.

    `predicted` has a column for each class in `known` or, of two, only the last one's.
    """
    if predicted.ndim == 1:
        predicted = np.stack([1 - predicted, predicted], axis=1)
    found = np.full((len(predicted), len(wanted)), NEVER)
    for place, name in enumerate(wanted):
        if name in known:
            found[:, place] = predicted[:, list(known).index(name)]
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _comparable(ours: Said, theirs: Said) -> bool:
    if ours.classes and theirs.classes:
        return bool({*ours.classes} & {*theirs.classes})
    return ours.task is theirs.task and ours.classes == theirs.classes
