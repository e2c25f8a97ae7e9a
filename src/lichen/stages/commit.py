"""The one way in which data becomes part of the lake: intent, verdicts, data, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lichen.core.findings import Severity, as_json
from lichen.core.steps import AnyStep, Done
from lichen.ports.facts import Leaves
from lichen.ports.lake import Staged
from lichen.stages.context import Context, verdict_table
from lichen.stages.judge import Judgement


@dataclass(frozen=True)
class Effect:
    """What a step is about to commit, and the facts that will then hold.

    `seen` are the leaves of what the step read. `replace` makes the staged rows the whole table,
    `rejudge` the verdicts the whole of the node's verdicts.
    """

    staged: Staged | None
    judgement: Judgement
    seen: Leaves
    replace: bool = False
    rejudge: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Return whether the verdicts speak of all rows that will be there."""
        return self.replace or self.rejudge


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
    found = [as_json(finding) for finding in effect.judgement.findings]
    ctx.intend(step, {**body, "findings": found}, facts, tables)
    commits = dict(before.commits) if before is not None else {}
    if verdicts is not None:
        write = ctx.lake.replace if effect.whole else ctx.lake.append
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
    warned = {f.rule: f.count for f in effect.judgement.findings if f.severity is Severity.warn}
    earlier: Mapping[str, Any] = {} if effect.whole else old
    return {
        "columns": [tuple(c) for c in effect.staged.columns] if effect.staged else old["columns"],
        "rows": added if effect.replace else old.get("rows", 0) + added,
        "added": added,
        "epoch": sequence if effect.whole or before is None else old["epoch"],
        "seen": dict(effect.seen),
        "leaves": {step.node: sequence} if _changed(effect, added, old) else old["leaves"],
        "held_back": _added(effect.judgement.held_back, earlier.get("held_back", {})),
        "warned": _added(warned, earlier.get("warned", {})),
        **effect.facts,
    }


def _added(new: Mapping[str, int], old: Mapping[str, int]) -> dict[str, int]:
    """Return the sum by rule.

    >>> _added({"a": 1}, {"a": 2, "b": 3})
    {'a': 3, 'b': 3}
    """
    return {rule: new.get(rule, 0) + old.get(rule, 0) for rule in sorted({*new, *old})}


def _changed(effect: Effect, added: int, old: Mapping[str, Any]) -> bool:
    """Whether readers see other rows than before.

    Where only the definition changed they do not: what it means for them is in their own
    fingerprints.
    """
    if not old or effect.rejudge:
        return True
    return bool(added or effect.replace) and dict(effect.seen) != old["seen"]
