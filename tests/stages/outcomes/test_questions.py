"""Which rows ask, with what they knew, and what is known of their label: against a plain search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from sqlglot import exp

from lichen.core.errors import OutcomeError, Where
from lichen.core.names import Kind, Name
from lichen.core.sql import col, parse_expression, parse_select, text
from lichen.core.versions import stored
from lichen.stages.outcomes.questions import questions, request_columns, unasked
from lichen.stages.outcomes.spec import Outcome

PATH = Path("outcomes/late.sql")
SELECT = "select s.*, a.delay, a.landed from scheduled s left join landed a using (flight)"
NOWS = (-5, 20, 60, 90, 400)


class Version(NamedTuple):
    """A stored version of a flight's schedule (departure, origin) or landing (landed, delay)."""

    flight: int
    hour: int | None
    value: int
    row: int
    known: int | None
    deleted: bool


def versions(rng: random.Random, flight: int) -> tuple[list[Version], list[Version]]:
    leaves = rng.randint(20, 60)
    known = leaves - rng.choice([0, 1, 2, 3, 15])
    plans = [Version(flight, leaves, rng.randint(0, 2), 0, known, False)]
    if rng.random() < 0.5:
        moved = leaves + rng.choice([0, 0, -4, 5, 30])
        plans.append(
            plans[0]._replace(hour=moved, value=9, known=known + rng.choice([0, 1, 3, 9, 72]))
        )
    if rng.random() < 0.2:
        plans.append(plans[0]._replace(known=known + rng.choice([1, 9, 50]), deleted=True))
    lands = leaves + rng.randint(1, 9)
    landings = [
        Version(flight, lands, rng.randint(0, 40), 0, lands + rng.choice([0, 0, 4, 99]), False)
    ]
    if rng.random() < 0.3:
        later = landings[0].known + 72 if landings[0].known is not None else None
        landings.append(
            landings[0]._replace(
                hour=rng.choice([lands, None, 500]),
                value=50,
                known=later,
                deleted=rng.random() < 0.3,
            )
        )
    if rng.random() < 0.2:
        landings = [landings[0]._replace(known=None)]
    return plans, landings


def current(rows: Sequence[Version], flight: int, hour: int) -> Version | None:
    known = [r for r in rows if r.flight == flight and r.known is not None and r.known <= hour]
    last = max(known, key=lambda r: (r.known, r.row), default=None)
    return None if last is None or last.deleted else last


class Flights(NamedTuple):
    """A thousand flights, in Python and in a database."""

    plans: list[Version]
    landings: list[Version]
    db: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def flights() -> Flights:
    rng = random.Random(7)
    pairs = [versions(rng, flight) for flight in range(1000)]
    plans = [v._replace(row=i) for i, v in enumerate(v for p, _ in pairs for v in p)]
    landings = [v._replace(row=i) for i, v in enumerate(v for _, ls in pairs for v in ls)]
    db = duckdb.connect(config={"threads": 2})
    db.execute("set TimeZone = 'UTC'")
    db.execute("create macro hour(h) as timestamptz '2013-01-01 00:00:00+00' + interval 1 hour * h")
    for name, rows in (("raw_plans", plans), ("raw_landings", landings)):
        columns = ", ".join(f"unnest(${field}) as {field}" for field in Version._fields)
        values = {f: list(v) for f, v in zip(Version._fields, zip(*rows, strict=True), strict=True)}
        db.execute(f"create table {name} as select {columns}", values)
    own = (
        "row as _row, flight::varchar as _key, hour(known) as _known_at, now() as _arrived_at,"
        " deleted as _deleted from "
    )
    db.execute(
        "create table p as select flight, hour(hour) as leaves, value as origin, "
        + own
        + "raw_plans"
    )
    db.execute(
        "create table l as select flight, hour(hour) as landed, value as delay, "
        + own
        + "raw_landings"
    )
    return Flights(plans, landings, db)


