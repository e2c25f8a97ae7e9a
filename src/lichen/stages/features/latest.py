"""The newest event that was known: one as-of, and a range join where that event was taken back."""

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
    max_age: timedelta | None = None,
    ready: Mapping[str, exp.Query] = NOTHING_READY,
) -> exp.Select:
    """Return for each question (`_q`, entity columns, `_at`) the row that answers it.

    It is the row with the greatest (event time, known time, row) among those with event time and
    known time ≤ `_at` < `_until`, and no older than `max_age`; NULLs where there is none. `ready`
    may hold what `latest_parts` makes.
    """
    names = [*columns_of(held), "_from"]
    rows = exp.select(*(col(name, "r") for name in names if name not in entity))
    number = exp.case().when(col("_stands", "f"), col("_best", "f")).else_(col("_n", "o"))
    answers: exp.Expr = exp.EQ(this=col("_n", "r"), expression=number)
    if max_age is not None:
        limit = exp.Add(this=col("_event_time", "r"), expression=lit(max_age))
        answers = exp.and_(answers, exp.LTE(this=col("_at", "q"), expression=limit))
    return (
        rows.select(col("_q", "q"), append=True)
        .from_(rel("_asked", "q"))
        .join(rel("_found", "f"), on=_equal("_q", "q", "f"), join_type="left")
        .join(rel("_others", "o"), on=_equal("_q", "q", "o"), join_type="left")
        .join(rel("_ranked", "r"), on=answers, join_type="left")
        .with_(
            "_asked", as_=exp.select("_q", *map(col, entity), "_at").from_(questions.subquery("q"))
        )
        .with_("_ranked", as_=ready.get("ranked") or _ranked(held))
        .with_("_found", as_=_found(entity, ready.get("steps") or _steps(entity)))
        .with_("_others", as_=_others(entity))
    )


def latest_parts(held: exp.Query, entity: Sequence[str]) -> dict[str, exp.Select]:
    """Return what `latest` makes of the rows alone, whatever is asked."""
    ranked = _ranked(held)
    return {"ranked": ranked, "steps": _steps(entity).with_("_ranked", as_=ranked.copy())}


def _ranked(held: exp.Query) -> exp.Select:
    """Number the rows so that the greater of two visible ones answers; drop what never shows."""
    enter = exp.func("greatest", col("_event_time"), col("_known_at"))
    order = exp.Window(this=exp.RowNumber(), order=ordered("_event_time", "_known_at", "_from"))
    return (
        exp.select(
            *map(col, held.named_selects), exp.alias_(enter, "_enter"), exp.alias_(order, "_n")
        )
        .from_(held.subquery("h"))
        .where(before(enter.copy(), col("_until")))
    )


def _steps(entity: Sequence[str]) -> exp.Select:
    """Return for each entity the greatest row that had entered, from each moment on."""
    keys = [col(name) for name in entity]
    best = exp.Window(
        this=exp.Max(this=exp.Max(this=col("_n"))), partition_by=keys, order=ordered("_enter")
    )
    return (
        exp.select(*keys, col("_enter"), exp.alias_(best, "_best"))
        .from_("_ranked")
        .group_by(*keys, col("_enter"))
    )


def _found(entity: Sequence[str], steps: exp.Query) -> exp.Select:
    """Return per question the greatest row that had entered, and whether it still stands."""
    keys = [col(name) for name in entity]
    asked = exp.select("_q", *keys, "_at").from_("_asked")
    return (
        exp.select(
            *(col(name, "c") for name in ("_q", *entity, "_at", "_best")),
            exp.alias_(before(col("_at", "c"), col("_until", "r")), "_stands"),
        )
        .from_(asof(asked, steps, entity, at="_at", since="_enter").subquery("c"))
        .join(
            rel("_ranked", "r"),
            on=exp.EQ(this=col("_best", "c"), expression=col("_n", "r")),
        )
    )


def _others(entity: Sequence[str]) -> exp.Select:
    """Return the next best row for the questions whose greatest row had ended: the range join."""
    same = [_equal(name, "f", "r") for name in entity]
    entered = exp.LTE(this=col("_enter", "r"), expression=col("_at", "f"))
    stands = before(col("_at", "f"), col("_until", "r"))
    return (
        exp.select(col("_q", "f"), exp.alias_(exp.Max(this=col("_n", "r")), "_n"))
        .from_(rel("_found", "f"))
        .join(rel("_ranked", "r"), on=exp.and_(*same, entered, stands))
        .where(exp.Not(this=col("_stands", "f")))
        .group_by(col("_q", "f"))
    )


def _equal(name: str, left: str, right: str) -> exp.Expr:
    return exp.EQ(this=col(name, left), expression=col(name, right))
