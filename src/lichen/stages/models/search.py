"""The search of `auto`: candidates and settings, compared on folds, until the time is spent.

What is searched is a `Field`: training rows alone. The holdout is in no object that comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lichen.core.errors import ModelError
from lichen.ports.learner import Learner, Matrix, Order, Sampler, Samplers, Settings
from lichen.stages.models.metric import Metric
from lichen.stages.models.score import score
from lichen.stages.models.split import Fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Clock = Callable[[], float]  # seconds that only ever grow


@dataclass(frozen=True)
class Field:
    """What a search may read."""

    matrix: Matrix
    label: Floats
    folds: tuple[Fold, ...]
    classes: int = 0


@dataclass(frozen=True)
class Trial:
    """One setting tried on every fold; `unseen` are the predictions, in the order of the folds."""

    score: float
    settings: Settings  # early stopping resolved
    seconds: float
    fitted_rows: int
    unseen: tuple[Floats, Floats]  # predicted, label


@dataclass(frozen=True)
class Candidate:
    """A learner and the best that was found for it; `best` is None if no trial succeeded."""

    name: str
    best: Trial | None = None
    trials: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Bounds:
    """When a search ends: `until` on the clock, or `trials` of each candidate."""

    until: float
    trials: int | None
    seed: int
    clock: Clock


@dataclass
class _Runner:
    """A candidate under way."""

    learner: Learner
    sampler: Sampler
    so_far: Candidate
    last: float = field(default=0.0)


def search(
    plot: Field,
    learners: Mapping[str, Learner],
    samplers: Samplers,
    metric: Metric,
    bounds: Bounds,
) -> tuple[Candidate, ...]:
    """Return every candidate, the best first.

    Each one is tried once with its usual settings, in an equal share of the time; then the one
    that has used the least time goes next, as long as its last trial's length still fits in.
    """
    runners = [
        _Runner(learner, samplers(learner, bounds.seed), Candidate(name))
        for name, learner in learners.items()
    ]
    for place, runner in enumerate(runners):
        now = bounds.clock()
        share = (bounds.until - now) / (len(runners) - place)
        _try(runner, plot, metric, replace(bounds, until=now + share))
    while open_ := [runner for runner in runners if _may_go_on(runner, bounds)]:
        _try(min(open_, key=lambda runner: runner.so_far.seconds), plot, metric, bounds)
    found = sorted((runner.so_far for runner in runners), key=lambda c: _rank(c, metric))
    if found[0].best is None:
        raise ModelError(
            "no candidate could be scored on the validation folds",
            hint="the label may have one class only in parts of the data; look at it over time",
        )
    return tuple(found)


def _may_go_on(runner: _Runner, bounds: Bounds) -> bool:
    most = min(runner.learner.enough, bounds.trials or runner.learner.enough)
    return runner.so_far.trials < most and bounds.clock() + runner.last <= bounds.until


def _rank(candidate: Candidate, metric: Metric) -> float:
    if candidate.best is None:
        return float("inf")
    return -candidate.best.score if metric.higher_is_better else candidate.best.score


def _try(runner: _Runner, plot: Field, metric: Metric, bounds: Bounds) -> None:
    settings = runner.sampler.ask()
    began = bounds.clock()
    trial = _trial(runner.learner, settings, plot, metric, bounds)
    runner.last = bounds.clock() - began
    trial = replace(trial, seconds=runner.last)
    runner.sampler.tell(trial.score if metric.higher_is_better else -trial.score)
    before = runner.so_far
    better = not np.isnan(trial.score) and (
        before.best is None or metric.gain(trial.score, before.best.score) > 0
    )
    runner.so_far = Candidate(
        name=before.name,
        best=trial if better else before.best,
        trials=before.trials + 1,
        seconds=before.seconds + runner.last,
    )


def _trial(
    learner: Learner, settings: Settings, plot: Field, metric: Metric, bounds: Bounds
) -> Trial:
    scores, predicted, labels, used, rows = [], [], [], [], 0
    for place, fold in enumerate(plot.folds):
        stop = _stop(bounds, len(plot.folds) - place)
        judged = plot.matrix.rows(fold.judge), plot.label[fold.judge]
        fitted = learner.fit(
            Order(
                matrix=plot.matrix.rows(fold.fit),
                label=plot.label[fold.fit],
                task=metric.task.value,
                metric=metric.name,
                settings=settings,
                seed=bounds.seed,
                stop=stop,
                watch=judged,
                classes=plot.classes,
            )
        )
        predicted.append(fitted.predict(judged[0]))
        labels.append(judged[1])
        scores.append(score(metric.name, labels[-1], predicted[-1]))
        used.append(fitted.used)
        rows += len(fold.fit)
    return Trial(
        score=float(np.mean(scores)),
        settings=_agreed(used),
        seconds=0.0,
        fitted_rows=rows,
        unseen=(np.concatenate(predicted), np.concatenate(labels)),
    )


def _stop(bounds: Bounds, folds_left: int) -> Callable[[], bool]:
    """Return a question that is true once a fold has had its share of the time left."""
    now = bounds.clock()
    end = now + (bounds.until - now) / folds_left
    return lambda: bounds.clock() > end


def _agreed(used: list[Settings]) -> Settings:
    """Return the settings of all folds; what early stopping chose in each is averaged."""
    values = {name: [settings[name] for settings in used] for name in used[0]}
    return {
        name: found[0] if len(set(found)) == 1 else float(np.mean(found))
        for name, found in values.items()
    }
