"""Everything that is known of one node, as plain values: what `show` prints and `--json` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlglot import exp

from lichen.core import graph
from lichen.core.contract.spec import Contract, Rule
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel, text
from lichen.core.time import Instant, iso, short
from lichen.core.versions import current, ordered
from lichen.declared import Project
from lichen.ports.ledger import Record, State
from lichen.prints import Node
from lichen.readers.query import Library
from lichen.readers.summary import LiveOf, doing
from lichen.readers.values import plain
from lichen.stages.features.spec import Features
from lichen.stages.models.run import model_folder
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.spec import Service
from lichen.stages.sources.spec import Source
from lichen.stages.tables.function import Function
from lichen.stages.tables.spec import Table

EXAMPLES = 3  # rows shown of each rule that holds rows back


def show(
    name: Name, library: Library, state: State, at: Instant, live_of: LiveOf, *, rows: int = 0
) -> dict[str, Any]:
    """Return what is declared of a node, what its last published version is, and how it stands."""
    project, node = library.project, library.project.nodes.get(name)
    record = library.shelf.records.get(str(name))
    told: dict[str, Any] = {
        "node": str(name),
        "kind": name.kind.value,
        "file": _file(node, project),
        "inputs": [_input(read, record) for read in project.reads[name]],
        "downstream": [str(n) for n in graph.downstream(project.reads, name)],
        **_standing(name, project, state, record),
        "settings": _settings(node, project.root) if node is not None else {},
    }
    match node:
        case Features() | Outcome():
            told["columns"] = list(project.columns[name])
        case Model():
            told |= {**_made(record), "card": _card(name, record, library)}
        case Service():
            told |= _made(record)
            told |= doing(node, project, library.shelf.records, live_of)
        case _:
            told |= _stored(name, node, library, at, rows)
    if isinstance(node, Table):
        told["lineage"] = "row" if node.function is None else "table"
    return told


def _file(node: Node | None, project: Project) -> str | None:
    return node.where.path.relative_to(project.root).as_posix() if node is not None else None


def _input(read: Name, record: Record | None) -> dict[str, Any]:
    used: Mapping[str, Any] = record.facts.get("inputs", {}) if record is not None else {}
    return {"node": str(read), "version": used.get(str(read))}


def _standing(name: Name, project: Project, state: State, record: Record | None) -> dict[str, Any]:
    """A node whose last attempt came to nothing, or that reads such a node, is stale."""
    tried = state.tried.get(str(name))
    above = sorted(str(n) for n in graph.upstream(project.reads, name) if str(n) in state.tried)
    if record is None:
        stands = "never built"
    else:
        stands = "stale" if tried is not None or above else "current"
    return {
        "state": stands,
        "version": record.sequence if record else None,
        "now": iso(record.now) if record else None,
        "run": record.run if record else None,
        "stale_because_of": above,
        "last_attempt": _attempt(tried) if tried is not None else None,
    }


def _attempt(tried: Record) -> dict[str, Any]:
    error = tried.error.partition("\nTraceback")[0] if tried.error else None
    return {
        "state": tried.state,
        "now": iso(tried.now),
        "error": error,
        "findings": [dict(f) for f in tried.findings],
    }


def _stored(
    name: Name, node: Node | None, library: Library, at: Instant, rows: int
) -> dict[str, Any]:
    contract = node.contract if isinstance(node, Source | Table) else None
    record = library.shelf.records.get(str(name))
    if record is None:
        columns = [{"name": c, "type": None} for c in library.project.columns[name]]
        return {"rows": 0, "versions": 0, "schema": columns, "contract": _contract(contract, ())}
    now = current(library.shelf.versions(str(name)), lit(at))
    count = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(now.subquery("c"))
    relations = library.shelf.relations([str(name)])
    told: dict[str, Any] = {
        "rows": int(library.engine.rows(count, relations)[0]["n"]),
        "versions": int(record.facts["rows"]),
        "schema": [{"name": c, "type": t} for c, t in record.facts["columns"] if c[0] != "_"],
        "contract": _contract(contract, record.findings),
        "findings": [dict(f) for f in record.findings],
        "quarantine": _quarantine(record, library),
    }
    if rows:
        told["current"] = _current(record, library, now, rows)
    return told


def _contract(
    contract: Contract | None, found: Iterable[Mapping[str, Any]]
) -> dict[str, Any] | None:
    if contract is None:
        return None
    broken = {f["rule"]: f for f in found}
    return {
        "file": contract.path.name,
        "version": contract.version,
        "rules": [_rule(rule, broken.get(rule.id)) for rule in contract.rules],
        "not_checked": list(contract.unjudged),
    }


def _rule(rule: Rule, finding: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "kind": rule.kind,
        "severity": rule.severity.value,
        "kept": finding is None,
        "count": finding["count"] if finding else 0,
        "message": finding["message"] if finding else None,
    }


def _quarantine(record: Record, library: Library) -> dict[str, Any]:
    counts = {rule: int(n) for rule, n in record.facts.get("held_back", {}).items()}
    examples = _examples(record, library) if counts else []
    return {"rows": sum(counts.values()), "rules": counts, "examples": examples}


def _examples(record: Record, library: Library) -> list[dict[str, Any]]:
    """The first rows of each rule, with the reason and the values, or the bytes that came."""
    stored = [name for name, _ in record.facts["columns"]]
    users = [name for name in stored if not name.startswith("_")]
    place = [n for n in ("_file", "_line") if n in stored]
    rank = exp.Window(
        this=exp.RowNumber(), partition_by=[col("rule")], order=ordered("_row", "_file", "_line")
    )
    open_ = library.shelf.held_back(record.node).subquery("o")
    verdicts = exp.select("*", exp.alias_(rank, "_rank")).from_(open_)
    names = [col(n, "v") for n in ("rule", "reason", "raw")]
    places = [exp.alias_(exp.func("coalesce", col(n, "v"), col(n, "s")), n) for n in place]
    query = (
        exp.select(*names, *places, col("_row", "v"), *(exp.alias_(col(n, "s"), n) for n in users))
        .from_(verdicts.subquery("v"))
        .join(
            rel(record.node, "s"),
            on=exp.EQ(this=col("_row", "v"), expression=col("_row", "s")),
            join_type="left",
        )
        .where(exp.LTE(this=col("_rank", "v"), expression=lit(EXAMPLES)))
        .order_by(col("rule", "v"), col("_rank", "v"))
    )
    found = library.engine.rows(query, library.shelf.relations([record.node]))
    return [_example(row, users) for row in found]


def _example(row: Mapping[str, Any], users: Sequence[str]) -> dict[str, Any]:
    values = {name: plain(row[name]) for name in users} if row["_row"] is not None else None
    return {
        "rule": row["rule"],
        "reason": row["reason"],
        "file": row.get("_file"),
        "line": row.get("_line"),
        "row": values,
        "raw": plain(row["raw"]),
    }


def _current(record: Record, library: Library, now: exp.Select, rows: int) -> list[dict[str, Any]]:
    users = [name for name, _ in record.facts["columns"] if not name.startswith("_")]
    query = exp.select(*map(col, users)).from_(now.subquery("c")).order_by(col("_row")).limit(rows)
    found = library.engine.rows(query, library.shelf.relations([record.node]))
    return [{name: plain(value) for name, value in row.items()} for row in found]


def _card(name: Name, record: Record | None, library: Library) -> str | None:
    if record is None:
        return None
    return str(model_folder(library.folder, name.name, record.sequence) / "card.md")


def _made(record: Record | None) -> dict[str, Any]:
    """What training or the gate recorded, key by key."""
    if record is None:
        return {}
    kept = ("seen", "leaves", "inputs", "columns")
    facts = {key: plain(value) for key, value in record.facts.items() if key not in kept}
    return {**facts, "findings": [dict(f) for f in record.findings], "seconds": record.seconds}


def _settings(node: Node, root: Path) -> dict[str, Any]:
    fields = (f.name for f in dataclasses.fields(node))
    left_out = ("name", "where", "select", "text", "contract", "lines")
    values = {f: getattr(node, f) for f in fields if f not in left_out}
    return {
        f: v.relative_to(root).as_posix() if isinstance(v, Path) else _spelled(v)
        for f, v in values.items()
    }


def _spelled(value: Any) -> Any:
    match value:
        case exp.Expr():
            return text(value)
        case timedelta():
            return short(value)
        case Name():
            return str(value)
        case Function():
            return value.name
        case tuple() | frozenset() | list():
            items = sorted(value) if isinstance(value, frozenset) else value
            return [_spelled(item) for item in items]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
            return {name: _spelled(item) for name, item in fields}
        case _:
            return plain(value) if isinstance(value, _PLAIN) else str(value)


_PLAIN = (str, int, float, bool, datetime, type(None))
