"""Staged rows against their contract: one fused scan, then verdicts for the rows that break it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import TABLE_KINDS, Contract, Rule, names_read, rules_of
from lichen.core.contract.types import INTEGERS
from lichen.core.errors import TableError, Where
from lichen.core.findings import Finding, Severity
from lichen.core.sql import col, lit, rel
from lichen.core.time import iso
from lichen.core.versions import current, ordered, present, stored, unsaid
from lichen.ports.engine import Scan
from lichen.ports.lake import Staged
from lichen.stages.context import NOW, VERDICTS, WITHDRAWN, Context, released_table, verdict_table


@dataclass(frozen=True)
class Judgement:
    """What the scan found, and the staged verdicts on single rows (None when there are none)."""

    findings: tuple[Finding, ...]
    verdicts: Staged | None
    held_back: Mapping[str, int]  # rule → rows

    @property
    def blocks(self) -> bool:
        """Return whether a rule says that nothing of this may be committed."""
        return any(f.severity is Severity.block for f in self.findings)

    def adding(self, found: Sequence[Finding]) -> Judgement:
        """Return the judgement with findings of another kind."""
        return dataclasses.replace(self, findings=(*self.findings, *found))


STANDS = "_stands"  # the judged rows' column that is true for a key's newest version
NOTHING_FOUND = Judgement((), None, {})
Unreadable = Sequence[tuple[str, Any]]  # a file and its rejects: an Arrow table


def judge(
    contract: Contract | None,
    node: str,
    scan: Scan,
    ctx: Context,
    *,
    everything: bool,
    copied: bool = False,
    unreadable: Unreadable = (),
    placed: bool = False,
    read: Sequence[str] = (),
) -> Judgement:
    """Judge rows; `everything` says that they are all rows of the node, and not just new ones.

    The verdicts are then the whole of the node's verdicts, with the records that did not parse
    before, but for those of the files that were `read` again. `unreadable` holds, by file, those
    that do not parse now: each becomes a verdict of its own, so that its bytes are kept; `placed`
    says that the place of each is its own for good. `copied`
    says that the rows may hold some that were written because a person released others: these are
    withdrawn, for they are written anew.
    """
    record = ctx.shelf.records.get(node)
    judged = record is not None and verdict_table(node) in record.commits
    relations: dict[str, Any] = {"_staged_rows": scan}
    relations |= ctx.shelf.relations([node]) if judged else {}
    parts = [_kept(node, read)] if judged and everything else []
    copies = released_table(node) if everything and copied and record is not None else ""
    copies = copies if record is not None and copies in record.commits else ""
    if contract is None:
        return _judgement((), parts, relations, node, ctx)
    if copies:
        parts.append(_verdict_rows(_withdrawn(copies, node), ctx))
    found = _scanned(contract, node, scan, ctx, relations, everything=everything, copies=copies)
    if any(f.severity is Severity.block for f in found):
        return Judgement(found, None, {})
    if any(f.severity is Severity.quarantine for f in found):
        broken = [f.rule for f in found]
        rows, refs = _rows(scan, node, copies), _references(contract, ctx, relations)
        verdicts = compile_verdicts(contract, rows, refs=refs, only=broken)
        held = exp.select(*(col(c) for c in ("_row", "rule", "reason"))).from_(
            verdicts.subquery("v")
        )
        parts.append(_verdict_rows(held, ctx))
    for index, (file, rejects) in enumerate(unreadable):
        relations[f"_unreadable_{index}"] = rejects
        found_here = _unreadable_rows(f"_unreadable_{index}", file, ctx)
        new = judged and not everything
        parts.append(_not_yet_kept(found_here, node, placed=placed) if new else found_here)
    if unreadable:
        found = (*found, _unreadable_finding(node, unreadable))
    return _judgement(found, parts, relations, node, ctx)


def among(rule: Rule, *columns: str) -> Rule:
    """Return a unique rule for rows that stand, and that have the same values in more columns.

    A key has many versions; only its newest among the judged rows can repeat another key's value.
    """
    words = rule.column or ", ".join(rule.columns)
    return dataclasses.replace(rule, column=words, columns=(*rule.columns, *columns, STANDS))


def stands() -> exp.Expr:
    """Return the column that is true for the newest of the judged rows of a key."""
    later = exp.Window(
        this=exp.Lead(this=col("_row")), partition_by=[col("_key")], order=ordered("_row")
    )
    return exp.alias_(exp.case().when(later.is_(exp.null()), exp.true()), STANDS)


def _judgement(
    found: tuple[Finding, ...],
    parts: Sequence[exp.Select],
    relations: Mapping[str, Any],
    node: str,
    ctx: Context,
) -> Judgement:
    if not parts:
        return Judgement(found, None, {})
    union = parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)
    values = {"now": iso(ctx.now)}
    verdict = ctx.engine.write(union, relations, ctx.lake.stage(verdict_table(node)), values)
    return Judgement(found, verdict, _by_rule(verdict, ctx))


def _scanned(
    contract: Contract,
    node: str,
    scan: Scan,
    ctx: Context,
    relations: dict[str, Any],
    *,
    everything: bool,
    copies: str,
) -> tuple[Finding, ...]:
    """Run the fused scan. The earlier rows are read only where a table rule may need them.

    A table is no older than its new rows: while these are fresh, the others need not be asked.
    """
    refs = _references(contract, ctx, relations)
    shapes = [ctx.shelf.shape(ctx.resolve(name)) for name in refs]
    kinds = {rule.kind for rule in contract.rules} & TABLE_KINDS
    there = bool(kinds) and node in ctx.shelf.records and not everything

    def look(earlier: Sequence[exp.Query]) -> tuple[Finding, ...]:
        key = ("scan", node, rules_of(contract), scan.columns, bool(earlier), copies, *shapes)
        query = ctx.prepared(
            key,
            lambda: compile_scan(
                contract,
                _rows(scan, node, copies),
                whole=_whole(scan, earlier),
                refs=refs,
                now=NOW,
                integers=[column.name for column in scan.columns if column.type in INTEGERS],
            ),
        )
        (measured,) = ctx.engine.rows(query, relations, {"now": iso(ctx.now)})
        return findings(contract, node, measured)

    if not there:
        return look(())
    if kinds == {"freshness"}:
        found = look(())
        old = {rule.id for rule in contract.rules if rule.kind == "freshness"}
        if not any(finding.rule in old for finding in found):
            return found
    relations |= ctx.shelf.relations([node])
    shapes.append(ctx.shelf.shape(node))
    return look([unsaid(ctx.shelf.versions(node))])


def _rows(scan: Scan, node: str, copies: str) -> exp.Select:
    users = (col(c.name) for c in scan.columns)
    rows = exp.select(*users, stands()).from_(rel("_staged_rows"))
    if not copies:
        return rows
    return rows.where(exp.not_(col("_row").isin(query=written(copies, node))))


def written(copies: str, node: str) -> exp.Query:
    """The rows that were written because a person released others, and those withdrawn since."""
    stands = exp.select(exp.alias_(col("_as"), "_row")).from_(rel(copies)).where(present("_as"))
    before = exp.select(col("_row")).from_(rel(verdict_table(node)))
    return exp.union(stands, before.where(col("rule").eq(lit(WITHDRAWN))))


def _withdrawn(copies: str, node: str) -> exp.Select:
    """Verdicts on all of them: where everything is judged again they are written anew."""
    rows = exp.select(
        col("_row"),
        exp.alias_(lit(WITHDRAWN), "rule"),
        exp.alias_(lit("everything was judged again"), "reason"),
    )
    return rows.from_(written(copies, node).subquery("w"))


def _references(
    contract: Contract, ctx: Context, relations: dict[str, Any]
) -> dict[str, exp.Query]:
    """Return the relations that rules look things up in, and add them to those of the query."""
    found: dict[str, exp.Query] = {}
    for name in names_read(contract):
        node = ctx.resolve(name)
        if node not in ctx.shelf.records:
            raise TableError(
                f"{contract.path.name} refers to {name!r}, which has no data yet",
                where=Where(contract.path),
                hint=f"run it first: lichen run +{node}",
            )
        relations.update(ctx.shelf.relations([node]))
        found[name] = current(ctx.shelf.versions(node), NOW)
    return found


def _whole(scan: Scan, earlier: Sequence[exp.Query]) -> exp.Query:
    """The node's current rows as they will be once the staged rows are there."""
    columns = [c.name for c in scan.columns if not c.name.startswith("_")]
    rows: exp.Select = stored("_staged_rows", columns)
    if earlier:
        names = rows.named_selects
        both = exp.union(rows, *earlier, distinct=False)
        rows = exp.select(*map(col, names)).from_(both.subquery("both"))
    return current(rows, NOW)


