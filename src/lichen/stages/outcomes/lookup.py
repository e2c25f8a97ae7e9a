"""A question by key and moment: the outcome's row as it was known then. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sqlglot import exp

from lichen.core.derive import qualified, resolved
from lichen.core.sql import col
from lichen.core.versions import before
from lichen.stages.outcomes.questions import outcome_spans, request_columns
from lichen.stages.outcomes.spec import Outcome

NO_LABEL = exp.null()


def without_label(outcome: Outcome, inputs: Mapping[str, exp.Query]) -> Outcome:
    """Return the outcome that asks the same questions and knows no label.

    A left join that neither the question's columns nor WHERE read is left out: a key has one row
    at each moment, so that such a join changes nothing that is asked.
    """
    tree = qualified(outcome.select, inputs, where=outcome.where)
    asked = {*request_columns(outcome, inputs), *(name.lower() for name in outcome.key)}
    moment = None if outcome.predict_at is None else resolved(tree)(outcome.predict_at)
    kept = [column for column in tree.selects if column.alias_or_name in asked]
    tree.set("expressions", kept)
    tree.set("joins", _needed(tree, moment))
    return dataclasses.replace(
        outcome, select=tree, label=NO_LABEL, known_at=None, predict_at=moment
    )


def standing(outcome: Outcome, inputs: Mapping[str, exp.Query]) -> exp.Select:
    """Return the spans of what may be asked: `_key`, request columns, `_known_at`, `_until`."""
    shown = request_columns(outcome, inputs)
    return (
        exp.select(*map(col, ("_key", *shown, "_known_at", "_until")))
        .from_("_held")
        .with_("_held", as_=outcome_spans(outcome, inputs))
    )


def looked_up(spans: exp.Query, asked: exp.Query, *, timed: bool) -> exp.Select:
    """Return the questions that `asked` (`_q`, `_key`, `_at`) finds in `standing`.

    Columns: `_q`, `_key`, `_at` (NULL for an outcome without time) and the request columns. A key
    that was not known at its moment has no row.
    """
    shown = [name for name in spans.named_selects if not name.startswith("_")]
    at = col("_at", "a") if timed else exp.cast(exp.null(), "timestamptz")
    then = exp.and_(
        exp.EQ(this=col("_key", "h"), expression=col("_key", "a")),
        exp.LTE(this=col("_known_at", "h"), expression=col("_at", "a")),
        before(col("_at", "a"), col("_until", "h")),
    )
    return (
        exp.select(
            col("_q", "a"), col("_key", "a"), exp.alias_(at, "_at"), *(col(c, "h") for c in shown)
        )
        .from_(asked.subquery("a"))
        .join(spans.subquery("h"), on=then)
    )


def _needed(tree: exp.Select, moment: exp.Expr | None) -> list[exp.Join]:
    """Return the joins without the left ones whose relation nothing reads."""
    parts = [*tree.selects, tree.args.get("where"), moment]
    read = {c.table for part in parts if part is not None for c in part.find_all(exp.Column)}
    kept: list[exp.Join] = []
    for join in reversed(tree.args.get("joins") or ()):
        if join.side == "LEFT" and join.this.alias_or_name not in read:
            continue
        read |= {column.table for column in join.find_all(exp.Column)}
        kept.insert(0, join)
    return kept
