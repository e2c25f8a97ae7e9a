"""Landing: files become row versions in an append-only table, exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.columns import check_columns
from lichen.core.contract.impose import impose
from lichen.core.contract.spec import Contract, Rule
from lichen.core.errors import SourceError, TableError, Where
from lichen.core.sql import lit, rel
from lichen.core.steps import Blocked, Land, Result
from lichen.ports.engine import Scan
from lichen.ports.lake import Staged
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import Context
from lichen.stages.judge import Unreadable, judge
from lichen.stages.sources.land import fresh, incoming, numbered
from lichen.stages.sources.spec import Source


def land(step: Land, source: Source, ctx: Context) -> Result:
    """Land the new and changed files of a step; bad rows are held back, nothing is lost.

    A row that says nothing new does not become a version. A table rule that is broken blocks the
    whole landing before anything is committed. Where the contract's rules changed, all rows are
    judged again.
    """
    record = ctx.shelf.records.get(step.node)
    rejudge = record is not None and record.body["rules"] != step.rules and not step.replace
    staged, unreadable = _stage(step, source, ctx)
    scan = _to_judge(step.node, staged, ctx, everything=rejudge)
    before = not (step.replace or rejudge)
    contract = _once_a_file(source.contract)
    judgement = judge(contract, step.node, scan, ctx, before=before, unreadable=unreadable)
    if judgement.blocks:
        if staged is not None:
            staged.path.unlink()
        return Blocked(findings=judgement.findings)
    effect = Effect(
        staged=staged,
        judgement=judgement,
        leaves={step.node: step.sequence},
        replace=step.replace,
        rejudged=rejudge,
        facts={"files": len(step.new) + len(step.changed)},
    )
    return carry_out(step, effect, ctx, body={"fingerprint": step.fingerprint, "rules": step.rules})


def _stage(step: Land, source: Source, ctx: Context) -> tuple[Staged | None, Unreadable]:
    """Write the new versions to a file beside the table; None when no file is to be read."""
    if not step.new and not step.changed:
        return None, ()
    relations, rows, unreadable = _parsed(step, source, ctx)
    users = tuple(c.name for c in source.contract.columns)
    columns = ("_key", "_file", "_line", "_raw", *users)
    stored = _stored(step, source, relations, ctx)
    versions = fresh(source, columns, incoming(source, rows), stored, ctx.now)
    query = numbered(versions, ("_raw", *users), step.sequence, ctx.now)
    return ctx.engine.write(query, relations, ctx.lake.stage(step.node)), unreadable


def _parsed(
    step: Land, source: Source, ctx: Context
) -> tuple[dict[str, Any], exp.Query, Unreadable]:
    """Parse the files; returns relations, the query of the imposed rows, and what did not parse."""
    relations: dict[str, Any] = {}
    parts: list[exp.Query] = []
    unreadable = []
    for index, seen in enumerate((*step.new, *step.changed)):
        ctx.progress(seen.path)
        records = ctx.engine.csv(ctx.root / seen.path)
        _check_header(source, records.rows.column_names, Where(ctx.root / seen.path, 1))
        name = f"_file_{index}"
        relations[name] = records.rows
        tagged = exp.select("*", exp.alias_(lit(seen.path), "_file")).from_(rel(name))
        parts.append(impose(source.contract, tagged, keep=("_file", "_line")))
        if records.rejects.num_rows:
            unreadable.append((seen.path, records.rejects))
    paths = Array([seen.path for seen in step.changed], DataType.utf8())
    relations["changed"] = Table.from_pydict({"path": paths})
    union = parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)
    return relations, union, tuple(unreadable)


def _check_header(source: Source, names: Sequence[str], header: Where) -> None:
    try:
        check_columns(source.contract, names)
    except TableError as error:
        promised = f"{error.what}, which {source.contract.path.name} promises"
        raise SourceError(
            promised, where=header, allowed=error.allowed, given=error.given, hint=error.hint
        ) from error


def _stored(step: Land, source: Source, relations: dict[str, Any], ctx: Context) -> exp.Select:
    """What is there already, the rows that are held back included: a repeat is no news."""
    users = [(c.name, c.type) for c in source.contract.columns]
    if step.node in ctx.shelf.records and not step.replace:
        scan = ctx.shelf.relations([step.node])[step.node]
        relations[step.node] = scan
        return exp.select("*").from_(rel(step.node))
    own = {
        "_row": "bigint", "_key": "varchar", "_known_at": "timestamptz", "_deleted": "boolean",
        "_file": "varchar", "_line": "bigint", "_raw": "varchar",
    }  # fmt: skip
    nothing = [
        exp.alias_(exp.cast(exp.null(), type_, dialect="duckdb"), name, quoted=True)
        for name, type_ in (*own.items(), *users)
    ]
    return exp.select(*nothing).where(exp.false())


def _once_a_file(contract: Contract) -> Contract:
    """A key stands once in a file; the same key in a later file is a correction, not a repeat."""
    rules = (
        dataclasses.replace(rule, column=_words(rule), columns=(*rule.columns, "_file"))
        if rule.kind == "unique"
        else rule
        for rule in contract.rules
    )
    return dataclasses.replace(contract, rules=tuple(rules))


def _words(rule: Rule) -> str:
    return rule.column or ", ".join(rule.columns)


def _to_judge(node: str, staged: Staged | None, ctx: Context, *, everything: bool) -> Scan:
    earlier: Scan | None = None
    if everything or staged is None:
        earlier = ctx.shelf.relations([node])[node]
    files = (*(earlier.files if earlier else ()), *((staged.path,) if staged else ()))
    columns = staged.columns if staged else earlier.columns if earlier else ()
    return Scan(files, columns)
