"""History as live traffic: another process is asked over HTTP, and nothing is known too early."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import depot
import pytest
from sqlglot import exp

from lichen.core.sql import rel
from lichen.loop import Loop, open_loop
from lichen.replay import Replayed, replay
from lichen.stages.context import Shelf

START, END = depot.NOW, depot.NOW + timedelta(hours=36)  # ends at noon: parcels are under way
EVERY = timedelta(hours=6)

# Every six hours a file with what happened since the last one.
_PREPARE = """
from datetime import timedelta

import depot


def prepare(folder, now):
    start = depot.NOW
    while start + timedelta(hours=6) <= now:
        end = start + timedelta(hours=6)
        name = f"live-{end:%m%dT%H}"
        if not (folder / f"feeds/scans/{name}.csv").exists():
            for source, rows in depot.happened(start, end).items():
                depot.write_rows(folder, source, name, rows)
        start = end
"""


@pytest.fixture(scope="module")
def replayed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    import shutil

    root = Path(shutil.copytree(trained, tmp_path_factory.mktemp("replayed") / "depot"))
    (root / "prepare.py").write_text(_PREPARE, "utf-8")
    for source in root.glob("sources/*.yml"):
        source.write_text(source.read_text("utf-8") + "prepare: prepare.py\n", "utf-8")
    loop = open_loop(root)
    yield loop, replay(loop, "late", START, END, EVERY)


def rows(loop: Loop, node: str) -> list[dict[str, Any]]:
    shelf = Shelf(loop.published(), loop.lake)
    found = loop.engine.rows(exp.select("*").from_(rel(node)), shelf.relations([node]))
    return [dict(row) for row in found]


def due() -> dict[str, datetime]:
    """The questions of the replayed days, by an independent reading of the world."""
    parcels = depot.parcels(START - timedelta(days=1), END + timedelta(days=1))
    asked = {p["parcel_id"]: p["promised_at"] - timedelta(hours=2) for p in parcels}
    return {key: at for key, at in asked.items() if START <= at < END}


def test_each_question_is_asked_once_at_its_own_moment(replayed: tuple[Loop, Replayed]) -> None:
    loop, done = replayed
    assert not done.trouble
    assert not done.unanswered
    predictions = rows(loop, "predictions.late")
    assert len(predictions) == done.asked == len(due())
    assert {p["key"]: p["at"] for p in predictions} == due()


def test_another_process_answered(replayed: tuple[Loop, Replayed]) -> None:
    loop, _ = replayed
    logs = list((loop.folder / "log/late").glob("predictions-*.ndjson"))
    assert logs
    assert not any(f"-{os.getpid()}-" in path.name for path in logs)


def test_outcomes_are_told_when_they_are_known(replayed: tuple[Loop, Replayed]) -> None:
    loop, done = replayed
    arrived = {d["parcel_id"]: d for d in depot.deliveries(START, END + timedelta(days=1))}
    # The feed of the last tick holds what was delivered by then: later parcels are on their way.
    expected = {
        key: arrived[key]["delay"] > 10
        for key in due()
        if key in arrived and arrived[key]["delivered_at"] <= END
    }
    told = {f["key"]: bool(f["label"]) for f in rows(loop, "feedback.late")}
    assert told == expected
    assert done.told == len(expected)
    assert 0 < len(expected) < len(due())  # some are on their way: they have none


def test_no_feature_was_known_before_its_feed_came(replayed: tuple[Loop, Replayed]) -> None:
    loop, _ = replayed
    live = [s for s in rows(loop, "sources.scans") if s["_arrived_at"] > START]
    assert live
    assert all(s["_known_at"] >= s["_arrived_at"] for s in live)
    assert {s["_arrived_at"] for s in live} == {START + EVERY * i for i in range(1, 7)}
