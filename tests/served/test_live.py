"""How a service does live, and what the retrain policy makes of it, through the real planner."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import depot
import pytest
from depot_service import instance
from sklearn.metrics import roc_auc_score

from lichen.core.names import Name
from lichen.core.steps import Train
from lichen.core.time import Instant
from lichen.desk import Desk
from lichen.loop import Loop
from lichen.stages.context import Shelf
from lichen.stages.services.live import Report, live

DAY = timedelta(days=1)
Truth = dict[str, float]


def predicted(loop: Loop, begin: Instant, end: Instant) -> list[dict[str, Any]]:
    """Ask about the parcels of a stretch of days, in this process."""
    desk = Desk(loop, since=begin - DAY)
    asked = {"instances": [instance(parcel) for parcel in depot.parcels(begin, end)]}
    answers = desk.predict("late", json.dumps(asked).encode())
    desk.close()
    found = [{"prediction_id": a.prediction_id, "key": a.key, "p": a.probability} for a in answers]  # type: ignore[union-attr]
    assert len(found) == len(asked["instances"])
    return found


def grow(loop: Loop, end: Instant) -> None:
    """Let the feeds grow by two days at a time: parcels are known before they are asked about."""
    now = loop.state().clock or depot.NOW
    while now < end:
        depot.feed(loop.project.root, now, now + 2 * DAY)
        now += 2 * DAY
        loop.run(*[str(n) for n in loop.project.nodes if n.kind == "sources"], now=now)


def told(loop: Loop, outcomes: list[dict[str, Any]]) -> None:
    desk = Desk(loop)
    assert desk.tell(json.dumps({"outcomes": outcomes}).encode()) == len(outcomes)
    desk.close()


def report(loop: Loop, now: Instant) -> Report:
    inquiry = loop.inquiry(Name.parse("models.late"))
    shelf = Shelf(loop.published(), loop.lake)
    return live(inquiry, "late", "roc_auc", shelf, now, loop.engine)


def reasons(loop: Loop, now: Instant) -> list[str]:
    """Why a plan at that time would train."""
    return [step.reason for step in loop.plan(now=now) if isinstance(step, Train)]


def test_predictions_meet_what_turned_out(loop: Loop) -> None:
    now, end = depot.NOW, depot.NOW + 4 * DAY
    grow(loop, end)
    answers = predicted(loop, now, end + DAY)  # the last day is still to be delivered
    corrected, lost = answers[0], next(a for a in answers if a["key"] not in truth(now, end))
    told(
        loop,
        [
            {"key": corrected["key"], "label": 7, "known_at": (end - DAY).isoformat()},
            {
                "prediction_id": lost["prediction_id"],
                "label": True,
                "known_at": (end - DAY).isoformat(),
            },
            {"key": corrected["key"], "label": 0, "known_at": (end + DAY).isoformat()},
        ],
    )
    loop.run("+services.late", "predictions.late", "feedback.late", now=end)
    actual = truth(now, end) | {corrected["key"]: 1.0, lost["key"]: 1.0}
    known = [a for a in answers if a["key"] in actual]
    expected = roc_auc_score([actual[a["key"]] for a in known], [a["p"] for a in known])
    found = report(loop, end)
    assert found.measured.value == pytest.approx(expected, rel=1e-12)
    assert found.measured.low is not None and found.measured.high is not None
    assert found.measured.low < expected < found.measured.high
    # Of the last day only those that are asked about before `end` count.
    moments = {p["parcel_id"]: p["promised_at"] - timedelta(hours=2) for p in all_parcels()}
    asked = [a for a in answers if moments[a["key"]] <= end]
    per_day = Counter(f"{moments[a['key']]:%Y-%m-%d}" for a in asked)
    labelled = Counter(f"{moments[a['key']]:%Y-%m-%d}" for a in asked if a["key"] in actual)
    assert {day.day: day.predictions for day in found.days} == dict(per_day)
    assert {day.day: day.labelled for day in found.days} == dict(labelled)
    assert (found.predictions, found.labelled) == (len(asked), len(known))
    shown = loop.show("services.late", now=end)
    assert (shown["predictions"], shown["labelled"]) == (len(asked), len(known))
    assert shown["live"]["value"] == found.measured.value
    assert [day["day"] for day in shown["days"]] == [day.day for day in found.days]


def all_parcels() -> list[dict[str, Any]]:
    return depot.parcels(depot.NOW, depot.NOW + 6 * DAY)


def truth(begin: Instant, end: Instant) -> Truth:
    """What is known by `end` of the parcels that are promised from `begin` on."""
    rows = depot.deliveries(begin, end)
    return {r["parcel_id"]: float(r["delay"] > 10) for r in rows if r["delivered_at"] <= end}


def test_new_labels_make_a_training_due(loop: Loop) -> None:
    counted = {}
    for days in (6, 8):
        now = depot.NOW + days * DAY
        grow(loop, now)
        early = depot.NOW - 2 * DAY
        counted[days] = len(truth(early, now)) - len(truth(early, depot.NOW))
        expected = f"{counted[days]} new labels; the policy asks for a training every 125"
        assert reasons(loop, now) == ([expected] if days == 8 else [])
    assert counted[6] < 125 <= counted[8]


def test_a_fall_makes_a_training_due(loop: Loop) -> None:
    asked = predicted(loop, depot.NOW - 5 * DAY, depot.NOW + DAY)
    middle = sorted(answer["p"] for answer in asked)[len(asked) // 2]

    def due(count: int, hours: int, *, right: bool) -> list[str]:
        at = (depot.NOW + timedelta(hours=hours)).isoformat()
        labels = [(a["prediction_id"], (a["p"] >= middle) is right) for a in asked[:count]]
        told(loop, [{"prediction_id": i, "label": yes, "known_at": at} for i, yes in labels])
        now = depot.NOW + timedelta(hours=hours + 1)
        assert not reasons(loop, now)  # nothing of it is drained yet
        loop.run("predictions.late", "feedback.late", now=now)
        return reasons(loop, now)

    assert due(90, 1, right=False) == []  # too few to say
    assert due(120, 2, right=True) == []  # the last known wins: no fall
    (reason,) = due(120, 3, right=False)
    assert reason.startswith("live roc_auc 0.0000 is below the holdout's interval")


def test_without_predictions_there_is_nothing_to_say(loop: Loop) -> None:
    found = report(loop, depot.NOW)
    assert (found.predictions, found.labelled, found.measured.value, found.days) == (0, 0, None, ())


def test_what_cannot_be_logged_is_not_answered(loop: Loop, project: Path) -> None:
    from lichen.core.errors import ServiceError

    (project / ".lichen/dev/log").write_text("in the way")
    desk = Desk(loop)
    with pytest.raises(ServiceError, match="the log cannot be written"):
        desk.predict(
            "late", json.dumps(instance(depot.parcels(depot.NOW, depot.NOW + DAY)[0])).encode()
        )
