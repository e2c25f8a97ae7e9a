"""The gate, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lichen.stages.models.gate import Contender, Decision, Ground, gate
from lichen.stages.models.metric import METRICS

BEGIN = datetime(2013, 11, 1, tzinfo=UTC)
LABEL = np.array([0.0, 1.0] * 60)
DAY = np.repeat(np.arange(12), 10)
GROUND = Ground(LABEL, DAY, BEGIN)
NOISE = np.random.default_rng(0).normal(0, 1, 120)


def _contender(strength: float, cutoff: datetime | None = BEGIN) -> Contender:
    return Contender(
        f"v{strength}", cutoff, 1 / (1 + np.exp(-(strength * (2 * LABEL - 1) + NOISE)))
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "metric", "margin", "expected"),
    [
        (0.5, None, "roc_auc", 0.0, Decision.promoted),
        (0.9, 0.5, "roc_auc", 0.0, Decision.promoted),
        (0.5, 0.5, "roc_auc", 0.0, Decision.promoted),
        (0.45, 0.5, "roc_auc", 0.0, Decision.kept),
        (0.45, 0.5, "roc_auc", 0.2, Decision.promoted),
        (0.1, 0.9, "roc_auc", 0.01, Decision.kept),
        (0.9, 0.5, "log_loss", 0.0, Decision.promoted),
        (0.45, 0.5, "log_loss", 0.0, Decision.kept),
        (0.45, 0.5, "log_loss", 0.2, Decision.promoted),
    ],
)
def test_the_challenger_must_not_be_worse_by_more_than_the_margin(
    challenger: float, champion: float | None, metric: str, margin: float, expected: Decision
) -> None:
    holder = None if champion is None else _contender(champion)
    verdict = gate(
        "models.late", _contender(challenger), holder, GROUND, METRICS[metric], margin=margin
    )
    assert verdict.decision is expected
    assert verdict.finding is None
    assert f"{verdict.challenger:.4f}" in verdict.reason
    if verdict.champion is not None and verdict.difference is not None:
        assert verdict.challenger is not None
        gap = verdict.challenger - verdict.champion
        assert verdict.difference.value == pytest.approx(gap)
        assert f"{verdict.champion:.4f}" in verdict.reason


LATER, EARLIER = BEGIN + timedelta(seconds=1), BEGIN - timedelta(days=9)


@pytest.mark.parametrize(
    ("challenger", "champion", "begin", "who"),
    [
        (LATER, EARLIER, BEGIN, "v0.9"),
        (EARLIER, LATER, BEGIN, "v0.5"),
        (EARLIER, EARLIER, None, "v0.9"),
    ],
)
def test_a_holdout_that_a_model_may_have_seen_is_refused(
    challenger: datetime, champion: datetime, begin: datetime | None, who: str
) -> None:
    verdict = gate(
        "models.late",
        _contender(0.9, challenger),
        _contender(0.5, champion),
        Ground(LABEL, DAY, begin),
        METRICS["roc_auc"],
    )
    assert verdict.decision is Decision.refused
    assert verdict.finding is not None
    assert who in verdict.finding.message
    assert verdict.challenger is None


def test_a_holdout_of_one_class_is_refused() -> None:
    ground = Ground(np.zeros(120), DAY, BEGIN)
    verdict = gate("models.late", _contender(0.9), None, ground, METRICS["roc_auc"])
    assert verdict.decision is Decision.refused
    assert verdict.finding is not None
    assert "undefined" in verdict.reason


def test_rows_without_time_are_judged_by_their_hash_split() -> None:
    ground = Ground(LABEL, None, None)
    verdict = gate(
        "models.late", _contender(0.9, None), _contender(0.5, None), ground, METRICS["roc_auc"]
    )
    assert verdict.decision is Decision.promoted
