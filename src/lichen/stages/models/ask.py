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
from lichen.stages.models.labels import in_texts, told_back, told_nodes
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
    texts = in_texts(str(inquiry.model.name), inquiry.feedback, shelf)
    asking = told_back(asking, inquiry.feedback, shelf, now, texts=texts)
    outer = exp.select(*map(col, asking.named_selects)).from_(asking.subquery("asking"))
    if since is not None:
        outer = outer.where(exp.GTE(this=col("_at"), expression=lit(since)))
    if keys:
        outer = outer.where(col("_key").isin(*(lit(key) for key in keys)))
    return answer(outer, [compiled(each, inputs) for each in inquiry.features])


def relations_of(inquiry: Inquiry, shelf: Shelf) -> dict[str, object]:
    """Return what the engine needs to answer `asked`."""
    return dict(shelf.relations([*inquiry.nodes, *told_nodes(inquiry.feedback, shelf)]))
