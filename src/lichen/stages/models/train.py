"""Training: from the training rows alone to a model, and to the proof of what was read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.errors import ModelError
from lichen.ports.learner import Estimators, Learner, Matrix, Order, Samplers, Settings
from lichen.stages.models import encode
from lichen.stages.models.calibrate import (
    Calibration,
    calibrate,
    calibrate_classes,
    fit,
    fit_temperature,
)
from lichen.stages.models.data import Class, Reading, TrainingSet, check_label
from lichen.stages.models.metric import Metric, Task
from lichen.stages.models.recipe import Auto
from lichen.stages.models.search import Bounds, Candidate, Clock, Field, Trial, search
from lichen.stages.models.split import folds, thin
from lichen.stages.models.trained import OWN, Trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEARCH_SHARE = 0.6  # of the budget; the rest is for the final fit
ROWS_PER_SECOND = 2000  # of the budget: how many rows a search reads …
FEWEST, MOST = 5_000, 50_000  # … within these bounds
PLAIN_ROWS = 50_000
ALLOWANCE = 1.3


@dataclass(frozen=True)
class Training:
    """A model, the candidates it was chosen from (best first) and the rows that were read."""

    trained: Trained
    candidates: tuple[Candidate, ...]
    reading: Reading
    fitted_rows: int
    seconds: float
    untried: Mapping[str, str] = field(default_factory=dict)  # candidates, and what they lack


def train_auto(
    training: TrainingSet,
    recipe: Auto,
    metric: Metric,
    learners: Mapping[str, Learner],
    samplers: Samplers,
    *,
    classes: tuple[Class, ...] = (),
    seed: int = 0,
    clock: Clock = time.monotonic,
) -> Training:
    """Return the best model found within the recipe's budget. Raises ModelError.

    `training` is everything that is read; where `classes` have names, its labels are their places.
    With `trials` in the recipe and time enough, the same rows and seed give the same model; a
    search that ends by the clock may end elsewhere next time.
    """
    began = clock()
    deadline = began + recipe.budget.total_seconds()
    label = training.numbers()
    check_label(label, metric.task)
    encoder = encode.learn(training.frame)
    matrix = encode.encode(encoder, training.frame)
    plot = _plot(training, matrix, label, recipe, len(classes))
    bounds = Bounds(began + (deadline - began) * SEARCH_SHARE, recipe.trials, seed, clock)
    lacks = {name: learners[name].missing() for name in recipe.candidates}
    chosen = {name: learners[name] for name, lack in lacks.items() if lack is None}
    if not chosen:
        raise ModelError(
            "no candidate can be used on this machine",
            hint="; ".join(f"{name}: {lack}" for name, lack in lacks.items()),
        )
    found = search(plot, chosen, samplers, metric, bounds)
    best = _succeeded(found[0])
    rows = _affordable(training, best, deadline - clock())
    fitted = learners[found[0].name].fit(
        Order(
            matrix=matrix.rows(rows),
            label=label[rows],
            task=metric.task.value,
            metric=metric.name,
            settings=_final(best.settings),
            seed=seed,
            stop=lambda: clock() > deadline,
            classes=len(classes),
        )
    )
    calibration = _calibrated(metric.task, best)
    trained = Trained(metric.task, found[0].name, encoder, fitted, calibration, classes)
    reading = Reading.of(training.key)
    untried = {name: lack for name, lack in lacks.items() if lack is not None}
    return Training(trained, found, reading, len(rows), clock() - began, untried)


def train_own(
    training: TrainingSet,
    estimator: Any,
    metric: Metric,
    estimators: Estimators,
    *,
    classes: tuple[Class, ...] = (),
    clock: Clock = time.monotonic,
) -> Training:
    """Return a user's own estimator, fitted on all training rows as they are. Raises ModelError.

    A classifier without probabilities gets a sigmoid (or, of several classes, a temperature) on its
    decision values, made from the last fold of training.
    """
    began = clock()
    label = training.numbers()
    check_label(label, metric.task)
    estimators.check(estimator, metric.task.value)
    task, count = metric.task, len(classes)
    fitted = estimators.fit(estimator, training.frame, label, task.value, count)
    calibration = None
    if task is not Task.regression and not estimators.is_probability(estimator):
        calibration = _decided(training, label, estimator, estimators, task, count)
    columns = tuple(
        encode.Column(name=str(name), dtype=str(dtype), kind="own")
        for name, dtype in training.frame.dtypes.items()
    )
    encoder = encode.Encoder(columns=columns)
    trained = Trained(task, OWN, encoder, fitted, calibration, classes)
    reading = Reading.of(training.key)
    return Training(trained, (), reading, len(training), clock() - began)


def train_plain(
    training: TrainingSet,
    metric: Metric,
    linear: Learner,
    *,
    classes: tuple[Class, ...] = (),
    seed: int = 0,
) -> Trained:
    """Return the plain comparison: a line with usual settings on at most PLAIN_ROWS rows."""
    rows = thin(training, PLAIN_ROWS)
    part = training.rows(rows)
    encoder = encode.learn(part.frame)
    order = Order(
        matrix=encode.encode(encoder, part.frame),
        label=part.numbers(),
        task=metric.task.value,
        metric=metric.name,
        settings=linear.usual,
        seed=seed,
        stop=lambda: False,
        classes=len(classes),
    )
    return Trained(metric.task, linear.name, encoder, linear.fit(order), None, classes)


def _calibrated(task: Task, best: Trial) -> Calibration | None:
    match task:
        case Task.binary:
            return calibrate(*best.unseen)
        case Task.multiclass:
            return calibrate_classes(*best.unseen)
        case Task.regression:
            return None


def _plot(
    training: TrainingSet, matrix: Matrix, label: Floats, recipe: Auto, classes: int
) -> Field:
    limit = int(np.clip(recipe.budget.total_seconds() * ROWS_PER_SECOND, FEWEST, MOST))
    rows = thin(training, limit)
    folded = folds(training.rows(rows), label[rows])
    return Field(matrix.rows(rows), label[rows], folded, classes)


def _succeeded(candidate: Candidate) -> Trial:
    if candidate.best is None:
        raise ModelError(f"the candidate {candidate.name} has no score")
    return candidate.best


def _affordable(training: TrainingSet, best: Trial, seconds: float) -> NDArray[np.intp]:
    """Return the rows of the final fit: all, or as many as the time left is likely to allow."""
    rate = best.seconds / max(best.fitted_rows, 1)
    # A fold's time holds the rounds that early stopping took in vain, hence the allowance.
    limit = int(max(seconds, 0.0) * ALLOWANCE / rate) if rate > 0 else len(training)
    return thin(training, max(limit, min(FEWEST, len(training))))


def _final(settings: Settings) -> Settings:
    """Return the settings of the final fit: it has more rows than a fold, so 10 % more rounds."""
    if "rounds" not in settings:
        return settings
    return {**settings, "rounds": float(max(10, round(settings["rounds"] * 1.1)))}


def _decided(
    training: TrainingSet,
    label: Floats,
    estimator: Any,
    estimators: Estimators,
    task: Task,
    classes: int,
) -> Calibration:
    parts = folds(training, label)
    if not parts:
        raise ModelError("there are too few rows to turn decision values into probabilities")
    fold = parts[-1]
    earlier = training.rows(fold.fit)
    fitted = estimators.fit(estimator, earlier.frame, label[fold.fit], task.value, classes)
    make = fit if task is Task.binary else fit_temperature
    return make(fitted.predict(training.frame.iloc[fold.judge]), label[fold.judge])
