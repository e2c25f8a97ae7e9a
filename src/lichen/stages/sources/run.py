"""Landing: files become row versions in an append-only table, exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.columns import check_columns
from lichen.core.contract.impose import impose
from lichen.core.errors import LichenError, SourceError, TableError, Where
from lichen.core.findings import Finding, Severity
from lichen.core.pycode import code_fingerprint
from lichen.core.sql import col, given, rel
from lichen.core.steps import Blocked, Failed, Land, Result, Seen
from lichen.core.versions import WITHIN
from lichen.ports.engine import Relations, Scan, Values
from lichen.ports.lake import Staged
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import FIRST_ROW, NOW, Context, released_table
from lichen.stages.judge import NOTHING_FOUND, Unreadable, judge, written
from lichen.stages.release import Freed, release
from lichen.stages.sources.land import (
    as_told,
    extent,
    first,
    fresh,
    numbered,
    told,
    told_again,
)
from lichen.stages.sources.promises import promises
from lichen.stages.sources.retry import attempted
from lichen.stages.sources.spec import Source


def land(step: Land, source: Source, ctx: Context) -> Result:
    """Land the new and changed files of a step; bad rows are held back, nothing is lost.

    A row that says nothing new does not become a version. A table rule that is broken blocks the
    whole landing before anything is committed. Where the contract's rules changed, all rows are
    judged again. Where the definition did, all files are read again: rows keep the times at which
    they arrived, and what was corrected or deleted since then is no longer among them.
    """
    if step.unlisted is not None:
        return Failed(error=step.unlisted)
    if step.lost:
        return Blocked(findings=(_would_lose(step),))
    # A mistake in a file is told at once; what else fails while it is read may pass.
    landing = attempted(
        lambda: _stage(step, source, ctx),
        source.retries,
        lambda error: not isinstance(error, LichenError),
    )
    staged = landing.staged
    scan = _to_judge(step.node, staged, ctx, everything=step.rejudge)
    judgement = NOTHING_FOUND  # where people released rows, and nothing else is new
    if staged is not None or step.rejudge:
        judgement = judge(
            promises(source),
            step.node,
            scan,
            ctx,
            everything=step.replace or step.rejudge,
            copied=not step.replace,
            unreadable=landing.unreadable,
            read=[seen.path for seen in _files(step)],
        )
    if judgement.blocks:
        if staged is not None:
            staged.path.unlink()
        return Blocked(findings=judgement.findings)
    freed = release(step, staged, judgement, ctx)
    effect = Effect(
        staged=staged,
        judgement=judgement,
        freed=freed,
        seen={step.node: step.sequence},
        replace=step.replace,
        rejudge=step.rejudge,
        facts={
            "files": len(_files(step)),
            "firsts_from": _firsts_from(step, landing, freed, ctx),
            "torn": _torn(step, landing, ctx),
        },
    )
    prepared = code_fingerprint(source.prepare, ctx.root) if source.prepare else None
    body = {"fingerprint": step.fingerprint, "rules": step.rules, "prepare": prepared}
    return carry_out(step, effect, ctx, body=body)


def _files(step: Land) -> tuple[Seen, ...]:
    return (*step.new, *step.changed, *step.again)


def _would_lose(step: Land) -> Finding:
    some = ", ".join(step.lost[:3]) + (", …" if len(step.lost) > 3 else "")
    return Finding(
        node=step.node,
        rule="files",
        severity=Severity.block,
        message=f"the definition changed, so all files are read again, but {len(step.lost):,} that "
        f"were landed are gone ({some}): put them back, or undo the change",
        count=len(step.lost),
        measured=float(len(step.lost)),
    )


class _Landing(NamedTuple):
    """The staged versions, None when no file is to be read, and whether all keys are new."""

    staged: Staged | None = None
    unreadable: Unreadable = ()
    firsts: bool = True


def _stage(step: Land, source: Source, ctx: Context) -> _Landing:
    """Write the new versions to a file beside the table."""
    if not _files(step):
        return _Landing()
    relations, unreadable, names = _parsed(step, source, ctx)
    there = ctx.shelf.relations([step.node])[step.node] if step.node in ctx.shelf.records else None
    if there is not None:
        relations[step.node] = there
    if step.replace:
        relations["again"] = _paths(seen.path for seen in step.again)
        relations["copied"] = _copied(step, ctx)
    key = ("land", step.node, step.fingerprint, len(_files(step)))
    values = ctx.values(step, **names)
    said = ctx.prepared((*key, "told"), lambda: _told(step, source))
    relations["_told"] = ctx.engine.arrow(said, relations, values)
    extent_ = ctx.prepared(("land", "extent"), lambda: extent(_all_of("_told")))
    (ends,) = ctx.engine.rows(extent_, relations)
    twice, values = bool(ends.pop("repeats")), {**values, **ends}
    stored = there is not None and _touches(step, relations, values, ctx)
    kind = (stored, twice, step.replace, bool(step.changed), there.columns if there else None)
    query = ctx.prepared((*key, *kind), lambda: _versions(step, source, stored=stored, twice=twice))
    staged = ctx.engine.write(query, relations, ctx.lake.stage(step.node), values)
    return _Landing(staged, unreadable, firsts=not stored)


def _touches(step: Land, relations: Relations, values: Values, ctx: Context) -> bool:
    """Whether what is stored has a say in what is new. Most often all keys are new."""
    if step.replace or step.changed:
        return True
    some = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(rel(step.node))
    keys = exp.select("_key").from_(rel("_told"))
    query = ctx.prepared(
        ("land", step.node, "touches"), lambda: some.where(WITHIN, col("_key").isin(query=keys))
    )
    return bool(ctx.engine.rows(query, relations, values)[0]["n"])


def _torn(step: Land, landing: _Landing, ctx: Context) -> list[str]:
    """The files of which a record does not parse."""
    record = ctx.shelf.records.get(step.node)
    before = set(record.facts.get("torn", ())) if record is not None else set()
    read = {seen.path for seen in _files(step)}
    return sorted((before - read) | {path for path, _ in landing.unreadable})


def _firsts_from(step: Land, landing: _Landing, freed: Freed, ctx: Context) -> int:
    """The sequence from which on every row was the first of its key.

    Those who read the table need not look for what came before such a row.
    """
    record = ctx.shelf.records.get(step.node)
    if record is None:
        return step.sequence
    earlier = record.facts.get("firsts_from")
    firsts = landing.firsts and freed.rows is None
    return int(earlier) if firsts and earlier is not None else step.sequence + 1


def _told(step: Land, source: Source) -> exp.Query:
    """What the relations `_file_0`, `_file_1`, … say."""
    parts = [_imposed(source, index) for index in range(len(_files(step)))]
    rows = parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)
    return told(source, rows, NOW)


def _versions(step: Land, source: Source, *, stored: bool, twice: bool) -> exp.Query:
    """The new versions, from the relation `_told` and what is stored."""
    arrived = as_told(source, "_told")
    if not (stored or twice):
        return numbered(first(source, arrived), source, FIRST_ROW)
    held = _all_of(step.node) if stored else _nothing(source)
    if stored and step.replace:
        arrived, held = told_again(arrived, _as_they_were(held)), _nothing(source)
    new = fresh(source, arrived, held, NOW, changed=bool(step.changed))
    return numbered(new, source, FIRST_ROW)


def _imposed(source: Source, index: int) -> exp.Query:
    name = exp.alias_(given(f"file_{index}", "varchar"), "_file")
    tagged = exp.select("*", name).from_(rel(f"_file_{index}"))
    return impose(source.contract, tagged, keep=("_file", "_line"))


def _parsed(
    step: Land, source: Source, ctx: Context
) -> tuple[dict[str, Any], Unreadable, dict[str, str]]:
    """Parse the files; returns relations, what did not parse, and the files' names to be bound."""
    relations: dict[str, Any] = {}
    names: dict[str, str] = {}
    unreadable = []
    for index, seen in enumerate(_files(step)):
        ctx.progress(seen.path)
        records = ctx.engine.csv(ctx.root / seen.path)
        _check_header(source, records.rows.column_names, Where(ctx.root / seen.path, 1))
        relations[f"_file_{index}"] = records.rows
        names[f"file_{index}"] = seen.path
        if records.rejects.num_rows:
            unreadable.append((seen.path, records.rejects))
    # A row may be missing because it does not parse: then nothing of its file is known to be gone.
    torn = {path for path, _ in unreadable}
    relations["changed"] = _paths(seen.path for seen in step.changed if seen.path not in torn)
    return relations, tuple(unreadable), names


