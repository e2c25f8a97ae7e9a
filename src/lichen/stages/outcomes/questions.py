"""The rows to predict as they were known when they had to be, and what turned out to be true."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from lichen.core.derive import derive, qualified, resolved
from lichen.core.errors import OutcomeError
from lichen.core.sql import col, columns_in
from lichen.core.versions import before, ordered, present
from lichen.stages.outcomes.spec import Outcome


def questions(outcome: Outcome, inputs: Mapping[str, exp.Query], now: exp.Expr) -> exp.Select:
    """Return one row for each key that was known at its own `predict_at`.

    Columns: `_q`, `_key`, `_at`, the request columns (those that neither `label` nor `known_at`
    read, the entities among them), `_label` and `_label_known_at` (both NULL while it is not
    known at `now`), `_from` of the request and `_label_from` of the label. A row whose
    `predict_at` is still to come is asked as it is known at `now`; of several versions of a key
    that were valid at their own `predict_at` the last one asks. Without `predict_at` every
    current row asks, and `_at` is NULL.
    """
    shown = request_columns(outcome, inputs)
    number = exp.Window(this=exp.RowNumber(), order=ordered("_at", "_key"))
    carried = (*shown, "_at", "_from")
    labelled = exp.EQ(this=col("_key", "r"), expression=col("_key", "t"))
    return (
        exp.select(
            exp.alias_(exp.Sub(this=number, expression=exp.convert(1)), "_q"),
            col("_key"),
            *map(col, (*carried, "_label", "_label_known_at", "_label_from")),
        )
        .from_(
            exp.select(
                col("_key", "r"),
                *(col(name, "r") for name in carried),
                *(col(name, "t") for name in ("_label", "_label_known_at", "_label_from")),
            )
            .from_(_requests(shown, now).subquery("r"))
            .join(_labels(outcome, now).subquery("t"), on=labelled, join_type="left")
            .subquery("j")
        )
        .with_("_held", as_=outcome_spans(outcome, inputs))
    )


def unasked(outcome: Outcome, inputs: Mapping[str, exp.Query], now: exp.Expr) -> exp.Select:
    """Return `_key` and first `_known_at` of the keys that were not known by their `predict_at`."""
    shown = request_columns(outcome, inputs)
    asked = exp.select(col("_key")).from_(_requests(shown, now).subquery("r"))
    known = exp.LTE(this=col("_known_at"), expression=now.copy())
    never = exp.Not(this=exp.In(this=col("_key"), query=asked.subquery()))
    return (
        exp.select(col("_key"), exp.alias_(exp.Min(this=col("_known_at")), "_known_at"))
        .from_("_held")
        .where(known, never)
        .group_by(col("_key"))
        .with_("_held", as_=outcome_spans(outcome, inputs))
    )


def request_columns(outcome: Outcome, inputs: Mapping[str, exp.Query]) -> tuple[str, ...]:
    """Return the output columns that neither `label` nor `known_at` read.

    Raises OutcomeError where an entity is not among them.
    """
    names = qualified(outcome.select, inputs, where=outcome.where).named_selects
    read = columns_in(outcome.label)
    read |= columns_in(outcome.known_at) if outcome.known_at is not None else frozenset()
    shown = tuple(name for name in names if name not in read)
    if missing := [name for name in outcome.entities if name.lower() not in shown]:
        raise OutcomeError(
            f"the entity {missing[0]!r} is not known when the question is asked",
            where=outcome.where,
            allowed=shown,
            given=missing[0],
        )
    return shown


def outcome_spans(outcome: Outcome, inputs: Mapping[str, exp.Query]) -> exp.Select:
    """Return the spans of the outcome's SELECT with `_label`, `_at` and `_declared`."""
    names = resolved(qualified(outcome.select, inputs, where=outcome.where))
    declared = {"_label": names(outcome.label)}
    for name, moment in (("_at", outcome.predict_at), ("_declared", outcome.known_at)):
        value = exp.null() if moment is None else names(moment)
        declared[name] = exp.cast(value, "timestamptz")
    extra = (exp.alias_(value, name, quoted=True) for name, value in declared.items())
    return derive(outcome.select.select(*extra), inputs, outcome.key, where=outcome.where)


def _requests(shown: tuple[str, ...], now: exp.Expr) -> exp.Select:
    """Return for each key its last version that was valid at its own moment of prediction."""
    moment = exp.func("least", col("_at"), now.copy())  # passes over NULL: without a time, now
    valid = exp.and_(
        exp.LTE(this=col("_known_at"), expression=moment), before(moment.copy(), col("_until"))
    )
    newest = exp.Window(
        this=exp.RowNumber(),
        partition_by=[col("_key")],
        order=exp.Order(expressions=[exp.Ordered(this=col("_known_at"), desc=True)]),
    )
    carried = [*map(col, ("_key", *shown, "_at", "_from"))]
    numbered = exp.select(*carried, exp.alias_(newest, "_n")).from_("_held").where(valid)
    first = exp.EQ(this=col("_n"), expression=exp.convert(1))
    return exp.select(*(c.copy() for c in carried)).from_(numbered.subquery("n")).where(first)


def _labels(outcome: Outcome, now: exp.Expr) -> exp.Select:
    """Return for each key what is known at `now` of what turned out, and since when."""
    declared = outcome.known_at is not None
    later = exp.func("greatest", col("_declared"), col("_known_at"))
    known = exp.case().when(present("_declared" if declared else "_label"), later)
    current = exp.and_(
        exp.LTE(this=col("_known_at"), expression=now.copy()), before(now.copy(), col("_until"))
    )
    dated = (
        exp.select(
            *map(col, ("_key", "_label")),
            exp.alias_(known, "_label_known_at"),
            exp.alias_(col("_from"), "_label_from"),
        )
        .from_("_held")
        .where(current)
    )
    by_now = exp.LTE(this=col("_label_known_at"), expression=now.copy())

    def then(name: str) -> exp.Expr:
        return exp.alias_(exp.case().when(by_now.copy(), col(name)), name)

    return exp.select(
        col("_key"), then("_label"), then("_label_known_at"), col("_label_from")
    ).from_(dated.subquery("d"))
