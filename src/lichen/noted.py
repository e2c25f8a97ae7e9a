"""What the ledger notes of a step: before it, what is intended; after it, what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import msgspec

from lichen.core.findings import as_json
from lichen.core.steps import AnyStep, Blocked, Build, Done, Failed, Land, Result, Seen, signature
from lichen.core.typed import typed
from lichen.ports.ledger import Record


def intended(
    step: AnyStep,
    before: Record | None,
    body: Mapping[str, Any],
    facts: Mapping[str, Any],
    tables: Sequence[str],
) -> dict[str, Any]:
    """Return the body of an intent: all that the record will be made of if the run dies."""
    whole = {
        **body,
        "signature": signature(step),
        "reason": step.reason,
        "facts": facts,
        "tables": list(tables),
        "commits": before.commits if before else {},
    }
    if isinstance(step, Land | Build):
        whole["answers"] = [request.id for request in step.requests]
    if isinstance(step, Land):
        whole["unlisted"] = step.unlisted
        whole["files"] = [*step.new, *step.changed, *step.again]
    return whole


def concluded(intent: Record, result: Result, seconds: float) -> Record:
    """Return the record of an intent and what came of it."""
    noted = msgspec.structs.replace(intent, seconds=seconds)
    match result:
        case Done():
            return msgspec.structs.replace(
                noted,
                state="done",
                facts=dict(result.facts),
                findings=[as_json(f) for f in result.findings],
                commits=dict(result.commits),
            )
        case Blocked():
            found = [as_json(f) for f in result.findings]
            return msgspec.structs.replace(noted, state="blocked", findings=found)
        case Failed():
            return msgspec.structs.replace(noted, state="failed", error=result.error)
        case _:
            assert_never(result)


def landed(record: Record) -> dict[str, Seen]:
    """Return the files that a source has landed once a record is done; none where it is not."""
    files = record.body.get("files", ()) if record.state == "done" else ()
    seen = [typed(file, Seen) for file in files]
    return {file.path: file for file in seen}
