"""When a model is due for retraining: a pure reading of its policy (no numbers library here)."""

from __future__ import annotations

from datetime import datetime, timedelta

from lichen.core.time import Instant, iso, short
from lichen.ports.facts import Live
from lichen.stages.models.metric import METRICS
from lichen.stages.models.spec import Retrain


def due(
    retrain: Retrain,
    *,
    trained_at: datetime,
    now: Instant,
    new_labels: int,
    live: Live | None,
) -> str | None:
    """Return why the model should be trained again, or None while its policy is content.

    `trained_at` is the `now` of its training; `new_labels` became known since then.
    """
    age = now - trained_at
    if retrain.age is not None and age >= retrain.age:
        return (
            f"trained {_days(age)} ago ({iso(trained_at)}); the policy allows {short(retrain.age)}"
        )
    if retrain.labels is not None and new_labels >= retrain.labels:
        return f"{new_labels} new labels; the policy asks for a training every {retrain.labels}"
    if retrain.fall and live is not None:
        return _fallen(live)
    return None


def _fallen(live: Live) -> str | None:
    if live.value is None or live.low is None or live.high is None:
        return None
    higher = METRICS[live.metric].higher_is_better
    if live.value < live.low if higher else live.value > live.high:
        side = "below" if higher else "above"
        return (
            f"live {live.metric} {live.value:.4f} is {side} the holdout's interval "
            f"[{live.low:.4f}, {live.high:.4f}]"
        )
    return None


def _days(length: timedelta) -> str:
    """Return a length in days, or in hours below two days.

    >>> _days(timedelta(days=7, hours=1)), _days(timedelta(hours=30))
    ('7 days', '30 hours')
    """
    hours = int(length.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
