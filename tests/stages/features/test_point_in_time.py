"""What a question sees equals a search through all versions, in 1,000 random worlds.

A world has a few keys whose rows arrive late, are corrected three days later (also to another
entity or event time) and are retracted; known times lag behind events; ties abound. Where tables
say that each key has one version, and what tells rows apart, other queries answer. The search is
plain Python and shares nothing with the queries. All worlds run in one query each.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from bitemporal import INPUTS, PATH, QUESTIONS, Question, Row, Told, Worlds, build, features
from sqlglot import exp

from lichen.core.sql import parse_expression, parse_select, text
from lichen.stages.features.asof import asof, portable


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


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return build()


@pytest.fixture(scope="module", params=["corrected", "first", "apart"])
def told(request: pytest.FixtureRequest) -> Worlds:
    return build(request.param)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("max_age", [None, 24])
def test_latest(told: Worlds, declared: bool, max_age: int | None) -> None:
    limit = None if max_age is None else timedelta(hours=max_age)
    definition = features(
        "select value, world * 100 as w from t", "latest", declared=declared, max_age=limit
    )
    found = [(value, origin) for value, _, origin in told.answers(definition)]
    expected: list[tuple[int | None, list[int] | None]] = []
    for question in told.questions:
        best = max(
            seen(told.rows[question.world], question, declared=declared),
            default=None,
            key=lambda s: s[:3],
        )
        if best is None or (max_age is not None and question.at - best.event > max_age):
            expected.append((None, None))
        else:
            expected.append((best.value, [best.row]))
    assert sum(value is not None for value, _ in expected) > 400
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
@pytest.mark.parametrize("told", ["corrected", "first"], indirect=True)
def test_windows(told: Worlds, declared: bool) -> None:
    named = (parse_expression(f"{call} as a{i}", PATH) for i, call in enumerate(AGGREGATES))
    definition = features(
        text(exp.select(*named).from_("t")),
        "window",
        declared=declared,
        windows=tuple(timedelta(hours=h) for h in LENGTHS),
    )
    found = told.answers(definition)
    filled = 0
    for question, answers in zip(told.questions, found, strict=True):
        visible = seen(told.rows[question.world], question, declared=declared)
        for index, hours in enumerate(LENGTHS):
            values = [s.value for s in visible if s.event > question.at - hours]
            filled += bool(values)
            part = answers[index * len(AGGREGATES) : (index + 1) * len(AGGREGATES)]
            for (name, brute), answered in zip(AGGREGATES.items(), part, strict=True):
                expected = brute(values)
                same = answered == expected or answered == pytest.approx(expected, abs=1e-9)
                assert same, (name, question, hours, answered, expected)
    assert filled > 2000


@pytest.mark.parametrize("kind", ["first", "apart"])
def test_many_questions_need_the_second_look(kind: Told) -> None:
    """The newest event is not yet known, or another one happened at its moment."""
    late = tied = 0
    told = build(kind)
    for question in told.questions:
        rows = [r for r in told.rows[question.world] if r.entity == question.entity is not None]
        past = [r for r in rows if r.event is not None and r.event <= question.at]
        newest = [r for r in past if r.event == max(p.event or 0 for p in past)]
        late += any(r.known is None or r.known > question.at for r in newest)
        tied += len(newest) > 1
    assert late > 300
    assert (tied > 100) == (kind == "first")


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


JOINED = """
select a.world, a.entity, a.event, a.lag, a.value, b.value as other from t a SIDE join t b on SAME
"""


@pytest.mark.parametrize(
    "joined",
    [
        "a.world = b.world and a.value = b.value",
        "a.world = b.world and a.entity = b.entity and a.event > b.event",
    ],
)
@pytest.mark.parametrize("side", ["", "left"])
@pytest.mark.parametrize("declared", [True, False])
def test_joined_rows_are_answered_alike_whatever_their_tables_say(
    joined: str, side: str, declared: bool
) -> None:
    told = build("first")
    select = JOINED.replace("SIDE", side).replace("SAME", joined)
    definition = features(select, "latest", declared=declared)
    found = told.answers(definition)
    assert sum(row[-1] is not None for row in found) > 400
    assert found == told._replace(table=INPUTS["t"]).answers(definition)
