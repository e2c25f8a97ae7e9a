"""The report holds what was measured, and the card says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest

from lichen.adapters.optuna import Tpe
from lichen.core.errors import ModelError
from lichen.ports.learner import Learner
from lichen.stages.models.card import Report, card, decoded, encoded, limits
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.evaluate import reliability, slice_columns, slices
from lichen.stages.models.interval import Measured
from lichen.stages.models.metric import METRICS, Task
from lichen.stages.models.recipe import Auto
from lichen.stages.models.report import Subject, report
from lichen.stages.models.score import score
from lichen.stages.models.split import split
from lichen.stages.models.train import train_auto, train_plain

Rows = Callable[..., TrainingSet]
NOW = datetime(2013, 3, 5, tzinfo=UTC)


def _report(rows: Rows, learners: Mapping[str, Learner], task: Task) -> Report:
    metric = METRICS["roc_auc" if task is Task.binary else "rmse"]
    parts = split(rows(1500, task), timedelta(days=20), NOW)
    recipe = Auto(budget=timedelta(minutes=5), trials=1)
    training = train_auto(parts.training, recipe, metric, learners, Tpe)
    plain = train_plain(parts.training, metric, learners["linear"])
    by = slice_columns(parts.holdout, ["place"])
    return report(Subject("models.m", "outcomes.o", NOW), parts, training, plain, metric, by)


@pytest.fixture(scope="module")
def binary(rows: Rows, learners: Mapping[str, Learner]) -> Report:
    return _report(rows, learners, Task.binary)


def test_the_report_of_a_yes_no_model(binary: Report) -> None:
    facts = msgspec.json.decode(encoded(binary))
    auc = facts["metrics"]["roc_auc"]
    assert auc["low"] < auc["value"] < auc["high"]
    assert auc["value"] > 0.75
    assert facts["baseline"]["roc_auc"] == 0.5
    assert 0.75 < facts["plain"]["roc_auc"]["value"] < 1
    assert facts["training"]["rows"] == facts["read_rows"]
    assert facts["training"]["end"] < facts["cutoff"] <= facts["holdout"]["begin"]
    assert {tried["name"] for tried in facts["candidates"]} == {"lightgbm", "linear"}
    assert next(iter(binary.importance)) in ("a__number", "a__place")
    assert binary.ignored == {"b__id": "nearly every row has a value of its own"}
    assert decoded(encoded(binary)) == binary


def test_the_card_says_what_the_report_holds(binary: Report) -> None:
    text = card(binary)
    for heading in ("Data", "Metrics", "Candidates", "Calibration", "Slices", "Features", "Known"):
        assert f"## {heading}" in text
    auc = binary.metrics["roc_auc"]
    assert f"| roc_auc | higher | {auc.value:.4f} | [{auc.low:.4f}, {auc.high:.4f}] |" in text
    assert binary.read_digest[:16] in text
    assert "None |" not in text
    assert "nan" not in text


def test_a_regression_has_a_report_too(rows: Rows, learners: Mapping[str, Learner]) -> None:
    found = _report(rows, learners, Task.regression)
    assert set(found.metrics) == {"rmse", "mae", "r2"}
    rmse, constant = found.metrics["rmse"].value, found.baseline["rmse"]
    assert rmse is not None
    assert constant is not None
    assert rmse < constant
    assert "plain ridge regression" in card(found)
    assert "## Calibration" not in card(found)


def test_limits_are_those_that_were_measured(binary: Report) -> None:
    useless = msgspec.structs.replace(
        binary,
        metrics={**binary.metrics, "roc_auc": Measured(value=0.49, low=0.45, high=0.53)},
        holdout=msgspec.structs.replace(binary.holdout, mean=binary.training.mean + 0.1),
    )
    said = " ".join(limits(useless))
    assert "no better than the constant answer" in said
    assert "no better than a plain line" in said
    assert "may be chance" in said
    assert "The base rate moved" in said
    assert "may be chance" not in " ".join(limits(binary))


def test_slices_count_every_row_and_judge_only_large_ones_of_two_classes() -> None:
    random = np.random.default_rng(0)
    label = (random.random(400) < 0.5).astype(float)
    predicted = random.random(400)
    place = np.array(["a"] * 200 + ["b"] * 150 + ["few"] * 20 + [None] * 30, dtype=object)
    label[200:350] = 0
    found = slices(METRICS["roc_auc"], label, predicted, {"place": pd.Series(place)})
    assert [(s.value, s.rows, s.metric is None) for s in found] == [
        ("a", 200, False),
        ("b", 150, True),
        ("(missing)", 30, True),
        ("few", 20, True),
    ]
    assert found[0].metric == score("roc_auc", label[:200], predicted[:200])


def test_very_many_slices_end_in_one_of_all_others() -> None:
    values = pd.Series([f"v{i % 120}" for i in range(6000)])
    found = slices(METRICS["brier"], np.zeros(6000), np.full(6000, 0.1), {"v": values})
    assert len(found) == 51
    assert found[-1].value is None
    assert sum(s.rows for s in found) == 6000


@pytest.mark.parametrize(
    ("name", "says"), [("palce", "did you mean 'place'"), ("twice", "more than one column")]
)
def test_a_slice_must_name_one_column(name: str, says: str) -> None:
    frame = pd.DataFrame({"a__place": [1], "a__twice": [1], "b__twice": [1]})
    data = TrainingSet(frame, pd.Series([1]), pd.Series(["k"]))
    with pytest.raises(ModelError, match=says):
        slice_columns(data, [name])
    assert list(slice_columns(data, ["place", "b__twice"])) == ["place", "b__twice"]


def test_a_slice_of_the_outcome_needs_no_feature_and_comes_first() -> None:
    frame, beside = pd.DataFrame({"a__place": [1, 2]}), pd.DataFrame({"place": [7, 8]})
    data = TrainingSet(frame, pd.Series([1, 0]), pd.Series(["k", "l"]), beside=beside)
    assert [*slice_columns(data.rows(np.array([1])), ["place"])["place"]] == [8]


def test_reliability_says_what_came_true() -> None:
    predicted = np.repeat([0.1, 0.9], 50)
    label = np.r_[np.zeros(45), np.ones(5), np.ones(50)]
    low, high = reliability(label, predicted, bins=2)
    assert (low.rows, low.observed, high.observed) == (50, 0.1, 1.0)
    assert [low.predicted, high.predicted] == pytest.approx([0.1, 0.9])
