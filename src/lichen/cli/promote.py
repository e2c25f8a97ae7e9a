"""`lichen promote`: publish in one target what was tried in another, without building it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lichen.cli.options import USUAL, Options
from lichen.cli.page import counted, emit, some, table

if TYPE_CHECKING:
    from lichen.ports.ledger import Record
    from lichen.targets.promotion import Change, Promotion


def promote(
    source: str,
    target: str,
    *,
    dry_run: Annotated[
        bool, Parameter(name="--dry-run", negative=(), help="Only show what would change.")
    ] = False,
    options: Options = USUAL,
) -> int:
    """Publish in one target what was tried in another: the same data and models, not built again.

    Where the target went on too, so that something of it would be lost, nothing is promoted.

    --json: {"from", "to", "publication", "changes": [{"node", "was", "becomes", "run", "rows",
    "metrics"}], "ahead": [node, …], "own": [node, …], "copied_bytes"}

    Parameters
    ----------
    source
        The target in which it was tried.
    target
        The target that is to publish it.
    """
    from lichen.targets.promotion import preview
    from lichen.targets.promotion import promote as carry_out

    loops = [replace(options, target=name).open() for name in (source, target)]
    found = preview(*loops) if dry_run else carry_out(*loops)
    if options.json:
        emit(_as_json(found, source, target))
    else:
        _tell(found, source, target)
    return 0


def _as_json(found: Promotion, source: str, target: str) -> dict[str, Any]:
    return {
        "from": source,
        "to": target,
        "publication": found.publication,
        "changes": [_change(change) for change in found.changes],
        "ahead": list(found.ahead),
        "own": list(found.own),
        "copied_bytes": found.copied,
    }


def _change(change: Change) -> dict[str, Any]:
    becomes = change.becomes
    return {
        "node": change.node,
        "was": change.was.sequence if change.was else None,
        "becomes": becomes.sequence,
        "run": becomes.run,
        "rows": becomes.facts.get("rows"),
        "metrics": becomes.facts.get("metrics"),
    }


def _tell(found: Promotion, source: str, target: str) -> None:
    if not found.changes:
        print(f"nothing to promote: {target} has all that {source} has")
    else:
        rows = [
            (c.node, str(c.was.sequence) if c.was else "", str(c.becomes.sequence), _effect(c))
            for c in found.changes
        ]
        table(("node", "was", "becomes", "of it"), rows, wide="of it")
        print()
    if found.ahead:
        print(f"ahead in {target}, and left as they are: {some(found.ahead)}")
    if found.own:
        print(f"{target}'s own, as said by its services: {some(found.own)}")
    if found.publication is not None:
        print(f"{counted(len(found.changes), 'node')} published in {target}")
        if found.copied:
            print(f"{found.copied:,} bytes were copied, since the two lie on two file systems")
    elif found.changes:
        print(f"next: lichen promote {source} {target}")


def _effect(change: Change) -> str:
    before = change.was.facts if change.was else {}
    after = change.becomes.facts
    if "metrics" in after:
        name = after["metric"]
        values = [_metric(facts, name) for facts in (before, after)]
        return f"{name} {' → '.join(v for v in values if v)}"
    if "rows" in after:
        return f"{_rows(change.was)}{after['rows']:,} versions of rows"
    return str(after.get("reason", ""))


def _rows(was: Record | None) -> str:
    return f"{was.facts['rows']:,} → " if was is not None and "rows" in was.facts else ""


def _metric(facts: dict[str, Any], name: str) -> str:
    found = facts.get("metrics", {}).get(name)
    return f"{found['value']:.4f}" if found else ""
