"""What two targets publish, compared by node: definitions, columns, rows, metrics of models."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit
from lichen.core.time import Instant
from lichen.core.versions import current
from lichen.ports.engine import Engine, Scan
from lichen.ports.ledger import Record
from lichen.readers.values import plain
from lichen.stages.context import Shelf

SAME, DIFFERS, LEFT, RIGHT = "same", "differs", "only_left", "only_right"


@dataclass(frozen=True)
class Side:
    """A target: its name, what it publishes, and its clock."""

    target: str
    shelf: Shelf
    now: Instant


def diff_targets(
    left: Side, right: Side, engine: Engine, *, nodes: Sequence[str] = (), rows: int = 0
) -> dict[str, Any]:
    """Return how two targets differ; with `rows`, the rows that do by key, and so many examples."""
    every = {**left.shelf.records, **right.shelf.records}
    meant = [node for node in sorted(every, key=_place) if not nodes or node in nodes]
    return {
        "left": left.target,
        "right": right.target,
        "nodes": [_node(node, left, right, engine, rows) for node in meant],
    }


def _place(node: str) -> tuple[int, str]:
    """From source to service, as data flows."""
    return list(Kind).index(Name.parse(node).kind), node


def _node(node: str, left: Side, right: Side, engine: Engine, rows: int) -> dict[str, Any]:
    ours, theirs = (side.shelf.records.get(node) for side in (left, right))
    told: dict[str, Any] = {"node": node, "state": _state(ours, theirs)}
    told["versions"] = {"left": _version(ours), "right": _version(theirs)}
    if told["state"] == SAME:
        return told
    told["definition"] = _definition(ours, theirs)
    either = ours or theirs
    assert either is not None
    if either.facts.get("columns"):
        told["columns"] = _columns(ours, theirs)
        told["rows"] = {
            "left": _count(node, left, engine) if ours else None,
            "right": _count(node, right, engine) if theirs else None,
        }
        if rows and ours and theirs:
            told["changed_rows"] = _changed_rows(node, left, right, engine, rows)
    if "metrics" in either.facts:
        told["metrics"] = _metrics(ours, theirs)
    return told


def _state(ours: Record | None, theirs: Record | None) -> str:
    if ours is None:
        return RIGHT
    if theirs is None:
        return LEFT
    same = (ours.run, ours.sequence) == (theirs.run, theirs.sequence)
    return SAME if same else DIFFERS


def _version(record: Record | None) -> dict[str, Any] | None:
    return {"version": record.sequence, "run": record.run} if record is not None else None


def _definition(ours: Record | None, theirs: Record | None) -> dict[str, Any] | None:
    """Return what differs in a definition, None where it is the same on both sides."""
    one, two = (record.body if record is not None else {} for record in (ours, theirs))
    if ours and theirs and all(one.get(k) == two.get(k) for k in ("fingerprint", "rules")):
        return None
    here, there = one.get("columns") or {}, two.get("columns") or {}
    old, new = (str(body.get("definition") or "").splitlines() for body in (two, one))
    return {
        "rows": one.get("rows") != two.get("rows"),
        "rules": one.get("rules") != two.get("rules"),
        "columns": {
            LEFT: [c for c in here if c not in there],
            RIGHT: [c for c in there if c not in here],
            DIFFERS: [c for c in here if c in there and here[c] != there[c]],
        },
        "sql": list(difflib.unified_diff(old, new, lineterm="", n=2))[2:],
    }


def _columns(ours: Record | None, theirs: Record | None) -> dict[str, Any]:
    here, there = _types(ours), _types(theirs)
    return {
        LEFT: [c for c in here if c not in there],
        RIGHT: [c for c in there if c not in here],
        DIFFERS: {
            c: {"left": here[c], "right": there[c]}
            for c in here
            if c in there and here[c] != there[c]
        },
    }


def _types(record: Record | None) -> dict[str, str]:
    columns = record.facts["columns"] if record is not None else ()
    return {name: type_ for name, type_ in columns if not name.startswith("_")}


def _count(node: str, side: Side, engine: Engine) -> int:
    """Return how many rows are current."""
    held = current(side.shelf.versions(node), lit(side.now))
    count = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(held.subquery("h"))
    return int(engine.rows(count, side.shelf.relations([node]))[0]["n"])


def _changed_rows(node: str, left: Side, right: Side, engine: Engine, most: int) -> dict[str, Any]:
    """Return how many current rows differ by key, in the columns of both, with some examples."""
    here, there = _types(left.shelf.records[node]), _types(right.shelf.records[node])
    common = [c for c in here if c in there]
    both, relations = _joined(node, left, right, common)
    unlike = [_unlike(c, same=here[c] == there[c]) for c in common]
    states = {
        LEFT: col("_key", "r").is_(exp.null()),
        RIGHT: col("_key", "l").is_(exp.null()),
        DIFFERS: exp.and_(
            exp.EQ(this=col("_key", "l"), expression=col("_key", "r")),
            exp.or_(*unlike) if unlike else exp.false(),
        ),
    }
    counts = [exp.alias_(exp.CountIf(this=tree.copy()), state) for state, tree in states.items()]
    (told,) = engine.rows(both.copy().select(*counts), relations)
    key = exp.func("coalesce", col("_key", "l"), col("_key", "r"))
    values = [
        exp.alias_(col(c, side), f"{side}{i}", quoted=True)
        for side in "lr"
        for i, c in enumerate(common)
    ]
    which = exp.case()
    for state, tree in states.items():
        which = which.when(tree.copy(), lit(state))
    examples = (
        both.select(exp.alias_(key, "_key"), exp.alias_(which, "_state"), *values)
        .where(exp.or_(*(tree.copy() for tree in states.values())))
        .order_by("_key")
        .limit(most)
    )
    rows = engine.rows(examples, relations)
    return {
        **{state: int(n or 0) for state, n in told.items()},
        "examples": [_example(r, common) for r in rows],
    }


def _joined(
    node: str, left: Side, right: Side, columns: Sequence[str]
) -> tuple[exp.Select, dict[str, Scan]]:
    """Return the current rows of both sides, joined by key, as `l` and `r`."""
    sides: list[exp.Subquery] = []
    relations: dict[str, Scan] = {}
    for name, side in (("l", left), ("r", right)):
        stored = side.shelf.relations([node])
        held = current(side.shelf.versions(node), lit(side.now))
        for table in held.find_all(exp.Table):
            if table.name in stored:
                table.set("this", exp.to_identifier(f"{name}:{table.name}", quoted=True))
        relations |= {f"{name}:{each}": scan for each, scan in stored.items()}
        kept = exp.select(*map(col, ("_key", *columns))).from_(held.subquery("h"))
        sides.append(kept.subquery(name))
    on = exp.EQ(this=col("_key", "l"), expression=col("_key", "r"))
    return exp.Select().from_(sides[0]).join(sides[1], on=on, join_type="full"), relations


def _unlike(column: str, *, same: bool) -> exp.Expr:
    one, two = col(column, "l"), col(column, "r")
    if same:
        return exp.NullSafeNEQ(this=one, expression=two)
    written = [exp.cast(value, "varchar") for value in (one, two)]  # two types: as they are written
    return exp.NullSafeNEQ(this=written[0], expression=written[1])


def _example(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    sides = {
        side: {c: plain(row[f"{letter}{i}"]) for i, c in enumerate(columns)}
        for side, letter in (("left", "l"), ("right", "r"))
    }
    if row["_state"] == DIFFERS:
        apart = [c for c in columns if sides["left"][c] != sides["right"][c]]
        sides = {side: {c: values[c] for c in apart} for side, values in sides.items()}
    told: dict[str, Any] = {"key": row["_key"], "state": row["_state"]}
    return told | {
        s: v for s, v in sides.items() if f"only_{s}" == row["_state"] or row["_state"] == DIFFERS
    }


def _metrics(ours: Record | None, theirs: Record | None) -> dict[str, Any]:
    found = [record.facts.get("metrics", {}) if record else {} for record in (ours, theirs)]
    names = dict.fromkeys(name for metrics in found for name in metrics)
    return {
        name: {
            side: metrics.get(name) for side, metrics in zip(("left", "right"), found, strict=True)
        }
        for name in names
    }