INPUTS = {
    "scheduled": stored("p", ("flight", "leaves", "origin")),
    "landed": stored("l", ("flight", "landed", "delay")),
}


def outcome(predict_at: str | None = "leaves - interval 2 hour", entity: str = "origin") -> Outcome:
    return Outcome(
        Name(Kind.outcome, "late"),
        Where(PATH),
        parse_select(SELECT, PATH),
        SELECT,
        key=("flight",),
        entities=(entity,),
        label=parse_expression("delay > 15", PATH),
        predict_at=parse_expression(predict_at, PATH) if predict_at else None,
        known_at=parse_expression("landed", PATH),
    )


def hours(
    db: duckdb.DuckDBPyConnection, query: exp.Query, names: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Run a query with its times as hours since the start."""
    times = {"_at", "_label_known_at", "_known_at", "leaves"}
    shown = (
        exp.alias_(exp.func("since", col(name)), name) if name in times else col(name)
        for name in names
    )
    db.execute(
        "create or replace macro since(t) as"
        " datediff('hour', timestamptz '2013-01-01 00:00:00+00', t)"
    )
    return db.execute(text(exp.select(*shown).from_(query.subquery("q")))).fetchall()


@pytest.mark.parametrize("now", NOWS)
def test_questions(flights: Flights, now: int) -> None:
    names = ("_key", "_at", "leaves", "origin", "_label", "_label_known_at")
    query = questions(outcome(), INPUTS, exp.Anonymous(this="hour", expressions=[exp.convert(now)]))
    found = {row[0]: row[1:] for row in hours(flights.db, query, names)}
    expected: dict[str, tuple[Any, ...]] = {}
    for flight in range(1000):
        asks = []
        for plan in flights.plans:
            if plan.flight != flight or plan.hour is None:
                continue
            moment = min(plan.hour - 2, now)
            if current(flights.plans, flight, moment) == plan:
                asks.append(((plan.known, plan.row), plan))
        if asks:
            plan = max(asks)[1]
            assert plan.hour is not None
            expected[str(flight)] = (
                plan.hour - 2,
                plan.hour,
                plan.value,
                *label(flights, flight, now),
            )
    assert found == expected


def label(flights: Flights, flight: int, now: int) -> tuple[bool | None, int | None]:
    plan, landing = current(flights.plans, flight, now), current(flights.landings, flight, now)
    if plan is None or landing is None or landing.hour is None:
        return None, None
    assert plan.known is not None
    assert landing.known is not None
    known = max(landing.hour, plan.known, landing.known)
    return (landing.value > 15, known) if known <= now else (None, None)


def test_every_key_known_by_now_asks_or_is_counted(flights: Flights) -> None:
    now = exp.Anonymous(this="hour", expressions=[exp.convert(400)])
    asked = {row[0] for row in hours(flights.db, questions(outcome(), INPUTS, now), ["_key"])}
    missed = {row[0] for row in hours(flights.db, unasked(outcome(), INPUTS, now), ["_key"])}
    assert missed
    assert not asked & missed
    assert len(asked | missed) == 1000


def test_without_a_time_every_current_row_asks(flights: Flights) -> None:
    now = exp.Anonymous(this="hour", expressions=[exp.convert(90)])
    query = questions(outcome(predict_at=None), INPUTS, now)
    found = {
        (row[0], row[1], *row[2:])
        for row in hours(flights.db, query, ("_key", "_at", "origin", "_label"))
    }
    plans = ((f, current(flights.plans, f, 90)) for f in range(1000))
    assert found == {
        (str(f), None, p.value, label(flights, f, 90)[0]) for f, p in plans if p is not None
    }


def test_a_request_holds_nothing_that_the_label_reads() -> None:
    assert request_columns(outcome(), INPUTS) == ("flight", "leaves", "origin")
    with pytest.raises(OutcomeError, match="'delay' is not known when the question is asked"):
        request_columns(outcome(entity="delay"), INPUTS)
