"""A trial judges as a training does, on rows that the holdout is no part of, and stores nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

import lichen
from lichen.core.errors import LichenError
from lichen.notebook.trial import Trial
from lichen.notebook.workspace import Workspace


def tree(depth: int = 3) -> Pipeline:
    texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (texts, make_column_selector("depot|tier")),
        (SimpleImputer(), make_column_selector("hour|weight|spent|load")),
    )
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=depth, random_state=1))


@pytest.fixture(scope="module")
def trial(project: Workspace) -> Trial:
    return project.trial("late", tree())


def contents(root: Path) -> dict[str, str]:
    """Return the digest of every file, but for those that SQLite and Python keep for reading."""
    own = (".db-wal", ".db-shm", ".pyc")
    files = (p for p in root.rglob("*") if p.is_file() and not p.name.endswith(own))
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_nothing_is_stored(project: Workspace) -> None:
    root = project.project.root
    files, state = contents(root), project.state()
    tried = project.trial("late", tree(2))
    tried.holdout()
    tried._repr_html_()
    assert contents(root) == files
    assert project.state() == state


def test_it_is_judged_on_validation(project: Workspace, trial: Trial) -> None:
    rows = project.training_set("late")
    assert trial.judged.rows.key.tolist() == rows.validation.key.tolist()
    assert trial.report.training.rows == len(rows.train)
    assert trial.report.holdout.rows == len(rows.validation) == len(trial.predicted)
    assert set(trial.judged.training.reading.keys) == set(rows.train.key)


def test_it_tells_what_a_training_tells(trial: Trial) -> None:
    assert trial.score == trial.metrics["roc_auc"]
    assert trial.score.low is not None
    assert trial.score.value is not None
    assert trial.score.high is not None
    assert trial.score.low < trial.score.value < trial.score.high
    assert {s.column for s in trial.report.slices} == {"depot"}
    assert trial.report.reliability
    assert trial.report.importance


def test_the_definition_tried_on_the_holdout_is_the_published_model(project: Workspace) -> None:
    tried, published = project.trial("late").holdout(), project.model("late")
    assert tried.report.metrics == published.metrics
    assert tried.report.slices == published.report.slices
    held_out = project.training_set("late").holdout
    assert tried.predicted.tolist() == published.predict(held_out.X).tolist()


def test_two_trials_are_compared_on_the_same_rows(project: Workspace, trial: Trial) -> None:
    same = project.trial("late", tree()).against(trial)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    other = project.trial("late", tree(1))
    assert trial.score.value is not None
    assert other.score.value is not None
    assert trial.against(other).value == pytest.approx(trial.score.value - other.score.value)
    earlier = project.trial("late", tree(), now="2020-01-30")
    with pytest.raises(LichenError, match="different rows"):
        trial.against(earlier)


def test_a_search_can_be_tried(project: Workspace) -> None:
    tried = project.trial("late", lichen.auto(budget="20s", trials=1, candidates=["linear"]))
    assert tried.report.family == "linear"
    assert [c.name for c in tried.report.candidates] == ["linear"]


def test_what_cannot_be_trained_is_refused_as_in_a_training(project: Workspace) -> None:
    with pytest.raises(LichenError, match="Ridge is not a classifier"):
        project.trial("late", Ridge())
    with pytest.raises(LichenError, match="which is no estimator"):
        project.trial("late", "logistic")
