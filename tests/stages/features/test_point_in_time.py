"""What a question sees equals a search through all versions, in 1,000 random worlds.

A world has a few keys whose rows arrive late, are corrected three days later (also to another
entity or event time) and are retracted; known times lag behind events; ties abound. The search
is plain Python and shares nothing with the queries. All worlds run in one query each.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
import pytest
from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.names import Kind, Name
from lichen.core.sql import col, parse_expression, parse_select, text
from lichen.core.versions import stored
from lichen.stages.features.answer import answer
from lichen.stages.features.asof import asof, portable
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features

WORLDS = 1000
PATH = Path("features/f.sql")


class Row(NamedTuple):
    """One stored version; times are hours, `lag` is the declared lag behind the event."""

    world: int
    entity: int | None
    event: int | None
    lag: int | None
    value: int | None
    row: int
    key: str
    known: int | None
    deleted: bool


class Question(NamedTuple):
    """What is asked: an entity of a world at an hour."""

    world: int
    entity: int | None
    at: int


def world(number: int) -> tuple[list[Row], list[Question]]:
    rng = random.Random(number)
    rows: list[Row] = []
    for key in range(rng.randint(1, 6)):
        event, entity = rng.randint(0, 40), rng.choice([0, 0, 1, None])
        known = event + rng.choice([0, 0, 2, 30, 200])
        lag, value = rng.choice([0, 0, 3, 25, None]), rng.choice([*range(5), None])
        row = Row(number, entity, event, lag, value, 0, f"{number}/{key}", known, False)
        rows.append(row)
        if rng.random() < 0.5:
            changed: dict[str, Any] = rng.choice(
                [
                    {"value": rng.randint(0, 9)},
                    {"event": rng.randint(0, 90)},
                    {"event": event + 90, "lag": 25},
                    {"event": None},
                    {"entity": 1},
                    {"lag": rng.choice([0, 3, 25])},
                ]
            )
            rows.append(row._replace(known=known + 72, **changed))
        if rng.random() < 0.3:
            rows.append(row._replace(known=known + rng.choice([0, 10, 72, 80, 100]), deleted=True))
        if rng.random() < 0.2:
            rows.append(row._replace(known=rng.choice([None, known + 150]), value=7))
    rng.shuffle(rows)
    ticks = [t for r in rows for t in (r.event, r.known) if t is not None]
    asked = [
        Question(
            number, rng.choice([0, 0, 1, None]), rng.choice(ticks) + rng.choice([0, 0, -1, 1, 20])
        )
        for _ in range(6)
    ]
    return [r._replace(row=i) for i, r in enumerate(rows)], asked


class Seen(NamedTuple):
    """A row that a question sees."""

    event: int
    known: int
    row: int
    value: int | None


def seen(rows: Iterable[Row], question: Question, *, declared: bool) -> list[Seen]:
    """Replay each key's versions up to the question: the last that has taken effect is its state.

    Of several versions of a key at one moment only the last one ever was.
    """
    state: dict[str, tuple[Row, int]] = {}
    last = {(r.key, r.known): r for r in sorted(rows, key=lambda r: r.row) if r.known is not None}
    for row in sorted(last.values(), key=lambda r: r.known or 0):
        start = row.known
        assert start is not None
        if declared and not row.deleted and row.event is not None and row.lag is not None:
            start = max(start, row.event + row.lag)
        if start <= question.at:
            state[row.key] = (row, start)
    return [
        Seen(row.event, start, row.row, row.value)
        for row, start in state.values()
        if not row.deleted
        and row.event is not None
        and (row.lag is not None or not declared)
        and row.event <= question.at
        and row.entity is not None
        and row.entity == question.entity
    ]


class Worlds(NamedTuple):
    """All worlds, in Python and in a database."""

    rows: list[list[Row]]
    questions: list[Question]
    db: duckdb.DuckDBPyConnection

    def answers(self, features: Features) -> list[tuple[Any, ...]]:
        return self.fetch(answer(QUESTIONS, [compiled(features, INPUTS)], lineage=True))

    def fetch(self, query: exp.Query) -> list[tuple[Any, ...]]:
        names = [name for name in query.named_selects if name.startswith("f__")]
        shown = exp.select(*map(col, names)).from_(query.subquery("q")).order_by(col("_q"))
        return self.db.execute(text(shown)).fetchall()


COLUMNS = ("world", "entity", "event", "lag", "value")
INPUTS = {"t": stored("t", COLUMNS)}
QUESTIONS = exp.select(*map(col, ("_q", "_at", "world", "entity"))).from_("q")


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    db = duckdb.connect(config={"threads": 2})
    db.execute("set TimeZone = 'UTC'")
    rows, questions = zip(*map(world, range(WORLDS)), strict=True)
    asked = [question for each in questions for question in each]
    load(db, "raw", Row._fields, [row for each in rows for row in each])
    load(db, "asked", ("q", *Question._fields), [(i, *q) for i, q in enumerate(asked)])
    db.execute("create macro hour(h) as timestamptz '2013-01-01 00:00:00+00' + interval 1 hour * h")
    db.execute(
        "create table t as select world, entity, hour(event) as event, lag, value, row as _row,"
        " key as _key, hour(known) as _known_at, now() as _arrived_at, deleted as _deleted from raw"
    )
    db.execute('create table q as select q as _q, hour("at") as _at, world, entity from asked')
    return Worlds(list(rows), asked, db)


def load(
    db: duckdb.DuckDBPyConnection, name: str, fields: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Create a table of Python rows, column by column."""
    columns = ", ".join(f"unnest(${field}) as {field}" for field in fields)
    values = {
        field: list(part) for field, part in zip(fields, zip(*rows, strict=True), strict=True)
    }
    db.execute(f"create table {name} as select {columns}", values)


