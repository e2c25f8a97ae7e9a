"""Questions from a moment on see the same in the cut as in all rows, in 1,000 random worlds.

The worlds have late, corrected and retracted rows, also such as move to another entity or event
time, and known times that lie behind what was corrected.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bitemporal import COLUMNS, QUESTIONS, Worlds, build, features
from sqlglot import exp

from lichen.core.sql import col, lit, text
from lichen.core.versions import stored
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.reduce import needed
from lichen.stages.features.spec import Features

ROWS = stored("numbered", COLUMNS)
ZERO = datetime(2013, 1, 1, tzinfo=UTC)
EARLIER, START = 15, 45  # hours
LATEST = "select value, world * 100 as w from t where value <> 2"
WINDOW = "select count(*) as n, sum(value) as s, max(value) as m, variance(value) as v from t"


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    found = build()
    found.db.execute(
        "create table numbered as"
        " select * replace (world * 1000 + _row as _row) from t"  # as in storage: unique
    )
    return found


def cut(definition: Features, *starts: int) -> exp.Query:
    """The rows that are left after cutting at one start after another."""
    rows: exp.Query = ROWS
    for start in starts:
        rows = needed("t", rows, ZERO + timedelta(hours=start), features=[definition])
    return rows


def answers(worlds: Worlds, definition: Features, rows: exp.Query, start: int) -> list[Any]:
    since = exp.GTE(this=col("_at"), expression=lit(ZERO + timedelta(hours=start)))
    asked = QUESTIONS.copy().where(since)
    found = answer(asked, [compiled(definition, {"t": rows})], lineage=True)
    return list(worlds.fetch(found))


def rows_in(worlds: Worlds, rows: exp.Query) -> int:
    return len(worlds.db.execute(text(exp.select("_row").from_(rows.subquery("r")))).fetchall())


def check(worlds: Worlds, definition: Features) -> None:
    expected = answers(worlds, definition, ROWS, START)
    assert sum(any(v not in (None, 0) for v in row) for row in expected) > 40
    for rows in (cut(definition, START), cut(definition, EARLIER, START)):
        found = answers(worlds, definition, rows, START)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == theirs or ours == pytest.approx(theirs, rel=1e-9)
    assert rows_in(worlds, rows) < rows_in(worlds, ROWS) * 0.95


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("max_age", [None, 24])
def test_the_latest_answer(worlds: Worlds, declared: bool, max_age: int | None) -> None:
    limit = None if max_age is None else timedelta(hours=max_age)
    check(worlds, features(LATEST, "latest", declared=declared, max_age=limit))


@pytest.mark.parametrize("declared", [True, False])
def test_windows(worlds: Worlds, declared: bool) -> None:
    lengths = (timedelta(hours=30), timedelta(hours=200))
    check(worlds, features(WINDOW, "window", declared=declared, windows=lengths))
