"""Which rows train and which judge: by time with known labels, or by the key for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from lichen.core.errors import ModelError
from lichen.stages.models.data import TrainingSet, answers_of, digest, utc
from lichen.stages.models.metric import Task
from lichen.stages.models.split import folds, held_out, split, thin

Rows = Callable[..., TrainingSet]
NOW = datetime(2013, 3, 1, tzinfo=UTC)


def _moments(*texts: str | None) -> pd.Series[pd.Timestamp]:
    return pd.to_datetime(pd.Series(texts), utc=True, format="ISO8601")


def test_each_row_goes_where_its_times_say() -> None:
    cases = pd.DataFrame(
        [
            ("early", "2013-01-01", "2013-01-02", "training"),
            ("known at the cutoff", "2013-01-29", "2013-01-30", "training"),
            ("known after the cutoff", "2013-01-29", "2013-01-30T00:00:01", "late"),
            ("at the cutoff", "2013-01-30", "2013-01-31", "holdout"),
            ("in the holdout", "2013-02-20", "2013-02-21", "holdout"),
            ("not known yet", "2013-02-20", None, "unlabelled"),
            ("known after now", "2013-02-28", "2013-03-02", "unlabelled"),
            ("without a label", "2013-01-01", "2013-01-02", "unlabelled"),
        ],
        columns=["key", "at", "known", "expected"],
    )
    data = TrainingSet(
        frame=pd.DataFrame({"a__x": range(8)}),
        label=pd.Series([True, False, True, False, True, False, True, None], dtype=object),
        key=cases["key"],
        at=_moments(*cases["at"]),
        label_known_at=_moments(*cases["known"]),
    )
    parts = split(data, timedelta(days=30), NOW)
    expected = {name: set(part["key"]) for name, part in cases.groupby("expected")}
    assert set(parts.training.key) == expected["training"]
    assert set(parts.holdout.key) == expected["holdout"]
    assert parts.late == len(expected["late"])
    assert parts.unlabelled == len(expected["unlabelled"])
    assert parts.cutoff == datetime(2013, 1, 30, tzinfo=UTC)
    assert list(parts.holdout.frame["a__x"]) == [3, 4]


def test_no_row_ever_moves_when_rows_are_added() -> None:
    keys = pd.Series([f"k{i}" for i in range(5000)])
    small, large = held_out(keys[:1000], 0.2), held_out(keys, 0.2)
    assert (small == large[:1000]).all()
    assert 0.18 < large.mean() < 0.22
    assert (held_out(keys, 0.3) >= large).all()  # a larger holdout only adds rows
    # the very rows, pinned: another hash would move everybody's holdout
    assert list(keys[:40][large[:40]]) == ["k4", "k12", "k15", "k18", "k29", "k34", "k37"]


def test_classes_give_the_same_share(rows: Rows) -> None:
    data = rows(4000, timed=False)
    parts = split(data, 0.25, NOW)
    assert len(parts.training) + len(parts.holdout) == 4000
    assert abs(parts.training.numbers().mean() - parts.holdout.numbers().mean()) < 0.04
    assert not set(parts.training.key) & set(parts.holdout.key)


def test_folds_over_time_judge_later_rows_with_labels_known_before(rows: Rows) -> None:
    data = rows(800)
    found = folds(data, data.numbers())
    at, known = utc(data.at), utc(data.label_known_at)  # type: ignore[arg-type]
    assert len(found) == 3
    for fold in found:
        assert known[fold.fit].max() <= at[fold.judge].min()
    judged = np.concatenate([fold.judge for fold in found])
    assert len(set(judged.tolist())) == len(judged) == 400


def test_folds_without_time_judge_every_row_once(rows: Rows) -> None:
    data = rows(300, timed=False)
    judged = np.sort(np.concatenate([fold.judge for fold in folds(data, data.numbers())]))
    assert judged.tolist() == list(range(300))


@pytest.mark.parametrize("timed", [True, False])
def test_thinning_is_even_and_does_not_depend_on_the_order(rows: Rows, timed: bool) -> None:
    data = rows(1000, timed=timed)
    order = np.random.default_rng(0).permutation(1000)
    shuffled = data.rows(order)
    kept = thin(data, 100)
    assert len(kept) == 100
    assert set(data.key.iloc[kept]) == set(shuffled.key.iloc[thin(shuffled, 100)])
    assert len(thin(data, 5000)) == 1000


@pytest.mark.parametrize(
    ("holdout", "timed", "says"),
    [
        (timedelta(days=30), False, "needs rows with a time"),
        (
            timedelta(days=3000),
            True,
            r"no labelled row is left for the training part \(holdout 3000d, cutoff 20\d\d-.*Z, ",
        ),
        (timedelta(seconds=1), True, "no labelled row is left for the holdout part"),
        (1.5, False, "is no fraction"),
    ],
)
def test_a_holdout_that_cannot_be_is_refused(
    rows: Rows, holdout: timedelta | float, timed: bool, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        split(rows(100, timed=timed), holdout, NOW)


@pytest.mark.parametrize(
    ("values", "metric", "task", "classes"),
    [
        ([True, False, None], "roc_auc", Task.binary, ()),
        ([0, 1, 1], "roc_auc", Task.binary, ()),
        ([0.0, 1.0, None], "log_loss", Task.binary, ()),
        ([0, 1, 2], "rmse", Task.regression, ()),
        ([0, 1, 2], "log_loss", Task.multiclass, (0, 1, 2)),
        ([3.0, 1.0, 2.0, None], "macro_f1", Task.multiclass, (1, 2, 3)),
        ([2, 1, 1], "accuracy", Task.binary, (1, 2)),
        ([0.5, 1.0], "roc_auc", Task.regression, ()),
        (["b", "a", None], "roc_auc", Task.binary, ("a", "b")),
        (["c", "a", "b"], "accuracy", Task.multiclass, ("a", "b", "c")),
    ],
)
def test_label_and_metric_set_the_task(
    values: list[object], metric: str, task: Task, classes: tuple[object, ...]
) -> None:
    found = answers_of(pd.Series(values), metric)
    assert (found.task, found.classes) == (task, classes)


def test_yes_is_the_class_that_is_declared_and_comes_last() -> None:
    labels = pd.Series(["<=50K", ">50K", None, "<=50K"])
    found = answers_of(labels, "roc_auc", "<=50K")
    assert found.classes == (">50K", "<=50K")
    assert found.codes(labels).tolist()[:2] == [1.0, 0.0]
    assert found.codes(labels).isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("values", "positive", "says"),
    [
        ([str(i) for i in range(101)], None, "101 different values"),
        (["a", "a"], None, "all 2 labels are the same: a"),
        (["no", "yes"], "yse", "did you mean 'yes'"),
        ([True, False], "yes", "itself yes or no"),
        ([pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")], None, "neither yes/no nor a c"),
    ],
)
def test_a_label_that_cannot_be_predicted_is_refused(
    values: list[object], positive: object, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        answers_of(pd.Series(values), "accuracy", positive)


def test_the_digest_depends_on_order_and_borders() -> None:
    assert len({digest(("a", "bc")), digest(("bc", "a")), digest(("ab", "c")), digest(())}) == 4
