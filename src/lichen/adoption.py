"""What a run that died left behind: its intent is concluded by what the lake holds of it."""

from __future__ import annotations

import msgspec

from lichen.core.steps import Done, Failed, Result
from lichen.noted import landed
from lichen.ports.lake import Lake
from lichen.ports.ledger import Ledger, Record


def adopt(intent: Record, ledger: Ledger, lake: Lake) -> Result:
    """Record a dead run's step as done if all that it meant to commit is there, else as failed.

    What it staged and did not commit is removed, and what it committed of its tables where others
    are missing: a stream that is read again may be cut another way, so that nothing of the first
    attempt fits.
    """
    commits: dict[str, tuple[int, int]] = dict(intent.body.get("commits", {}))
    tables, missing = intent.body.get("tables", ()), []
    before = {table: commits[table][1] if table in commits else -1 for table in tables}
    for table in tables:
        lake.mend(table, before[table])
    for table in tables:
        latest = lake.latest(table)
        if latest is not None and latest.sequence == intent.sequence:
            commits[table] = (latest.sequence, latest.version)
        else:
            missing.append(table)
    for table in tables if missing else ():
        lake.undo(table, before[table])
    for table in tables:
        lake.sweep(table)
    if missing or not tables:
        error = "its run died before the commit; the work is done again"
        ledger.conclude(msgspec.structs.replace(intent, state="failed", error=error))
        return Failed(error=error)
    done = msgspec.structs.replace(
        intent,
        state="done",
        facts=intent.body["facts"],
        findings=intent.body.get("findings", []),
        commits=commits,
    )
    ledger.conclude(done, landed(done))
    return Done(facts=done.facts, commits=commits)
