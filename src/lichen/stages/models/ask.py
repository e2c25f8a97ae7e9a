"""The training set as one query: questions, what was known at each, and what turned out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from lichen.core.sql import col, lit
from lichen.core.time import Instant
from lichen.stages.context import Shelf
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.questions import questions
from lichen.stages.outcomes.spec import Outcome


@dataclass(frozen=True)
class Inquiry:
    """A model with all that its training set is made of; `nodes` are the stored nodes below it.

    `feedback` names the feedback tables of the services that serve the model.
    """

    model: Model
    outcome: Outcome
    features: tuple[Features, ...]
    nodes: tuple[str, ...]
    feedback: tuple[str, ...] = ()


def asked(
    inquiry: Inquiry,
    shelf: Shelf,
    now: Instant,
    *,
    since: Instant | None = None,
    keys: Sequence[str] = (),
) -> exp.Select:
    """Return the questions with features and labels: `_key`, `_at`, `_label`, `_label_known_at`,
    the outcome's request columns, and `features__column`.

    `since` and `keys` restrict the questions before any feature is looked up.
    """
    inputs = {node: shelf.versions(node) for node in inquiry.nodes}
    asking = questions(inquiry.outcome, inputs, lit(now))
    asking = _told_back(asking, inquiry, shelf, now)
    outer = exp.select(*map(col, asking.named_selects)).from_(asking.subquery("asking"))
    if since is not None:
        outer = outer.where(exp.GTE(this=col("_at"), expression=lit(since)))
    if keys:
        outer = outer.where(col("_key").isin(*(lit(key) for key in keys)))
    return answer(outer, [compiled(each, inputs) for each in inquiry.features])


def _told_back(asking: exp.Select, inquiry: Inquiry, shelf: Shelf, now: Instant) -> exp.Select:
    """Labels are the outcome's together with the feedback of services: the last known wins."""
    told = [node for node in inquiry.feedback if node in shelf.records]
    if not told:
        return asking
    each = [
        exp.select(col("key"), col("label"), col("known_at"), col("_row"))
        .from_(shelf.versions(node).subquery("f"))
        .where(exp.LTE(this=col("known_at"), expression=lit(now)))
        for node in told
    ]
    every = each[0] if len(each) == 1 else exp.union(*each, distinct=False)
    newest = exp.Window(
        this=exp.RowNumber(),
        partition_by=[col("key")],
        order=exp.Order(
            expressions=[exp.Ordered(this=col(c), desc=True) for c in ("known_at", "_row")]
        ),
    )
    ranked = exp.select(exp.Star(), exp.alias_(newest, "_nth")).from_(every.subquery("e"))
    last = (
        exp.select("key", "label", "known_at")
        .from_(ranked.subquery("r"))
        .where(col("_nth").eq(lit(1)))
    )
    wins = exp.and_(
        col("known_at", "b").is_(exp.null()).not_(),
        exp.or_(
            col("_label_known_at", "a").is_(exp.null()),
            exp.GTE(this=col("known_at", "b"), expression=col("_label_known_at", "a")),
        ),
    )
    kept = [c for c in asking.named_selects if c not in ("_label", "_label_known_at")]
    # A label that came back as a number is read as the outcome's own type.
    back = exp.case().when(wins, col("label", "b")).else_(exp.cast(col("_label", "a"), "double"))
    since = exp.case().when(wins.copy(), col("known_at", "b")).else_(col("_label_known_at", "a"))
    return (
        exp.select(
            *(col(c, "a") for c in kept),
            exp.alias_(back, "_label"),
            exp.alias_(since, "_label_known_at"),
        )
        .from_(asking.subquery("a"))
        .join(
            last.subquery("b"),
            on=col("_key", "a").eq(col("key", "b")),
            join_type="left",
        )
    )


def relations_of(inquiry: Inquiry, shelf: Shelf) -> dict[str, object]:
    """Return what the engine needs to answer `asked`."""
    told = [node for node in inquiry.feedback if node in shelf.records]
    return dict(shelf.relations([*inquiry.nodes, *told]))