def _verdict_rows(held: exp.Select, ctx: Context) -> exp.Select:
    nothing = {"_file": "varchar", "_line": "bigint", "raw": "blob"}
    return exp.select(
        col("_row"),
        col("rule"),
        col("reason"),
        exp.alias_(lit(ctx.now), "_arrived_at"),
        *(exp.alias_(exp.cast(exp.null(), type_), name) for name, type_ in nothing.items()),
    ).from_(held.subquery("h"))


def _unreadable_rows(name: str, file: str, ctx: Context) -> exp.Select:
    return exp.select(
        exp.alias_(exp.cast(exp.null(), "bigint"), "_row"),
        exp.alias_(lit("unreadable"), "rule"),
        col("reason"),
        exp.alias_(lit(ctx.now), "_arrived_at"),
        exp.alias_(lit(file), "_file"),
        col("_line"),
        col("raw"),
    ).from_(rel(name))


def _kept(node: str, read: Sequence[str] = ()) -> exp.Select:
    """The records that did not parse before: they are no rows, and no rule speaks of them."""
    columns = [col(column.name) for column in VERDICTS]
    kept = exp.select(*columns).from_(rel(verdict_table(node))).where(col("_row").is_(exp.null()))
    return kept.where(exp.not_(col("_file").isin(*map(lit, read)))) if read else kept


