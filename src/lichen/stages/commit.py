"""The one way in which data becomes part of the lake: intent, verdicts, data, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lichen.core.findings import Severity, as_json
from lichen.core.steps import AnyStep, Done
from lichen.ports.facts import Leaves
from lichen.ports.lake import Staged
from lichen.stages.context import Context, released_table, verdict_table
from lichen.stages.judge import Judgement
from lichen.stages.release import Freed


@dataclass(frozen=True)
class Effect:
    """What a step is about to commit, and the facts that will then hold.

    `seen` are the leaves of what the step read, `freed` the rows that people released. `replace`
    makes the staged rows the whole table, `rejudge` the verdicts the whole of the node's verdicts.
    """

    staged: Staged | None
    judgement: Judgement
    seen: Leaves
    replace: bool = False
    rejudge: bool = False
    moved: bool = False  # readers see other rows, whatever was read
    freed: Freed = field(default_factory=Freed)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Return whether the verdicts speak of all rows that will be there."""
        return self.replace or self.rejudge

    @property
    def rows(self) -> list[Staged]:
        """Return the staged files of the table, in the order of their rows."""
        return [part for part in (self.staged, self.freed.rows) if part is not None]


def carry_out(step: AnyStep, effect: Effect, ctx: Context, body: Mapping[str, Any]) -> Done:
    """Record the intent, commit the verdicts and then the data, and return what came of it.

    Where nothing is new nothing is committed, and readers further down stay as they are.
    """
    sequence = int(getattr(step, "sequence"))  # noqa: B009 - every step that commits has one
    before = ctx.shelf.records.get(step.node)
    facts = _facts(step, effect, ctx)
    verdicts, decisions = effect.judgement.verdicts, effect.freed.decisions
    tables = [verdict_table(step.node)] if verdicts is not None else []
    tables += [released_table(step.node)] if decisions is not None else []
    tables += [step.node] if effect.rows else []
    found = [as_json(finding) for finding in effect.judgement.findings]
    ctx.intend(step, {**body, "findings": found}, facts, tables)
    commits = dict(before.commits) if before is not None else {}
    if verdicts is not None:
        write = ctx.lake.replace if effect.whole else ctx.lake.append
        table = verdict_table(step.node)
        commits[table] = write(table, [verdicts], sequence)
    if decisions is not None:
        table = released_table(step.node)
        commits[table] = ctx.lake.replace(table, [decisions], sequence)
    if effect.rows:
        write = ctx.lake.replace if effect.replace else ctx.lake.append
        commits[step.node] = write(step.node, effect.rows, sequence)
    return Done(facts=facts, findings=effect.judgement.findings, commits=commits)


def _facts(step: AnyStep, effect: Effect, ctx: Context) -> dict[str, Any]:
    before = ctx.shelf.records.get(step.node)
    old: Mapping[str, Any] = before.facts if before is not None else {}
    sequence = int(getattr(step, "sequence"))  # noqa: B009
    added = sum(part.rows for part in effect.rows)
    warned = {f.rule: f.count for f in effect.judgement.findings if f.severity is Severity.warn}
    earlier: Mapping[str, Any] = {} if effect.whole else old
    held = _added(effect.judgement.held_back, earlier.get("held_back", {}))
    return {
        "columns": [tuple(c) for c in effect.staged.columns] if effect.staged else old["columns"],
        "rows": added if effect.replace else old.get("rows", 0) + added,
        "added": added,
        "epoch": sequence if effect.whole or before is None else old["epoch"],
        "seen": dict(effect.seen),
        "leaves": {step.node: sequence} if _changed(effect, added, old) else old["leaves"],
        "held_back": held if effect.freed.held_back is None else dict(effect.freed.held_back),
        "released": [dict(told) for told in effect.freed.told],
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
    if not old or effect.rejudge or effect.moved or effect.freed.rows is not None:
        return True
    return bool(added or effect.replace) and dict(effect.seen) != old["seen"]
