"""From a training and its holdout to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.time import iso
from lichen.stages.models import evaluate
from lichen.stages.models.card import Part, Report, Tried
from lichen.stages.models.data import TrainingSet, utc
from lichen.stages.models.metric import Metric, Task
from lichen.stages.models.search import Candidate
from lichen.stages.models.split import Split
from lichen.stages.models.train import Training
from lichen.stages.models.trained import Trained, versions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Subject:
    """What is reported on: the model's name, its target and the `now` of its training."""

    model: str
    target: str
    now: datetime
    seed: int = 0


def report(
    subject: Subject,
    parts: Split,
    training: Training,
    plain: Trained,
    metric: Metric,
    slice_by: Mapping[str, pd.Series[Any]],
) -> Report:
    """Return the facts, measured on the holdout. `slice_by` is aligned with the holdout's rows."""
    trained, holdout = training.trained, parts.holdout
    task, label, seed = metric.task, holdout.numbers(), subject.seed
    group = None if holdout.group is None else holdout.group.to_numpy()
    predicted = trained.predict(holdout.frame)
    simple = evaluate.metrics(task, label, plain.predict(holdout.frame), group, seed=seed)
    method = trained.calibration.method if trained.calibration else None
    return Report(
        model=subject.model,
        target=subject.target,
        task=task,
        metric=metric.name,
        family=trained.family,
        trained_at=iso(subject.now),
        cutoff=iso(parts.cutoff) if parts.cutoff else None,
        training=_part(parts.training, trained),
        holdout=_part(holdout, trained),
        left_out={"without a known label": parts.unlabelled, "known too late": parts.late},
        fitted_rows=training.fitted_rows,
        seconds=training.seconds,
        metrics=evaluate.metrics(task, label, predicted, group, seed=seed),
        baseline=evaluate.baseline(task, parts.training.numbers(), label),
        plain=simple,
        candidates=_tried(training.candidates),
        untried=dict(training.untried),
        slices=tuple(evaluate.slices(metric, label, predicted, slice_by)),
        calibration=method,
        reliability=tuple(
            () if task is Task.regression else evaluate.reliability(label, predicted)
        ),
        importance=evaluate.importance(trained.predict, holdout.frame, label, metric, seed=seed),
        ignored=trained.encoder.ignored,
        read_rows=len(training.reading.keys),
        read_digest=training.reading.digest,
        seed=seed,
        versions=versions(),
        classes=trained.classes,
    )


def _part(rows: TrainingSet, trained: Trained) -> Part:
    numbers = rows.numbers()
    mean, counts = float(numbers.mean()), {}
    if trained.classes:
        found = np.bincount(numbers.astype(np.intp), minlength=len(trained.classes))
        counts = {str(n): int(c) for n, c in zip(trained.classes, found, strict=True)}
    if trained.task is Task.multiclass:
        mean = max(counts.values()) / len(rows)
    if rows.at is None:
        return Part(rows=len(rows), mean=mean, classes=counts)
    at = utc(rows.at)
    begin, end = (str(np.datetime_as_string(moment, unit="s")) for moment in (at.min(), at.max()))
    return Part(rows=len(rows), mean=mean, begin=f"{begin}Z", end=f"{end}Z", classes=counts)


def _tried(candidates: Sequence[Candidate]) -> tuple[Tried, ...]:
    return tuple(
        Tried(
            name=candidate.name,
            score=candidate.best.score if candidate.best else None,
            trials=candidate.trials,
            seconds=candidate.seconds,
            settings=dict(candidate.best.settings) if candidate.best else {},
        )
        for candidate in candidates
    )
