"""Several classes: judged by definitions, learnt by every candidate, kept, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from lichen.adapters.optuna import Tpe
from lichen.adapters.sklearn import Sklearn
from lichen.core.errors import ModelError
from lichen.core.time import duration
from lichen.ports.learner import Learner
from lichen.stages.models import evaluate
from lichen.stages.models.bout import Said, bout
from lichen.stages.models.calibrate import calibrate_classes, cooled
from lichen.stages.models.data import Answers, TrainingSet, answers_of
from lichen.stages.models.metric import Task, choose, metrics_for
from lichen.stages.models.recipe import Auto
from lichen.stages.models.score import score, weighted
from lichen.stages.models.split import split
from lichen.stages.models.train import Training, train_auto, train_own, train_plain
from lichen.stages.models.trained import Loader, load, save

LOSS = choose("log_loss", Task.multiclass)
NAMES = [metric.name for metric in metrics_for(Task.multiclass)]


def said(rows: int, classes: int, seed: int = 5) -> tuple[Any, Any]:
    """Return labels, and predictions that know something of them."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, rows).astype(float)
    raw = random.random((rows, classes)) + np.eye(classes)[label.astype(int)] * 0.7
    return label, raw / raw.sum(axis=1, keepdims=True)


def plants(rows: int = 900) -> TrainingSet:
    """Return rows of three kinds that two numbers and a text tell apart, but not for sure."""
    random = np.random.default_rng(2)
    kind = random.integers(0, 3, rows)
    leaf = np.array([8.0, 1.0, 3.0])[kind] + random.normal(size=rows)
    soil = np.array(["clay", "sand", "rock"])[np.where(random.random(rows) < 0.7, kind, 0)]
    frame = pd.DataFrame(
        {"p__leaf": np.where(random.random(rows) < 0.1, np.nan, leaf), "p__soil": soil}
    )
    label = pd.Series(np.array(["fern", "moss", "lichen"])[kind])
    return TrainingSet(frame, label, pd.Series([f"k{i}" for i in range(rows)]))


def coded(data: TrainingSet) -> tuple[TrainingSet, TrainingSet, Answers]:
    answers = answers_of(data.label, "log_loss")
    parts = split(data.coded(answers), 0.25, pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime())
    return parts.training, parts.holdout, answers


def test_metrics_equal_scikit_learn() -> None:
    label, predicted = said(400, 4)
    chosen = predicted.argmax(axis=1)
    for name, expected in {
        "log_loss": reference.log_loss(label, predicted),
        "accuracy": reference.accuracy_score(label, chosen),
        "balanced_accuracy": reference.balanced_accuracy_score(label, chosen),
        "macro_f1": reference.f1_score(label, chosen, average="macro"),
        "roc_auc": reference.roc_auc_score(label, predicted, multi_class="ovr"),
    }.items():
        assert score(name, label, predicted) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("name", NAMES)
def test_weights_count_rows(name: str) -> None:
    label, predicted = said(60, 3)
    times = np.random.default_rng(3).integers(0, 4, 60)
    repeated = score(name, np.repeat(label, times), np.repeat(predicted, times, axis=0))
    assert weighted(name, label, predicted)(times.astype(float)) == pytest.approx(repeated)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [0, 5])
def test_one_class_or_no_row_gives_a_number_or_nan(name: str, rows: int) -> None:
    value = score(name, np.zeros(rows), np.full((rows, 3), 1 / 3))
    assert isinstance(value, float)
    assert rows or np.isnan(value)


def test_the_baseline_are_the_shares_of_the_classes() -> None:
    training, holdout = np.array([0.0, 0, 0, 1, 2, 2]), np.array([0.0, 1, 2])
    found = evaluate.baseline(Task.multiclass, training, holdout)
    assert found["log_loss"] == pytest.approx(-np.log([3 / 6, 1 / 6, 2 / 6]).mean())
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_a_temperature_mends_what_is_too_sure_and_leaves_what_is_right() -> None:
    random = np.random.default_rng(8)
    right = random.dirichlet([1.0, 1.0, 1.0], 6000)
    label = np.array([random.choice(3, p=row) for row in right]).astype(float)
    boasted = cooled(right, 0.4)
    found = calibrate_classes(boasted, label)
    assert found is not None and found.temperature == pytest.approx(2.5, rel=0.1)
    assert score("log_loss", label, found(boasted)) < score("log_loss", label, boasted) - 0.1
    assert calibrate_classes(right, label) is None


def searched(data: TrainingSet, learners: dict[str, Learner], *candidates: str) -> Training:
    training, _, answers = coded(data)
    recipe = Auto(duration("20s"), candidates, 2)
    return train_auto(training, recipe, LOSS, learners, Tpe, classes=answers.classes)