def _paths(paths: Iterable[str]) -> Table:
    return Table.from_pydict({"path": Array(list(paths), DataType.utf8())})


def _as_they_were(held: exp.Select) -> exp.Select:
    """The stored rows of the files that did not change."""
    unchanged = col("_file").isin(query=exp.select("path").from_("again"))
    copied = col("_row").isin(query=exp.select(col("_as")).from_("copied"))
    return held.where(unchanged, exp.not_(col("_deleted")), exp.not_(copied))


def _copied(step: Land, ctx: Context) -> Any:
    """The rows that were written because a person released others: no file told them."""
    table, record = released_table(step.node), ctx.shelf.records.get(step.node)
    if record is None or table not in record.commits:
        return Table.from_pydict({"_as": Array([], DataType.int64())})
    rows = written(table, step.node).subquery("w")
    copied = exp.select(exp.alias_(col("_row"), "_as")).from_(rows)
    return ctx.engine.arrow(copied, ctx.shelf.relations([step.node]))


def _check_header(source: Source, names: Sequence[str], header: Where) -> None:
    try:
        check_columns(source.contract, names)
    except TableError as error:
        promised = f"{error.what}, which {source.contract.path.name} promises"
        raise SourceError(
            promised, where=header, allowed=error.allowed, given=error.given, hint=error.hint
        ) from error


def _all_of(name: str) -> exp.Select:
    return exp.select("*").from_(rel(name))


def _nothing(source: Source) -> exp.Select:
    own = {
        "_row": "bigint", "_key": "varchar", "_known_at": "timestamptz",
        "_arrived_at": "timestamptz", "_deleted": "boolean", "_file": "varchar",
        "_line": "bigint", "_raw": "varchar",
    }  # fmt: skip
    users = [(c.name, c.type) for c in source.contract.columns]
    nothing = [
        exp.alias_(exp.cast(exp.null(), type_, dialect="duckdb"), name, quoted=True)
        for name, type_ in (*own.items(), *users)
    ]
    return exp.select(*nothing).where(exp.false())


def _to_judge(node: str, staged: Staged | None, ctx: Context, *, everything: bool) -> Scan:
    earlier: Scan | None = None
    if everything or staged is None:
        earlier = ctx.shelf.relations([node])[node]
    files = (*(earlier.files if earlier else ()), *((staged.path,) if staged else ()))
    columns = staged.columns if staged else earlier.columns if earlier else ()
    return Scan(files, columns)
