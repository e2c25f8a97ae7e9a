"""How a target begins: as a branch of another one's publication, of which nothing is copied.

A branch holds the whole past of its parent up to that publication, under the same numbers: records
and publications, the tables' versions, the models. The files are shared (hard links), so that each
target is whole in itself, and either may be removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lichen.core.names import Kind, Name
from lichen.core.steps import Seen
from lichen.core.time import Instant
from lichen.core.typed import typed
from lichen.ports.durable import share, sync
from lichen.ports.lake import Lake
from lichen.ports.ledger import Ledger, Publication, Record, State
from lichen.targets.place import Place
from lichen.wiring import branch_ledger, open_lake, open_ledger


def begin(place: Place, at: Instant | None = None) -> int:
    """Let a target begin as a branch, if it has not begun and has what to begin from.

    It begins from what its parent had published at a time, by default last. Returns how many
    bytes were copied: none where both lie on one file system.
    """
    parent = place.read_from()
    if parent is place:
        return 0
    ledger = open_ledger(parent)
    publication = ledger.publication() if at is None else ledger.published_by(at)
    if publication is None:
        return 0
    with _alone(place):
        if place.begun():
            return 0
        records = pinned(ledger, publication)
        lake, theirs = open_lake(place), open_lake(parent)
        copied = sum(follow(record, lake, theirs) for record in records.values())
        for record in records.values():
            if Name.parse(record.node).kind is Kind.model:
                trained = _past(ledger, record)
                copied += sum(share_model(t, parent.folder, place.folder) for t in trained)
        branch_ledger(parent, place, publication.id)
    return copied


def follow(record: Record, lake: Lake, other: Lake) -> int:
    """Let a lake take on what another holds of a record; returns how many bytes were copied."""
    return sum(lake.follow(table, other, v) for table, (_, v) in record.commits.items())


def share_model(record: Record, folder: Path, other: Path) -> int:
    """Give what a record trained a place below another target's folder."""
    from lichen.stages.models.run import model_folder  # only where there is a model: it is slow

    name = Name.parse(record.node).name
    old, new = (model_folder(each, name, record.sequence) for each in (folder, other))
    if record.state != "done" or not old.is_dir():
        return 0
    new.mkdir(parents=True, exist_ok=True)
    copied = sum(share(path, new / path.name) for path in sorted(old.iterdir()))
    for made in (new, new.parent, new.parent.parent):
        sync(made)
    return copied


def as_published(ledger: Ledger, at: Instant | None) -> State:
    """Return the state that a branch would begin with; an empty one where nothing was published."""
    publication = ledger.publication() if at is None else ledger.published_by(at)
    if publication is None:
        return State()
    done = pinned(ledger, publication)
    landed = [record for record in done.values() if Name.parse(record.node).kind is Kind.source]
    return State(
        done=done,
        files={record.node: _files(_past(ledger, record)) for record in landed},
        publication=publication,
        clock=publication.now,
    )


def pinned(ledger: Ledger, publication: Publication) -> dict[str, Record]:
    """Return the records of a publication by node."""
    return {node: ledger.record(id_) for node, id_ in publication.pins.items()}


def _past(ledger: Ledger, record: Record) -> list[Record]:
    return [each for each in ledger.history(record.node) if each.id <= record.id]


def _files(past: list[Record]) -> dict[str, Seen]:
    done = (record for record in past if record.state == "done")
    files = (typed(f, Seen) for record in done for f in record.body.get("files", ()))
    return {seen.path: seen for seen in files}


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Let one process at a time begin a target."""
    place.ledger.parent.mkdir(parents=True, exist_ok=True)
    path = place.ledger.with_suffix(".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
