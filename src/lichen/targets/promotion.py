"""Promotion: what was tried in one target becomes what another one publishes, as it is.

Nothing is built again. The records go over with their numbers, the tables' versions and the models
with their files. It is a fast-forward, node by node: a node moves where the other target's last
record is one that this one has in its past too; where the other one is ahead it stays; where both
went on something would be lost, and nothing is promoted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from lichen.core import graph
from lichen.core.errors import LichenError
from lichen.core.names import Kind, Name
from lichen.core.time import Instant, iso
from lichen.declared import Project
from lichen.loop import Loop
from lichen.noted import landed
from lichen.ports.ledger import Record
from lichen.targets.branch import follow, pinned, share_model

Identity = tuple[str, str, int]  # what a record is in any ledger: run, node, sequence


class PromotionError(LichenError):
    """What was tried cannot become what another target publishes."""


@dataclass(frozen=True)
class Change:
    """A node that moves: the other target's last record of it, and those that follow there."""

    node: str
    was: Record | None
    line: tuple[Record, ...]

    @property
    def becomes(self) -> Record:
        """Return the record that is then published."""
        return self.line[-1]


@dataclass(frozen=True)
class Promotion:
    """What a promotion changes, and which nodes stay: they are ahead, or the target's own."""

    changes: tuple[Change, ...]
    ahead: tuple[str, ...]
    own: tuple[str, ...]
    publication: int | None = None
    copied: int = 0


def preview(source: Loop, target: Loop) -> Promotion:
    """Return what a promotion would change; raises PromotionError where it would lose something."""
    if source.target == target.target:
        raise PromotionError(f"{source.target} cannot be promoted to itself")
    state = source.state()
    if state.publication is None:
        raise PromotionError(
            f"nothing is published in {source.target}",
            hint=f"lichen run --target {source.target}",
        )
    theirs = target.state()
    if theirs.open:
        raise PromotionError(
            f"a run of {target.target} died, and left {theirs.open[0].node} open",
            hint=f"lichen run --target {target.target} concludes it",
        )
    ours = pinned(source.ledger, state.publication)
    lines = {
        node: [r for r in source.ledger.history(node) if r.state == "done" and r.id <= last.id]
        for node, last in ours.items()
    }
    past = {node: target.ledger.history(node) for node in theirs.done}
    return compared(source.project, lines, theirs.done, past, source.target, target.target)


def compared(
    project: Project,
    lines: Mapping[str, Sequence[Record]],
    done: Mapping[str, Record],
    past: Mapping[str, Sequence[Record]],
    source: str,
    target: str,
) -> Promotion:
    """Return what moves where one target has `lines` of records by node. Pure.

    The other one has the last records `done` and the records `past`. What a service said, and
    what is made of it, belongs to the target in which it was said: it stays.
    """
    own = _own(project)
    changes, ahead, both = [], [], []
    for node, line in lines.items():
        if node in own:
            continue
        was = done.get(node)
        ids = [identity(record) for record in line]
        if was is None:
            changes.append(Change(node, None, tuple(line)))
        elif identity(was) in ids:
            if new := tuple(line[ids.index(identity(was)) + 1 :]):
                changes.append(Change(node, was, new))
        elif ids[-1] in map(identity, past[node]):
            ahead.append(node)
        else:
            both.append(was)
    if both:
        raise _would_lose(both, source, target)
    changes.sort(key=lambda change: change.becomes.id)
    return Promotion(tuple(changes), tuple(ahead), tuple(sorted(own & lines.keys())))


def promote(source: Loop, target: Loop) -> Promotion:
    """Let a target publish what another one holds, in one transaction of its ledger.

    A promotion that dies on the way leaves intents, which the target's next run concludes.
    """
    target.begin()
    if not preview(source, target).changes:
        return preview(source, target)
    clocks = [loop.state().clock for loop in (source, target)]
    now = max(clock for clock in clocks if clock is not None)
    run = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    target.ledger.begin(run, now)
    try:
        return _carried_out(preview(source, target), source, target, run, now)
    finally:
        target.ledger.end(run)


def identity(record: Record) -> Identity:
    """Return what a record is in any ledger, whatever its number there."""
    return record.run, record.node, record.sequence


def _carried_out(found: Promotion, source: Loop, target: Loop, run: str, now: Instant) -> Promotion:
    records = sorted((r for change in found.changes for r in change.line), key=lambda r: r.id)
    snapshots = [_snapshot(record, records, source, target) for record in records]
    ids = dict(
        zip((r.id for r in records), target.ledger.enter(run, records), strict=True),
    )
    copied, concluded = 0, []
    for record, snapshot in zip(records, snapshots, strict=True):  # inputs come before readers
        copied += follow(record, target.lake, source.lake)
        if record.step == "train":
            copied += share_model(record, source.folder, target.folder)
        facts = dict(record.facts)
        if snapshot:
            facts["snapshot"] = {n: ids.get(own, there) for n, (own, there) in snapshot.items()}
        here = msgspec.structs.replace(record, id=ids[record.id], facts=facts)
        concluded.append((here, landed(record)))
    pins = {change.node: ids[change.becomes.id] for change in found.changes}
    publication = target.ledger.publish(run, now, pins, concluded)
    return Promotion(found.changes, found.ahead, found.own, publication.id, copied)


def _snapshot(
    record: Record, going: Sequence[Record], source: Loop, target: Loop
) -> dict[str, tuple[int, int]]:
    """Return what a model was trained on: each record's number in either ledger, 0 if it goes."""
    found: dict[str, tuple[int, int]] = {}
    for node, id_ in record.facts.get("snapshot", {}).items():
        if any(each.id == id_ for each in going):
            found[node] = (id_, 0)
            continue
        read = identity(source.ledger.record(id_))
        there = [each.id for each in target.ledger.history(node) if identity(each) == read]
        if not there:
            raise PromotionError(
                f"{record.node} was trained with {node} of run {read[0]}, which only "
                f"{source.target} holds",
                hint=f"train it there: lichen run {record.node} --target {target.target}",
            )
        found[node] = (id_, there[0])
    return found


def _own(project: Project) -> set[str]:
    said = [n for n in project.reads if n.kind in (Kind.predictions, Kind.feedback)]
    below: set[Name] = {*said}.union(*(graph.downstream(project.reads, n) for n in said))
    return {str(name) for name in below}


def _would_lose(both: Sequence[Record], source: str, target: str) -> PromotionError:
    some = ", ".join(f"{r.node} (run {r.run}, as of {iso(r.now)})" for r in both[:3])
    more = f" and {len(both) - 3} more" if len(both) > 3 else ""
    return PromotionError(
        f"{target} went on since {source} began, and {source} did too, in {some}{more}: what "
        f"{target} holds would be lost",
        hint=f"try it again on what {target} has now: let {source} begin `from: {target}` (or a "
        f"target of another name), remove its folder, run it, and promote it then",
    )
