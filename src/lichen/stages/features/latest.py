"""The newest event that was known: one as-of, and a range join where that event was taken back.

A row *enters* when both its event has happened and it is known. It is *kept* for the as-of unless
a greater row, one of a later event, enters no later: then nobody ever sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.versions import before, columns_of, ordered
from lichen.stages.features.asof import asof

NOTHING_READY: Mapping[str, exp.Query] = {}


def latest(
    questions: exp.Query,
    held: exp.Query,
    entity: Sequence[str],
    *,
    origins: int = 1,
    max_age: timedelta | None = None,
    ready: Mapping[str, exp.Query] = NOTHING_READY,
) -> exp.Select:
    """Return for each question (`_q`, entity columns, `_at`) the row that answers it.

    It is the row with the greatest (event time, known time, row) among those with event time and
    known time ≤ `_at` < `_until`, and no older than `max_age`; NULLs where there is none. A row
    of `held` came from so many `origins`. `ready` may hold what `latest_parts` makes.
    """
    names = [name for name in [*columns_of(held), "_from"] if name not in entity]
    asked = exp.select("_q", *map(col, entity), "_at").from_(questions.subquery("q"))
    stands = before(col("_at"), col("_until"))
    shown = (*map(col, ("_q", "_at", "_event_time")), *map(col, names))
    first = exp.select(*shown).from_("_found").where(stands)
    answers = exp.union(first, _next_best(entity, names), distinct=False)
    left = exp.select(*map(col, asked.named_selects)).from_("_asked")
    found = asof(left, _kept(held, entity), entity, at="_at", since="_enter")
    return (
        exp.select(*(_fresh(name, max_age) for name in names), col("_q"))
        .from_(answers.subquery("a"))
        .with_("_asked", as_=asked)
        .with_("_ranked", as_=ready.get("ranked") or ranked(held, entity, origins))
        .with_("_found", as_=found)
    )


def latest_parts(held: exp.Query, entity: Sequence[str], origins: int = 1) -> dict[str, exp.Select]:
    """Return what `latest` makes of the rows alone, whatever is asked."""
    return {"ranked": ranked(held, entity, origins)}


def ranked(held: exp.Query, entity: Sequence[str], origins: int) -> exp.Select:
    """Number each entity's rows so that the greater of two visible ones answers, and say which
    are kept; drop what never shows."""
    enter = exp.func("greatest", col("_event_time"), col("_known_at"))
    entered = (
        exp.select(*map(col, held.named_selects), exp.alias_(enter, "_enter"))
        .from_(held.subquery("h"))
        .where(before(enter.copy(), col("_until")))
    )
    makers = [
        exp.Bracket(this=col("_from"), expressions=[exp.Literal.number(i)]) for i in range(origins)
    ]
    moments = ordered("_event_time", "_known_at")
    order = exp.Order(
        expressions=[
            *moments.expressions,
            *(exp.Ordered(this=m, nulls_first=False) for m in makers),
        ]
    )
    after = exp.WindowSpec(
        kind="ROWS", start="1", start_side="FOLLOWING", end="UNBOUNDED", end_side="FOLLOWING"
    )
    keys = [col(name) for name in entity]
    number = exp.Window(this=exp.RowNumber(), partition_by=keys, order=order)
    sooner = exp.Window(
        this=exp.Min(this=col("_enter")), partition_by=keys, order=order.copy(), spec=after
    )
    kept = exp.func("coalesce", exp.LT(this=col("_enter"), expression=sooner), exp.true())
    return exp.select(
        *map(col, entered.named_selects), exp.alias_(number, "_n"), exp.alias_(kept, "_kept")
    ).from_(entered.subquery("e"))


def _kept(held: exp.Query, entity: Sequence[str]) -> exp.Select:
    rest = [name for name in held.named_selects if name not in entity]
    return exp.select(*map(col, (*entity, *rest, "_enter"))).from_("_ranked").where(col("_kept"))


def _next_best(entity: Sequence[str], names: Sequence[str]) -> exp.Select:
    """Return the answers to the questions whose greatest row had ended: the range join."""
    ended = exp.select("*").from_("_found").where(exp.Not(this=before(col("_at"), col("_until"))))
    same = [_equal(name, "f", "r") for name in entity]
    entered = exp.LTE(this=col("_enter", "r"), expression=col("_at", "f"))
    stands = before(col("_at", "f"), col("_until", "r"))
    best = (
        exp.select(col("_q", "f"), *(col(name, "f") for name in entity))
        .select(exp.alias_(exp.Max(this=col("_n", "r")), "_n"))
        .from_(ended.subquery("f"))
        .join(rel("_ranked", "r"), on=exp.and_(*same, entered, stands))
        .group_by(col("_q", "f"), *(col(name, "f") for name in entity))
    )
    row = [_equal(name, "b", "r") for name in (*entity, "_n")]
    return (
        exp.select(col("_q", "f"), col("_at", "f"), col("_event_time", "r"))
        .select(*(col(name, "r") for name in names))
        .from_(ended.subquery("f"))
        .join(best.subquery("b"), on=_equal("_q", "f", "b"), join_type="left")
        .join(rel("_ranked", "r"), on=exp.and_(*row), join_type="left")
    )


def _fresh(name: str, max_age: timedelta | None) -> exp.Expr:
    """The column of an answer that is not too old."""
    if max_age is None:
        return col(name)
    limit = exp.Add(this=col("_event_time"), expression=lit(max_age))
    young = exp.LTE(this=col("_at"), expression=limit)
    return exp.alias_(exp.case().when(young, col(name)), name, quoted=True)


def _equal(name: str, left: str, right: str) -> exp.Expr:
    return exp.EQ(this=col(name, left), expression=col(name, right))
