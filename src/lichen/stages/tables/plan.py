"""Whether a table is to be built, and whether only from what is new. Pure."""

from __future__ import annotations

from lichen.core.steps import Build, Input
from lichen.ports.facts import Facts, Upcoming
from lichen.ports.ledger import Record
from lichen.stages.tables.spec import Table


def plan_table(
    table: Table,
    reads: tuple[str, ...],
    fingerprint: str,
    columns: dict[str, str],
    facts: Facts,
    so_far: Upcoming,
) -> None:
    """Add a Build step where a table's definition changed or what it reads went on."""
    node = str(table.name)
    done = facts.done(node)
    leaves = so_far.leaves_of(reads)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    ready = all(facts.done(n) or n in so_far.steps for n in reads)
    reason = _reason(done, fingerprint, columns, leaves, so_far.before(reads))
    if not ready or reason is None:
        return
    step = Build(
        node=node,
        reason=reason,
        after=so_far.before(reads),
        sequence=0,
        fingerprint=fingerprint,
        inputs=tuple(_input(n, facts, so_far) for n in reads),
        replace=not _can_append(done, fingerprint, table, reads, facts, so_far),
    )
    if facts.stuck(step):
        return
    so_far.steps[node] = facts.numbered(step)
    so_far.leaves[node] = leaves


def _reason(
    done: Record | None,
    fingerprint: str,
    columns: dict[str, str],
    leaves: dict[str, int],
    before: tuple[str, ...],
) -> str | None:
    if done is None:
        return "it was never built"
    if done.body["fingerprint"] != fingerprint:
        old = done.body["columns"]
        changed = [c for c in columns if old.get(c) != columns[c]]
        gone = [c for c in old if c not in columns]
        if not changed and not gone:
            return "its contract or the order of its columns changed"
        if set(changed) >= set(columns) & set(old):
            return "its rows are chosen differently"
        words = [f"{c} {'changed' if c in old else 'is new'}" for c in changed]
        return ", ".join(words + [f"{c} is gone" for c in gone])
    if done.facts["leaves"] == leaves:
        return None
    newer = [n for n in leaves if done.facts["leaves"].get(n) != leaves[n]]
    return f"new data in {', '.join(before or tuple(newer))}"


def _input(node: str, facts: Facts, so_far: Upcoming) -> Input:
    done = facts.done(node)
    if node in so_far.steps or done is None:
        return Input(node=node)
    return Input(node=node, sequence=done.sequence)


def _can_append(
    done: Record | None,
    fingerprint: str,
    table: Table,
    reads: tuple[str, ...],
    facts: Facts,
    so_far: Upcoming,
) -> bool:
    """A table of one input, read row by row, takes on only what that input appended since."""
    if done is None or done.body["fingerprint"] != fingerprint or not table.row_wise():
        return False
    for node in reads:
        if getattr(so_far.steps.get(node), "replace", False):
            return False
        record = facts.done(node)
        if record is None or record.facts["epoch"] != done.facts["epochs"].get(node):
            return False
    return True
