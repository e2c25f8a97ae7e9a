"""Whether a table is to be built, and whether only from what is new. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lichen.core.digest import Print
from lichen.core.steps import Build, Input, Replay, said
from lichen.core.time import Span
from lichen.ports.facts import Facts, Leaves, Upcoming
from lichen.ports.ledger import Record

if TYPE_CHECKING:
    from lichen.stages.tables.spec import Table


def plan_table(
    node: str,
    reads: tuple[str, ...],
    print_: Print,
    rules: str,
    table: Callable[[], Table],
    again: str | None,
    span: Span | None,
    facts: Facts,
    so_far: Upcoming,
) -> None:
    """Add a Build step where a table's definition or rules changed or what it reads went on.

    `again` says why it is built again though nothing changed: in full, or, where a table goes on
    with its inputs, only what their rows of the time `span` touch.

    Its readers see other rows where the data or the rules changed. Where only the definition did,
    what that means for them is in their own fingerprints.
    """
    done = facts.done(node)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    if not all(facts.done(n) or n in so_far.steps for n in reads):
        return
    heeded = so_far.leaves_of(reads)
    if done is not None and _newer(done, heeded):  # only now does it matter what the file says
        static = table().static
        heeded = so_far.leaves_of(tuple(n for n in reads if n not in static))
    new_data = done is None or bool(_newer(done, heeded))
    new_rules = done is not None and done.body["rules"] != rules
    requests = facts.asked(node) if done is not None else ()
    rejudge = new_rules or any(isinstance(request, Replay) for request in requests)
    again = again if done is not None else None
    reasons = [again] if again is not None else []
    reasons += _definition(done, print_, table)
    if new_rules:
        reasons.append("its contract's rules changed: what is there is judged again")
    elif done is not None and new_data and not reasons:
        reasons.append(f"new data in {', '.join(_newer(done, heeded))}")
    reasons += map(said, requests)
    if not reasons:
        return
    appends = _can_append(done, print_.whole(), table(), reads, facts, so_far)
    if again is not None:
        appends = appends and span is not None and table().goes_on()
    if again is not None and span is not None:
        part = "what rows of it touch is built again" if appends else "this table is built in full"
        reasons[0] += f", and {part}"
    step = Build(
        node=node,
        reason=", ".join(reasons),
        after=so_far.before(reads),
        sequence=0,
        fingerprint=print_.whole(),
        rules=rules,
        inputs=tuple(_input(n, facts, so_far) for n in reads),
        replace=not appends,
        rejudge=rejudge,
        requests=requests,
        asked=again is not None,
        span=span if again is not None and appends else None,
    )
    if facts.stuck(step, again=step.asked):
        return
    numbered = so_far.steps[node] = facts.numbered(step)
    if new_data or rejudge or requests or step.asked:
        so_far.leaves[node] = {node: numbered.sequence}


def _definition(done: Record | None, print_: Print, table: Callable[[], Table]) -> list[str]:
    """Say what changed in a definition; nothing where it did not."""
    if done is None:
        return ["it was never built"]
    if done.body["fingerprint"] == print_.whole():
        return []
    old, columns = done.body["columns"], print_.columns
    changed = [c for c in columns if old.get(c) != columns[c]]
    gone = [c for c in old if c not in columns]
    if done.body["rows"] != print_.rows:
        by_function = table().function is not None  # of which nobody can tell what decides its rows
        return [
            "its code or what it reads changed"
            if by_function
            else "its rows are chosen differently"
        ]
    if not changed and not gone:
        return ["the order of its columns changed"]
    words = [f"{c} {'changed' if c in old else 'is new'}" for c in changed]
    return words + [f"{c} is gone" for c in gone]


def _newer(done: Record, leaves: Leaves) -> list[str]:
    return [node for node in leaves if done.facts["seen"].get(node) != leaves[node]]


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
    """Whether what is there stands: what is new is appended to it.

    A table that reads its inputs row by row takes on what they appended since; one that
    is computed at once takes on what differs from its current rows.
    """
    if done is None or done.body["fingerprint"] != fingerprint:
        return False
    if table.at_once():
        return True
    heeded = (node for node in reads if node not in table.static)
    return table.goes_on() and all(_only_grew(node, done, facts, so_far) for node in heeded)


def _only_grew(node: str, done: Record, facts: Facts, so_far: Upcoming) -> bool:
    """Whether an input gained rows and nothing else since a table read it."""
    step, record = so_far.steps.get(node), facts.done(node)
    if getattr(step, "replace", False) or getattr(step, "rejudge", False) or record is None:
        return False
    return bool(record.facts["epoch"] == done.facts["epochs"].get(node))
