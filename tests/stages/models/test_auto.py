"""`auto` finds a good model within its budget and reads nothing but the training rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from lichen.adapters.optuna import Tpe
from lichen.core.errors import ModelError
from lichen.ports.learner import Learner
from lichen.stages.models.data import TrainingSet, digest
from lichen.stages.models.evaluate import baseline
from lichen.stages.models.metric import METRICS, Task
from lichen.stages.models.recipe import Auto
from lichen.stages.models.score import score
from lichen.stages.models.split import split
from lichen.stages.models.train import Training, train_auto, train_plain

Rows = Callable[..., TrainingSet]
Learners = Mapping[str, Learner]
NOW = datetime(2013, 12, 1, tzinfo=UTC)
LONG = timedelta(minutes=10)


def _train(
    training: TrainingSet,
    learners: Learners,
    *,
    metric: str = "roc_auc",
    trials: int | None = 2,
    budget: timedelta = LONG,
    candidates: tuple[str, ...] = ("lightgbm", "linear"),
    seed: int = 0,
) -> Training:
    recipe = Auto(budget=budget, candidates=candidates, trials=trials)
    return train_auto(training, recipe, METRICS[metric], learners, Tpe, seed=seed)


@pytest.mark.parametrize("candidate", ["lightgbm", "linear"])
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "rmse", "mae"])
@pytest.mark.parametrize("timed", [True, False])
def test_each_candidate_learns_the_signal(
    rows: Rows, learners: Learners, candidate: str, metric: str, timed: bool
) -> None:
    data = rows(1500, METRICS[metric].task, timed=timed)
    parts = split(data, timedelta(days=15) if timed else 0.25, datetime(2013, 3, 5, tzinfo=UTC))
    found = _train(parts.training, learners, metric=metric, trials=1, candidates=(candidate,))
    label, predicted = parts.holdout.numbers(), found.trained.predict(parts.holdout.frame)
    constant = baseline(METRICS[metric].task, parts.training.numbers(), label)[metric]
    assert constant is not None
    gain = METRICS[metric].gain(score(metric, label, predicted), constant)
    assert gain > {"roc_auc": 0.25, "log_loss": 0.1, "rmse": 0.5, "mae": 0.4}[metric]


def test_holdout_rows_are_never_among_the_keys_that_the_search_read(
    rows: Rows, learners: Learners
) -> None:
    parts = split(rows(1000), timedelta(days=10), datetime(2013, 2, 10, tzinfo=UTC))
    reading = _train(parts.training, learners, trials=1).reading
    assert reading.keys == tuple(parts.training.key)
    assert reading.digest == digest(reading.keys)
    assert not set(reading.keys) & set(parts.holdout.key)


def test_labels_of_the_holdout_cannot_change_the_model(rows: Rows, learners: Learners) -> None:
    data, now = rows(800), datetime(2013, 2, 3, tzinfo=UTC)
    cut = split(data, timedelta(days=8), now)
    after = data.key.isin(set(cut.holdout.key))
    turned = TrainingSet(
        data.frame, data.label ^ after, data.key, data.at, data.group, data.label_known_at
    )
    other = split(turned, timedelta(days=8), now)
    assert (other.holdout.numbers() == 1 - cut.holdout.numbers()).all()
    first, second = (_train(part.training, learners, trials=1) for part in (cut, other))
    asked = cut.holdout.frame
    assert (first.trained.predict(asked) == second.trained.predict(asked)).all()


def test_the_same_seed_gives_the_same_model_and_another_a_similar_one(
    rows: Rows, learners: Learners
) -> None:
    data = rows(1500)
    one, same, other = (
        _train(data, learners, trials=3, candidates=("lightgbm",), seed=seed) for seed in (1, 1, 2)
    )
    predicted = [found.trained.predict(data.frame) for found in (one, same, other)]
    assert (predicted[0] == predicted[1]).all()
    assert one.candidates[0].trials == 3
    assert (predicted[0] != predicted[2]).any()
    aucs = [score("roc_auc", data.numbers(), p) for p in (predicted[0], predicted[2])]
    assert abs(aucs[0] - aucs[1]) < 0.03


def test_the_candidates_are_reported_best_first(rows: Rows, learners: Learners) -> None:
    found = _train(rows(1000), learners, trials=2)
    scores = [c.best.score for c in found.candidates if c.best]
    assert {c.name for c in found.candidates} == {"lightgbm", "linear"}
    assert scores == sorted(scores, reverse=True)
    assert found.trained.family == found.candidates[0].name
    assert all(c.trials == 2 and c.seconds > 0 for c in found.candidates)


def test_a_budget_ends_the_search(flights: TrainingSet, learners: Learners) -> None:
    _train(flights.rows(np.arange(500)), learners, trials=1)  # the libraries are loaded
    began = time.monotonic()
    found = _train(flights, learners, trials=None, budget=timedelta(seconds=2))
    taken = time.monotonic() - began
    assert taken < 6  # without a budget it would be minutes; a busy machine may be late
    assert found.seconds <= taken
    assert all(c.best is not None for c in found.candidates)


def test_the_clock_alone_decides_when_the_search_ends(rows: Rows, learners: Learners) -> None:
    """A clock that moves a second with every look: the whole training takes what it may."""
    data = rows(600)
    looks = [0.0]

    def clock() -> float:
        looks[0] += 1.0
        return looks[0]

    found = {}
    for budget in (30, 3000):
        looks[0] = 0.0
        recipe = Auto(budget=timedelta(seconds=budget), trials=None)
        found[budget] = train_auto(data, recipe, METRICS["roc_auc"], learners, Tpe, clock=clock)
        assert looks[0] < budget + 15  # a fit may finish the round that it is in
    few, many = (sum(c.trials for c in found[budget].candidates) for budget in (30, 3000))
    assert few == 2
    assert many > 4


def test_flights_are_predicted_about_as_well_as_is_known(
    flights: TrainingSet, learners: Learners
) -> None:
    """The schedule alone is known to give an AUC of about .63 in November."""
    parts = split(flights, timedelta(days=30), NOW)
    found = _train(parts.training, learners, trials=1)
    label = parts.holdout.numbers()
    auc = score("roc_auc", label, found.trained.predict(parts.holdout.frame))
    assert 0.59 < auc < 0.68
    rate = np.full(len(label), parts.training.numbers().mean())
    loss = score("log_loss", label, found.trained.predict(parts.holdout.frame))
    assert loss < score("log_loss", label, rate)
    plain = train_plain(parts.training, METRICS["roc_auc"], learners["linear"])
    assert 0.58 < score("roc_auc", label, plain.predict(parts.holdout.frame)) < 0.68


def test_tail_numbers_without_meaning_do_not_hurt_much(learners: Learners) -> None:
    random = np.random.default_rng(0)
    number = random.normal(size=6000)
    data = TrainingSet(
        frame=pd.DataFrame(
            {"a__x": number, "a__tail": [f"N{i}" for i in random.integers(0, 400, 6000)]}
        ),
        label=pd.Series(random.random(6000) < 1 / (1 + np.exp(-number))),
        key=pd.Series([str(i) for i in range(6000)]),
    )
    parts = split(data, 0.3, NOW)
    label = parts.holdout.numbers()
    for name in ("lightgbm", "linear"):
        found = _train(parts.training, learners, trials=1, candidates=(name,)).trained
        ideal = score("roc_auc", label, parts.holdout.frame["a__x"].to_numpy())
        assert score("roc_auc", label, found.predict(parts.holdout.frame)) > ideal - 0.02, name


def test_a_new_level_and_missing_values_still_get_an_answer(rows: Rows, learners: Learners) -> None:
    data = rows(600)
    for name in ("lightgbm", "linear"):
        trained = _train(data, learners, trials=1, candidates=(name,)).trained
        asked = data.frame.iloc[:2].assign(
            a__place=pd.Series(["never seen", None], index=[0, 1]), a__number=[1e9, np.nan]
        )
        predicted = trained.predict(asked)
        assert ((predicted > 0) & (predicted < 1)).all()
        assert trained.predict(data.frame.iloc[:0]).shape == (0,)


def test_one_row_is_quick_and_equals_the_batch(rows: Rows, learners: Learners) -> None:
    data = rows(1000)
    for name in ("lightgbm", "linear"):
        trained = _train(data, learners, trials=1, candidates=(name,)).trained
        one = data.frame.iloc[5:6]
        batch = trained.predict(data.frame)
        assert trained.predict(one)[0] == pytest.approx(batch[5], abs=1e-12)
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            trained.predict(one)
            seconds.append(time.perf_counter() - began)
        assert np.median(seconds) < 0.005


@pytest.mark.parametrize(
    ("label", "says"),
    [([True] * 100, "all 100 labels have the same"), ([True, False] * 4, "too few")],
)
def test_labels_that_teach_nothing_are_refused(
    learners: Learners, label: list[bool], says: str
) -> None:
    data = TrainingSet(
        pd.DataFrame({"a__x": range(len(label))}),
        pd.Series(label),
        pd.Series([str(i) for i in range(len(label))]),
    )
    with pytest.raises(ModelError, match=says):
        _train(data, learners)


def test_a_task_of_the_label_fits_the_metric(rows: Rows) -> None:
    assert METRICS["roc_auc"].task is Task.binary
    assert rows(50, Task.regression).numbers().std() > 0


def test_a_candidate_whose_library_does_not_load_is_left_out_and_told(
    rows: Rows, learners: Learners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # importing it raises ImportError
    found = _train(rows(400), learners, trials=1)
    assert found.trained.family == "linear"
    assert [candidate.name for candidate in found.candidates] == ["linear"]
    assert "libgomp" in found.untried["lightgbm"]
    with pytest.raises(ModelError, match=r"no candidate can be used.*\n.*lightgbm: .*libgomp"):
        _train(rows(400), learners, candidates=("lightgbm",))
