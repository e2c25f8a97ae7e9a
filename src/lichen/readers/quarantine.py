"""What is held back: rows by rule with examples, records that do not parse, what people decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlglot import exp

from lichen.core.errors import QuarantineError
from lichen.core.names import Kind
from lichen.core.sql import col, lit, rel
from lichen.core.steps import Release, Replay
from lichen.core.time import wall
from lichen.core.versions import ordered, present
from lichen.ports.engine import Engine
from lichen.ports.ledger import Ledger, Record
from lichen.readers.opened import Opened
from lichen.readers.values import plain
from lichen.stages.context import Shelf, released_table, verdict_table

UNREADABLE = "unreadable"


class Asked(NamedTuple):
    """A request that was written down, and how many rows it is about."""

    request: int
    node: str
    rows: int


def held(opened: Opened, node: str | None, *, examples: int) -> dict[str, Any]:
    """Return what is held back of one node, or of each that holds anything back."""
    shelf = Shelf(opened.published(), opened.lake)
    named = [opened.project.node(node)] if node is not None else sorted(opened.project.nodes)
    nodes = []
    for name in named:
        record = shelf.records.get(str(name))
        if name.kind not in (Kind.source, Kind.table) or record is None:
            continue
        told = _of_node(_Held(record, shelf, opened.engine), opened.ledger, examples)
        if node is not None or told["rules"] or told["unreadable"] or told["requests"]:
            nodes.append(told)
    return {"nodes": nodes}


def release(
    opened: Opened, node: str, rule: str | None, rows: Sequence[int], who: str, why: str
) -> Asked:
    """Write a request down to release rows; raises QuarantineError for what is not held back."""
    there = _held(opened, node)
    name = there.record.node
    allowed = [each["rule"] for each in there.rules() if each["rows"]]
    if rule == UNREADABLE:
        raise QuarantineError(
            "records that do not parse are no rows, so there is nothing to release",
            allowed=allowed,
            hint=f"correct the file, or after a fix: lichen quarantine replay {name} --why TEXT",
        )
    if rule is None and not rows:
        raise QuarantineError(
            "say which rule's rows are good, or which rows",
            allowed=allowed,
            hint=f"lichen quarantine release {name} RULE --why TEXT",
        )
    if rule is not None and rule not in allowed:
        raise QuarantineError(
            f"no row of {name} is held back by {rule!r}", allowed=allowed, given=rule
        )
    request = Release(
        node=name,
        who=who,
        why=_reason(why, name),
        at=wall(),
        last=((there.record.sequence + 1) << 32) - 1,
        rule=rule,
        rows=tuple(rows),
    )
    count = _meant(request, there)
    return Asked(opened.ledger.ask(request), name, count)


def judge_again(opened: Opened, node: str, who: str, why: str) -> Asked:
    """Write a request down to judge again what is held back."""
    record = _held(opened, node).record
    count = sum(int(n) for n in record.facts.get("held_back", {}).values())
    request = Replay(node=record.node, who=who, why=_reason(why, record.node), at=wall())
    return Asked(opened.ledger.ask(request), record.node, count)


@dataclass(frozen=True)
class _Held:
    """A node that holds rows back, and how it is read."""

    record: Record
    shelf: Shelf
    engine: Engine

    def ask(self, query: exp.Query) -> Sequence[dict[str, Any]]:
        return self.engine.rows(query, self.shelf.relations([self.record.node]))

    def has(self, table: str) -> bool:
        return table in self.record.commits

    def open(self) -> exp.Select:
        """The verdicts that nobody lifted."""
        return self.shelf.held_back(self.record.node)

    def rules(self) -> list[dict[str, Any]]:
        """Each rule with the rows that it holds back, and those that were released of it."""
        node, counts, free = self.record.node, {}, {}
        by_rule = exp.select(col("rule"), exp.alias_(exp.Count(this=exp.Star()), "n"))
        if self.has(verdict_table(node)):
            rows = self.open().where(present("_row")).subquery("v")
            counts = _by_rule(self.ask(by_rule.from_(rows).group_by(col("rule"))))
        if self.has(released_table(node)):
            written = by_rule.from_(rel(released_table(node))).where(present("_as"))
            free = _by_rule(self.ask(written.group_by(col("rule"))))
        return [
            {"rule": rule, "rows": counts.get(rule, 0), "released": free.get(rule, 0)}
            for rule in sorted({*counts, *free})
        ]


def _by_rule(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {row["rule"]: int(row["n"]) for row in rows}


def _held(opened: Opened, node: str) -> _Held:
    name, records = str(opened.project.node(node)), opened.published()
    holding = sorted(n for n, r in records.items() if r.facts.get("held_back"))
    if name not in holding:
        hint = None if holding else "nothing of this project is in quarantine"
        raise QuarantineError(f"{name} holds nothing back", allowed=holding, hint=hint)
    return _Held(records[name], Shelf(records, opened.lake), opened.engine)


def _reason(why: str, node: str) -> str:
    if not why.strip():
        raise QuarantineError(
            f"say why: it is kept with the decision about {node}", hint="--why TEXT"
        )
    return why.strip()


def _meant(request: Release, there: _Held) -> int:
    """Count the rows that are meant; refuse row numbers that nothing holds back."""
    query = exp.select(col("_row")).distinct().from_(there.open().subquery("v"))
    query = query.where(present("_row"))
    if request.rule is not None:
        query = query.where(col("rule").eq(lit(request.rule)))
    rows = {int(row["_row"]) for row in there.ask(query)}
    wrong = sorted(set(request.rows) - rows)
    if wrong:
        by = f" by {request.rule}" if request.rule else ""
        raise QuarantineError(
            f"row {wrong[0]} of {request.node} is not held back{by}",
            hint=f"the numbers are those of: lichen quarantine list {request.node}",
        )
    return len(request.rows) or len(rows)


def _of_node(there: _Held, ledger: Ledger, examples: int) -> dict[str, Any]:
    node = there.record.node
    rows = _examples(there, examples) if there.has(verdict_table(node)) else []
    return {
        "node": node,
        "version": there.record.sequence,
        "rules": [
            {**each, "examples": [row for row in rows if row["rule"] == each["rule"]]}
            for each in there.rules()
        ],
        "unreadable": _unreadable(there, examples) if there.has(verdict_table(node)) else [],
        "requests": [_request(request, answer) for request, answer in ledger.asked(node)],
    }


def _examples(there: _Held, most: int) -> list[dict[str, Any]]:
    """The first rows of each rule, with the reason and the values."""
    record = there.record
    stored = [name for name, _ in record.facts["columns"]]
    users = [name for name in stored if not name.startswith("_")]
    rank = exp.Window(this=exp.RowNumber(), partition_by=[col("rule")], order=ordered("_row"))
    ranked = exp.select("*", exp.alias_(rank, "_rank")).from_(there.open().subquery("o"))
    query = (
        exp.select(*(col(n, "v") for n in ("rule", "reason", "_row")))
        .select(*(exp.alias_(col(n, "s"), n) for n in ("_key", "_known_at", *users)))
        .select(*(exp.alias_(col(n, "s"), n) for n in ("_file", "_line", "_raw") if n in stored))
        .from_(ranked.subquery("v"))
        .join(rel(record.node, "s"), on=col("_row", "v").eq(col("_row", "s")))
        .where(exp.LTE(this=col("_rank", "v"), expression=lit(most)))
        .order_by(col("rule", "v"), col("_rank", "v"))
    )
    found = there.ask(query)
    return [
        {
            "rule": row["rule"],
            "row": int(row["_row"]),
            "reason": row["reason"],
            "file": row.get("_file"),
            "line": row.get("_line"),
            "known_at": plain(row["_known_at"]),
            "values": {name: plain(row[name]) for name in users},
            "raw": row.get("_raw"),
        }
        for row in found
    ]


def _unreadable(there: _Held, most: int) -> list[dict[str, Any]]:
    query = (
        exp.select(*(col(n) for n in ("_file", "_line", "reason", "raw", "_arrived_at")))
        .from_(rel(verdict_table(there.record.node)))
        .where(col("_row").is_(exp.null()))
        .order_by(col("_file"), col("_line"))
        .limit(most)
    )
    found = there.ask(query)
    return [
        {
            "file": row["_file"],
            "line": row["_line"],
            "reason": row["reason"],
            "raw": plain(row["raw"]),
            "since": plain(row["_arrived_at"]),
        }
        for row in found
    ]


def _request(request: Release | Replay, answer: int | None) -> dict[str, Any]:
    told = dict(msgspec.to_builtins(request))
    kept = ("asks", "id", "who", "why", "at", "rule", "rows")
    return (
        {k: told.get(k) for k in kept}
        | {"rows": list(told.get("rows", ()))}
        | {"answered_by": answer}
    )