def features(
    select: str,
    shape: Literal["latest", "window"],
    *,
    declared: bool,
    max_age: timedelta | None = None,
    windows: tuple[timedelta, ...] = (),
) -> Features:
    known = parse_expression("event + lag * interval 1 hour", PATH) if declared else None
    return Features(
        Name(Kind.features, "f"),
        Where(PATH),
        parse_select(select, PATH),
        select,
        shape,
        entity=("world", "entity"),
        event_time=parse_expression("event", PATH),
        known_at=known,
        max_age=max_age,
        windows=windows,
    )


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("max_age", [None, 24])
def test_latest(worlds: Worlds, declared: bool, max_age: int | None) -> None:
    limit = None if max_age is None else timedelta(hours=max_age)
    definition = features(
        "select value, world * 100 as w from t", "latest", declared=declared, max_age=limit
    )
    found = [(value, origin) for value, _, origin in worlds.answers(definition)]
    expected: list[tuple[int | None, list[int] | None]] = []
    for question in worlds.questions:
        best = max(
            seen(worlds.rows[question.world], question, declared=declared),
            default=None,
            key=lambda s: s[:3],
        )
        if best is None or (max_age is not None and question.at - best.event > max_age):
            expected.append((None, None))
        else:
            expected.append((best.value, [best.row]))
    assert sum(value is not None for value, _ in expected) > 500
    assert found == expected


def some(aggregate: Callable[[list[int]], Any]) -> Callable[[list[int | None]], Any]:
    """What SQL does: NULLs are passed over, and nothing remains of nothing."""

    def over(values: list[int | None]) -> Any:
        present = [v for v in values if v is not None]
        return aggregate(present) if present else None

    return over


AGGREGATES: dict[str, Callable[[list[int | None]], Any]] = {
    "count(*)": len,
    "count(value)": lambda vs: sum(v is not None for v in vs),
    "count(*) filter (where value > 2)": lambda vs: sum(v is not None and v > 2 for v in vs),
    "count_if(value > 2)": lambda vs: sum(v is not None and v > 2 for v in vs),
    "sum(value)": some(sum),
    "sum(value + 1) filter (where value > 2)": lambda vs: some(sum)(
        [v + 1 for v in vs if v is not None and v > 2]
    ),
    "sum(value > 2)": some(lambda vs: sum(v > 2 for v in vs)),
    "avg(value)": some(statistics.fmean),
    "avg(value::double / 3)": some(lambda vs: statistics.fmean(v / 3 for v in vs)),
    "var_pop(value)": some(statistics.pvariance),
    "stddev(value)": some(lambda vs: statistics.stdev(vs) if len(vs) > 1 else None),
    "variance(value + 1000000)": some(lambda vs: statistics.variance(vs) if len(vs) > 1 else None),
    "min(value)": some(min),
    "max(value)": some(max),
    "count(distinct value)": lambda vs: len({v for v in vs if v is not None}),
    "median(value)": some(statistics.median),
    "max(value) filter (where value < 3)": lambda vs: max(
        (v for v in vs if v is not None and v < 3), default=None
    ),
    "list(value order by value)": lambda vs: sorted(vs, key=lambda v: (v is None, v)) or None,
    "sum(value) / count(*) + max(value)": lambda vs: (
        some(sum)(vs) / len(vs) + some(max)(vs) if some(sum)(vs) is not None else None
    ),
}
LENGTHS = (5, 30, 200)


@pytest.mark.parametrize("declared", [True, False])
def test_windows(worlds: Worlds, declared: bool) -> None:
    named = (parse_expression(f"{call} as a{i}", PATH) for i, call in enumerate(AGGREGATES))
    definition = features(
        text(exp.select(*named).from_("t")),
        "window",
        declared=declared,
        windows=tuple(timedelta(hours=h) for h in LENGTHS),
    )
    found = worlds.answers(definition)
    filled = 0
    for question, answers in zip(worlds.questions, found, strict=True):
        visible = seen(worlds.rows[question.world], question, declared=declared)
        for index, hours in enumerate(LENGTHS):
            values = [s.value for s in visible if s.event > question.at - hours]
            filled += bool(values)
            part = answers[index * len(AGGREGATES) : (index + 1) * len(AGGREGATES)]
            for (name, brute), answered in zip(AGGREGATES.items(), part, strict=True):
                expected = brute(values)
                same = answered == expected or answered == pytest.approx(expected, abs=1e-9)
                assert same, (name, question, hours, answered, expected)
    assert filled > 2000


def test_the_native_as_of_equals_the_portable_one(worlds: Worlds) -> None:
    right = parse_select(
        "select world, entity, event, max(value) as f__v from t where event is not null"
        " group by world, entity, event",
        PATH,
    )
    native, plain = (
        worlds.fetch(join(QUESTIONS, right, ("world", "entity"), at="_at", since="event"))
        for join in (asof, portable)
    )
    assert sum(row[0] is not None for row in native) > 500
    assert native == plain
