"""Whether a model is to be trained. Pure."""

from __future__ import annotations

from lichen.core.steps import Input, Train
from lichen.core.time import Instant
from lichen.ports.facts import Facts, Observed, Upcoming
from lichen.stages.models.policy import due
from lichen.stages.models.spec import Model


def _input(node: str, facts: Facts, so_far: Upcoming) -> Input:
    done = facts.done(node)
    upcoming = node in so_far.steps or done is None
    return Input(node=node, sequence=None if upcoming or done is None else done.sequence)


def plan_model(
    model: Model,
    reads: tuple[str, ...],
    fingerprint: str,
    observed: Observed | None,
    now: Instant,
    again: str | None,
    facts: Facts,
    so_far: Upcoming,
) -> None:
    """Add a Train step for a new or changed definition, or where the retrain policy says so.

    `again` says why it is trained though nothing changed.

    `reads` names the tables and sources below the model; `observed` is how it did since then.
    """
    node = str(model.name)
    done = facts.done(node)
    leaves = so_far.leaves_of(reads)
    if not all(facts.done(n) or n in so_far.steps for n in reads):
        return
    if done is None:
        reason: str | None = "it was never trained"
    elif done.body["fingerprint"] != fingerprint:
        reason = "its definition changed, or that of what it reads"
    elif again is not None:
        reason = again
    elif done.facts["seen"] == leaves and (observed is None or observed == Observed(0, None)):
        reason = None
    else:
        reason = due(
            model.retrain,
            trained_at=done.now,
            now=now,
            new_labels=observed.new_labels if observed else 0,
            live=observed.live if observed else None,
        )
    if reason is None:
        return
    step = Train(
        node=node,
        reason=reason,
        after=so_far.before(reads),
        sequence=0,
        fingerprint=fingerprint,
        inputs=tuple(_input(n, facts, so_far) for n in reads),
    )
    if not facts.stuck(step, again=again is not None):
        so_far.steps[node] = facts.numbered(step)