@pytest.mark.parametrize("name", ["lightgbm", "linear"])
def test_a_candidate_learns_and_reads_back_the_same(
    name: str, learners: dict[str, Learner], loaders: dict[str, Loader], tmp_path: Path
) -> None:
    _, holdout, answers = coded(plants())
    trained = searched(plants(), learners, name).trained
    predicted = trained.predict(holdout.frame)
    assert predicted.shape == (len(holdout), 3)
    np.testing.assert_allclose(predicted.sum(axis=1), 1.0)
    assert score("accuracy", holdout.numbers(), predicted) > 0.85
    sha256 = save(trained, tmp_path / "kept")
    again = load(tmp_path / "kept", loaders, sha256=sha256)
    assert again.classes == answers.classes == ("fern", "lichen", "moss")
    np.testing.assert_array_equal(again.predict(holdout.frame), predicted)


@pytest.mark.parametrize("name", ["lightgbm", "linear"])
@pytest.mark.parametrize("left", [("fern", "moss"), ("fern",)])
def test_a_class_without_a_row_in_training_is_as_good_as_ruled_out(
    name: str, left: tuple[str, ...], learners: dict[str, Learner]
) -> None:
    data = plants(400)
    training = data.rows(data.label.isin([*left, "lichen"]).to_numpy(dtype=bool))
    classes = ("fern", "lichen", "moss", "never")
    rows = training.coded(Answers(Task.multiclass, classes))
    recipe = Auto(duration("20s"), (name,), 1)
    trained = train_auto(rows, recipe, LOSS, learners, Tpe, classes=classes).trained
    assert trained.predict(rows.frame)[:, 3].max() < 0.01
    plain = train_plain(rows, LOSS, learners["linear"], classes=classes)
    assert score("accuracy", rows.numbers(), plain.predict(rows.frame)) > 0.8


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(20, min_samples_leaf=10, random_state=0),
        LogisticRegression(),
        LinearSVC(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_estimator_of_ones_own_tells_three_classes_apart(
    estimator: Any, loaders: dict[str, Loader], tmp_path: Path
) -> None:
    data = plants()
    numbers = data.frame[["p__leaf"]].fillna(4.0)
    training, holdout, answers = coded(TrainingSet(numbers, data.label, data.key))
    found = train_own(training, estimator, LOSS, Sklearn(), classes=answers.classes).trained
    predicted = found.predict(holdout.frame)
    shares = np.tile([1 / 3] * 3, (len(holdout), 1))
    label = holdout.numbers()
    assert score("log_loss", label, predicted) < score("log_loss", label, shares) - 0.4
    again = load(tmp_path, loaders, sha256=save(found, tmp_path))
    np.testing.assert_allclose(again.predict(holdout.frame), predicted)


def test_a_regressor_for_classes_is_refused() -> None:
    from sklearn.linear_model import Ridge

    with pytest.raises(ModelError, match="one of several classes, and Ridge is not a classifier"):
        Sklearn().check(Ridge(), "multiclass")


def ground(*labels: str) -> TrainingSet:
    frame = pd.DataFrame({"p__leaf": range(len(labels))})
    return TrainingSet(frame, pd.Series(labels), pd.Series([*map(str, range(len(labels)))]))


def test_a_champion_that_does_not_know_a_class_is_judged_on_it_all_the_same() -> None:
    ours = Said("2", None, np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]), Task.multiclass,
                ("a", "b", "c"))  # fmt: skip
    theirs = Said("1", None, np.array([0.3, 0.4]), Task.binary, ("b", "a"))
    found = bout(ground("a", "c"), ours, theirs)
    assert found.ground.numbers().tolist() == [0.0, 2.0]
    assert found.champion is not None
    np.testing.assert_allclose(
        found.champion.predicted, [[0.3, 0.7, 0.0], [0.4, 0.6, 0.0]], atol=1e-5
    )


def test_yes_may_have_been_the_other_class_before() -> None:
    ours = Said("2", None, np.array([0.9, 0.2]), Task.binary, ("no", "yes"))
    theirs = Said("1", None, np.array([0.3, 0.6]), Task.binary, ("yes", "no"))
    found = bout(ground("yes", "no"), ours, theirs)
    assert found.champion is not None
    np.testing.assert_allclose(found.champion.predicted, [0.7, 0.4])


def test_a_champion_of_another_question_is_not_compared() -> None:
    ours = Said("2", None, np.array([0.9, 0.2]), Task.binary, ("no", "yes"))
    theirs = Said("1", None, np.array([3.5, 4.0]), Task.regression, ())
    found = bout(ground("yes", "no"), ours, theirs)
    assert found.champion is None
    assert "version 1 answered another question" in found.note
