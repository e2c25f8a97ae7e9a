"""What a crash or a power cut left in a target, found and mended."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lichen.core.errors import LakeError
from lichen.core.findings import Finding, Severity
from lichen.core.time import wall
from lichen.loop import Loop
from lichen.ports.ledger import State


@dataclass(frozen=True)
class Examined:
    """What was looked at and found: `mended` is put right, `broken` needs a person."""

    tables: int
    mended: tuple[Finding, ...]
    broken: tuple[Finding, ...]
    swept: int  # staged files that no version refers to
    open: tuple[str, ...]  # nodes with a step that a dead run left, which the next run concludes


def doctor(loop: Loop, progress: Callable[[str], None] = lambda _: None) -> Examined:
    """Examine every table of a target and mend what can be mended; holds the writer's lease.

    What is broken in a version that was acknowledged is told, and left as it is.
    """
    run = f"doctor-{wall():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    loop.begin()
    loop.ledger.begin(run, loop.ledger.state().clock or wall())
    try:
        state = loop.ledger.state()
        acknowledged = kept(state)
        mended: list[Finding] = []
        broken: list[Finding] = []
        swept = 0
        tables = sorted({*loop.lake.tables(), *acknowledged})
        for table in tables:
            progress(table)
            version = acknowledged.get(table, -1)
            mended += loop.lake.mend(table, version)
            wrong = [*loop.lake.check(table), *_lost(loop, table, version)]
            broken += wrong
            if not wrong:
                swept += loop.lake.sweep(table)
    finally:
        loop.ledger.end(run)
    left = tuple(sorted({record.node for record in state.open}))
    return Examined(len(tables), tuple(mended), tuple(broken), swept, left)


def kept(state: State) -> dict[str, int]:
    """Return the last acknowledged version of each table.

    >>> kept(State())
    {}
    """
    found: dict[str, int] = {}
    for record in state.done.values():
        commits: Mapping[str, tuple[int, int]] = record.commits
        for table, (_, version) in commits.items():
            found[table] = max(version, found.get(table, -1))
    return found


def _lost(loop: Loop, table: str, version: int) -> list[Finding]:
    try:
        latest = loop.lake.latest(table)
    except LakeError:
        return []  # told by the check
    if version < 0 or (latest is not None and latest.version >= version):
        return []
    there = "nothing" if latest is None else f"version {latest.version}"
    message = (
        f"version {version} was acknowledged, and {there} is there: restore the folder of this "
        "table from a copy, or build it anew with `lichen run NODE --full`"
    )
    return [Finding(node=table, rule="log", severity=Severity.block, message=message)]
