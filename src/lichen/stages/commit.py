"""The one way in which data becomes part of the lake: intent, verdicts, data, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lichen.core.steps import AnyStep, Done
from lichen.ports.facts import Leaves
from lichen.ports.lake import Staged
from lichen.stages.context import Context, verdict_table
from lichen.stages.judge import Judgement


@dataclass(frozen=True)
class Effect:
    """What a step is about to commit, and the facts that will then hold.

    `replace` makes the staged rows the whole table; `rejudged` makes the verdicts the whole of
    the node's verdicts.
    """

    staged: Staged | None
    judgement: Judgement
    leaves: Leaves
    replace: bool = False
    rejudged: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def carry_out(step: AnyStep, effect: Effect, ctx: Context, body: Mapping[str, Any]) -> Done:
    """Record the intent, commit the verdicts and then the data, and return what came of it.

    Where nothing is new nothing is committed, and readers further down stay as they are.
    """
    sequence = int(getattr(step, "sequence"))  # noqa: B009 - every step that commits has one
    before = ctx.shelf.records.get(step.node)
    facts = _facts(step, effect, ctx)
    staged, verdicts = effect.staged, effect.judgement.verdicts
    tables = [verdict_table(step.node)] if verdicts is not None else []
    tables += [step.node] if staged is not None else []
    ctx.intend(step, body, facts, tables)
    commits = dict(before.commits) if before is not None else {}
    if verdicts is not None:
        write = ctx.lake.replace if effect.rejudged else ctx.lake.append
        table = verdict_table(step.node)
        commits[table] = write(table, [verdicts], sequence)
    if staged is not None:
        write = ctx.lake.replace if effect.replace else ctx.lake.append
        commits[step.node] = write(step.node, [staged], sequence)
    return Done(facts=facts, findings=effect.judgement.findings, commits=commits)


def _facts(step: AnyStep, effect: Effect, ctx: Context) -> dict[str, Any]:
    before = ctx.shelf.records.get(step.node)
    old: Mapping[str, Any] = before.facts if before is not None else {}
    sequence = int(getattr(step, "sequence"))  # noqa: B009
    added = effect.staged.rows if effect.staged is not None else 0
    held = dict(effect.judgement.held_back)
    if not effect.rejudged and not effect.replace:
        for rule, count in old.get("held_back", {}).items():
            held[rule] = held.get(rule, 0) + count
    fresh = added or effect.replace or effect.rejudged or before is None
    return {
        "columns": [tuple(c) for c in effect.staged.columns] if effect.staged else old["columns"],
        "rows": added if effect.replace else old.get("rows", 0) + added,
        "added": added,
        "epoch": sequence if effect.replace or before is None else old["epoch"],
        "leaves": dict(effect.leaves) if fresh else old["leaves"],
        "held_back": held,
        **effect.facts,
    }