def _not_yet_kept(rows: exp.Select, node: str, *, placed: bool) -> exp.Select:
    """What is read again brings again what did not parse before.

    A line of a file may have moved meanwhile; a record of a stream has its place for good.
    """
    names = ("_file", "_line", "raw") if placed else ("_file", "raw")
    same = exp.and_(*(col(c, "u").eq(col(c, "k")) for c in names))
    return (
        exp.select(*(col(c.name, "u") for c in VERDICTS))
        .from_(rows.subquery("u"))
        .join(_kept(node).subquery("k"), on=same, join_type="anti")
    )


def _unreadable_finding(node: str, unreadable: Unreadable) -> Finding:
    """Say how many records do not parse, and how many files: these have no lines."""
    count = sum(rejects.num_rows for _, rejects in unreadable)
    files = sum(rejects.column("_line").null_count for _, rejects in unreadable)
    records = count - files
    told = []
    if records:
        does = "record does" if records == 1 else "records do"
        told.append(f"{records:,} {does} not parse; the bytes are kept")
    if files:
        told.append(f"{files:,} {'file' if files == 1 else 'files'} cannot be read")
    return Finding(
        node=node,
        rule="unreadable",
        severity=Severity.quarantine,
        message=", and ".join(told),
        count=count,
        measured=float(count),
    )


def _by_rule(verdict: Staged, ctx: Context) -> dict[str, int]:
    query = (
        exp.select(col("rule"), exp.alias_(exp.Count(this=exp.Star()), "n"))
        .from_(rel("_verdicts"))
        .group_by(col("rule"))
        .order_by(col("rule"))
    )
    found = ctx.engine.rows(query, {"_verdicts": Scan((verdict.path,), VERDICTS)})
    return {row["rule"]: int(row["n"]) for row in found}
