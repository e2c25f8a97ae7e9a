"""The retraining policy, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lichen.ports.facts import Live
from lichen.stages.models.policy import due
from lichen.stages.models.spec import Retrain

TRAINED = datetime(2013, 12, 1, tzinfo=UTC)
WEEK = Retrain(age=timedelta(days=7))
FALL = Retrain(fall=True)
AUC = ("roc_auc", 0.70, 0.66, 0.74)


@pytest.mark.parametrize(
    ("policy", "days", "labels", "live", "says"),
    [
        (Retrain(), 999, 10**6, Live("roc_auc", 0.1, 0.66, 0.74), None),
        (WEEK, 6.99, 10**6, None, None),
        (WEEK, 7, 0, None, "trained 7 days ago"),
        (Retrain(labels=100), 99, 99, None, None),
        (Retrain(labels=100), 0, 100, None, "100 new labels"),
        (FALL, 99, 10**6, None, None),
        (FALL, 1, 0, Live("roc_auc", 0.659, 0.66, 0.74), "0.6590 is below"),
        (FALL, 1, 0, Live("roc_auc", 0.66, 0.66, 0.74), None),
        (FALL, 1, 0, Live("roc_auc", 0.99, 0.66, 0.74), None),
        (FALL, 1, 0, Live("log_loss", 0.45, 0.38, 0.44), "0.4500 is above"),
        (FALL, 1, 0, Live("log_loss", 0.20, 0.38, 0.44), None),
        (FALL, 1, 0, Live("roc_auc", None, 0.66, 0.74), None),
        (FALL, 1, 0, Live("roc_auc", 0.1, None, None), None),
        (Retrain(timedelta(days=7), 100, True), 1, 5, Live("roc_auc", 0.6, 0.66, 0.7), "below"),
    ],
)
def test_due(
    policy: Retrain, days: float, labels: int, live: Live | None, says: str | None
) -> None:
    now = TRAINED + timedelta(days=days)
    reason = due(policy, trained_at=TRAINED, now=now, new_labels=labels, live=live)
    if says is None:
        assert reason is None
    else:
        assert reason is not None
        assert says in reason
