"""Landing: what arrives becomes row versions in an append-only table, exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.spec import Contract, Rule
from lichen.core.errors import LichenError, SourceAway
from lichen.core.findings import Finding, Severity
from lichen.core.pycode import code_fingerprint
from lichen.core.sql import Prepared, col, rel
from lichen.core.steps import Blocked, Done, Failed, Land, Result
from lichen.core.typed import typed
from lichen.core.versions import WITHIN
from lichen.ports.engine import Relations, Scan, Values
from lichen.ports.lake import Staged
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import FIRST_ROW, NOW, Context, released_table
from lichen.stages.judge import NOTHING_FOUND, Unreadable, judge, written
from lichen.stages.release import Freed, release
from lichen.stages.sources.arrival import Arrived, arrive, files_of, paths
from lichen.stages.sources.drift import Profile, after, drifts, findings, look, rules
from lichen.stages.sources.land import (
    as_told,
    extent,
    first,
    fresh,
    numbered,
    told_again,
    told_again_at,
)
from lichen.stages.sources.promises import promises
from lichen.stages.sources.retry import attempted
from lichen.stages.sources.spec import Source


def land(step: Land, source: Source, ctx: Context) -> Result:
    """Land what a step is to read; bad rows are held back, nothing is lost.

    A row that says nothing new does not become a version. A table rule that is broken blocks the
    whole landing before anything is committed. Where the contract's rules changed, all rows are
    judged again. Where the definition did, all files are read again: rows keep the times at which
    they arrived, and what was corrected or deleted since then is no longer among them.
    """
    if step.unlisted is not None:
        return Failed(error=step.unlisted)
    if step.lost or (step.replace and step.mark is not None and step.mark.gone):
        return Blocked(findings=(_would_lose(step),))
    # A mistake in a file is told at once; what else fails while it is read may pass.
    landing = attempted(
        lambda: _stage(step, source, ctx),
        source.retries,
        lambda error: isinstance(error, SourceAway) or not isinstance(error, LichenError),
    )
    staged, drift = landing.staged, landing.drift
    if drift.blocks:
        if staged is not None:
            staged.path.unlink()
        return Blocked(findings=drift.findings)
    scan = _to_judge(step.node, staged, ctx, everything=step.rejudge)
    judgement = NOTHING_FOUND  # where people released rows, and nothing else is new
    if staged is not None or step.rejudge or landing.unreadable:
        judgement = judge(
            _also(promises(source), drift),
            step.node,
            scan,
            ctx,
            everything=step.replace or step.rejudge,
            copied=not step.replace,
            unreadable=landing.unreadable,
            placed=step.mark is not None,
            read=_read_again(step, landing),
        )
    judgement = judgement.adding(drift.findings)
    if judgement.blocks:
        if staged is not None:
            staged.path.unlink()
        return Blocked(findings=judgement.findings)
    if (nothing := _nothing_new(step, source, landing, ctx)) is not None:
        return nothing
    freed = release(step, staged, judgement, ctx)
    effect = Effect(
        staged=staged,
        judgement=judgement,
        freed=freed,
        seen={step.node: step.sequence},
        replace=step.replace,
        rejudge=step.rejudge,
        facts={
            "files": len(files_of(step)),
            "told_by": list(source.key),
            "firsts_from": _firsts_from(step, landing, freed, ctx),
            "once": _once(step, source, landing, freed, ctx),
            "torn": _torn(step, landing, ctx),
            **_place(step, landing, ctx),
            **({"profile": msgspec.to_builtins(drift.profile)} if drift.profile else {}),
        },
    )
    prepared = code_fingerprint(source.prepare, ctx.root) if source.prepare else None
    body = {"fingerprint": step.fingerprint, "rules": step.rules, "prepare": prepared}
    return carry_out(step, effect, ctx, body=body)


def _nothing_new(step: Land, source: Source, landing: _Landing, ctx: Context) -> Done | None:
    """Return what there was before, where a stream was read to its mark and is where it was."""
    record, arrived = ctx.shelf.records.get(step.node), landing.arrived
    if not ctx.quiet or step.mark is None or record is None or arrived is None or source.prepare:
        return None
    if not step.mark.passing:
        return None  # that the mark was reached is news, and is told once
    asked = step.replace or step.rejudge or step.requests
    came = landing.staged is not None or landing.unreadable or landing.drift.findings
    if asked or came or arrived.reached is None or arrived.cursor != record.facts.get("cursor"):
        return None
    return Done(facts={**record.facts, "added": 0}, commits=record.commits, idle=True)


def _read_again(step: Land, landing: _Landing) -> Sequence[str]:
    """The parts of which the records that did not parse before are told anew, or no more there."""
    whole = landing.arrived.parts if landing.arrived is not None else ()
    return [*(seen.path for seen in files_of(step)), *whole]


def _place(step: Land, landing: _Landing, ctx: Context) -> dict[str, Any]:
    """How far a stream was read: the cursor, and the mark if it was reached."""
    if step.mark is None:
        return {}
    if landing.arrived is None:
        before = ctx.shelf.records[step.node].facts
        return {name: before.get(name) for name in ("cursor", "reached")}
    return {"cursor": landing.arrived.cursor, "reached": landing.arrived.reached}


def _would_lose(step: Land) -> Finding:
    if step.mark is not None:
        message = (
            f"the definition changed, so all would be read again, but {step.mark.gone}: undo the "
            "change, derive what is new in a table, or begin another source beside this one"
        )
        return Finding(node=step.node, rule="stream", severity=Severity.block, message=message)
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


class Drifted(NamedTuple):
    """What later landings are compared with, what is told, and the rules that hold rows back."""

    profile: Profile | None = None
    findings: tuple[Finding, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def blocks(self) -> bool:
        return any(finding.severity is Severity.block for finding in self.findings)


NO_DRIFT = Drifted()


def _also(contract: Contract, drift: Drifted) -> Contract:
    return dataclasses.replace(contract, rules=(*contract.rules, *drift.rules))


class _Landing(NamedTuple):
    """What arrived, the staged versions (None when nothing was read), what is true of their keys.

    `firsts`: no row that was read is of a key that was there; `single`: no key has a second
    version for it; `keyed`: all are what the source's key columns say.
    """

    arrived: Arrived | None = None
    staged: Staged | None = None
    firsts: bool = True
    single: bool = True
    keyed: bool = True
    drift: Drifted = NO_DRIFT

    @property
    def unreadable(self) -> Unreadable:
        return self.arrived.unreadable if self.arrived is not None else ()


def _stage(step: Land, source: Source, ctx: Context) -> _Landing:
    """Write the new versions to a file beside the table."""
    arrived = arrive(step, source, ctx)
    if arrived is None:
        return _Landing()
    try:
        return _staged(step, source, arrived, ctx)
    finally:
        if arrived.pile is not None:
            arrived.pile.clear()


def _staged(step: Land, source: Source, arrived: Arrived, ctx: Context) -> _Landing:
    relations = {**arrived.relations, "changed": paths(arrived.changed)}
    there = ctx.shelf.relations([step.node])[step.node] if step.node in ctx.shelf.records else None
    if there is not None:
        relations[step.node] = there
    if step.replace:
        relations["again"] = paths(arrived.parts)
        relations["copied"] = _copied(step, ctx)
    key = ("land", step.node, step.fingerprint, *arrived.key)
    values = ctx.values(step, **arrived.values)
    said = ctx.prepared((*key, "told"), lambda: arrived.said)
    relations["_told"], count = _told(said, arrived, relations, values, ctx)
    ends = _extent(relations, ctx)
    if ends["repeats"] and arrived.apart is not None:
        apart = arrived.apart
        said = ctx.prepared((*key, "apart"), lambda: apart)
        relations["_told"], count = _told(said, arrived, relations, values, ctx)
        ends = _extent(relations, ctx)
    if there is not None and not count and not arrived.changed:
        return _Landing(arrived, drift=_kept(step, ctx))  # a stream said nothing: it only goes on
    twice, keyed = bool(ends.pop("repeats")), ends.pop("keyed") is not False
    in_order = bool(ends.pop("in_order"))
    values = {**values, **ends}
    stored = there is not None and _touches(step, arrived, relations, values, ctx)
    one = not (stored or twice)  # version of each key
    kind = (one, in_order, step.replace, bool(arrived.changed), there.columns if there else None)
    query = ctx.prepared(
        (*key, stored, *kind),
        lambda: (
            _firsts(arrived, source, in_order=in_order)
            if one
            else _versions(step, arrived, source, stored=stored)
        ),
    )
    staged = ctx.engine.write(query, relations, ctx.lake.stage(step.node), values)
    again = step.replace and arrived.events  # what a stream told long ago may be among them
    adds = again or (stored and _adds_to_keys(step, staged, relations, ends, ctx))
    single = not (twice or adds)
    drift = _drifted(step, source, arrived, relations, ctx)
    firsts = not (stored or twice)
    return _Landing(arrived, staged, firsts=firsts, single=single, keyed=keyed, drift=drift)


def _told(
    said: Prepared, arrived: Arrived, relations: Relations, values: Values, ctx: Context
) -> tuple[Any, int]:
    """Return what is told as a relation, and how many rows it has."""
    if arrived.pile is not None:
        file = ctx.engine.write(said, relations, arrived.pile.file(), values)
        return Scan((file.path,), file.columns), file.rows
    table = ctx.engine.arrow(said, relations, values)
    return table, table.num_rows


def _kept(step: Land, ctx: Context) -> Drifted:
    record = ctx.shelf.records.get(step.node)
    said = None if record is None or step.replace else record.facts.get("profile")
    return Drifted(profile=typed(said, Profile) if said else None)


def _drifted(
    step: Land, source: Source, arrived: Arrived, relations: Relations, ctx: Context
) -> Drifted:
    """Compare the shape of what arrived with what arrived before, where the source asks for it."""
    policy = source.settings.on_drift
    if policy is None:
        return NO_DRIFT
    before = _kept(step, ctx).profile
    known = before.header if before is not None else []
    headers = arrived.headers
    header = next((h for h in headers if h != known), headers[-1] if headers else [])
    broken = sum(
        "UTF-8" in (reason or "")
        for _, rejects in arrived.unreadable
        for reason in rejects.column("reason").to_pylist()
    )
    now = look(source, header, broken, relations, ctx.engine)
    found = drifts(before, now, source)
    held = rules(found, source) if policy == "quarantine" else ()
    told = tuple(findings(found, policy, step.node, now.rows))
    return Drifted(after(before, now, held), told, held)


def _touches(
    step: Land, arrived: Arrived, relations: Relations, values: Values, ctx: Context
) -> bool:
    """Whether what is stored has a say in what is new. Most often all keys are new."""
    if step.replace or step.changed or arrived.changed:
        return True
    some = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(rel(step.node))
    keys = exp.select("_key").from_(rel("_told"))
    query = ctx.prepared(
        ("land", step.node, "touches"), lambda: some.where(WITHIN, col("_key").isin(query=keys))
    )
    return bool(ctx.engine.rows(query, relations, values)[0]["n"])


def _adds_to_keys(
    step: Land, staged: Staged, relations: Relations, ends: Values, ctx: Context
) -> bool:
    """Whether a staged version is of a key that is stored: not where a file only grew."""
    if step.replace or not staged.rows:
        return False
    if ctx.shelf.records[step.node].facts.get("once") is None:
        return True  # some key has several versions already, and it stays so
    some = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(rel("_staged_rows"))
    keys = exp.select("_key").from_(rel(step.node)).where(WITHIN)
    again = exp.or_(col("_deleted"), col("_key").isin(query=keys))
    query = ctx.prepared(("land", step.node, "adds"), lambda: some.where(again))
    read = {step.node: relations[step.node], "_staged_rows": Scan((staged.path,), staged.columns)}
    return bool(ctx.engine.rows(query, read, ends)[0]["n"])


def _torn(step: Land, landing: _Landing, ctx: Context) -> list[str]:
    """The files of which a record does not parse."""
    record = ctx.shelf.records.get(step.node)
    before = set(record.facts.get("torn", ())) if record is not None else set()
    read = {seen.path for seen in files_of(step)}
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


def _once(
    step: Land, source: Source, landing: _Landing, freed: Freed, ctx: Context
) -> list[str] | None:
    """The columns that no two rows share, if any; None where a key may have several versions.

    Those who read the table need not look for what replaces a row.
    """
    record = ctx.shelf.records.get(step.node)
    anew = record is None or step.replace
    earlier = None if record is None else record.facts.get("once")
    if not landing.single or freed.rows is not None or not (anew or earlier is not None):
        return None
    apart = source.key if anew or earlier is None else earlier
    return list(apart) if landing.keyed else []


def _extent(relations: Relations, ctx: Context) -> dict[str, Any]:
    (ends,) = ctx.engine.rows(ctx.prepared(("land", "extent"), lambda: extent("_told")), relations)
    return ends


def _firsts(arrived: Arrived, source: Source, *, in_order: bool) -> exp.Query:
    """The new versions, where each is the first and only one of its key."""
    rows = as_told(source, "_told", keeps=bool(arrived.keeps))
    return numbered(first(source, rows), source, FIRST_ROW, in_order=in_order)


def _versions(step: Land, arrived: Arrived, source: Source, *, stored: bool) -> exp.Query:
    """The new versions, from the relation `_told` and what is stored."""
    rows = as_told(source, "_told", keeps=bool(arrived.keeps))
    held = _all_of(step.node) if stored else _nothing(source)
    if stored and step.replace:
        again = told_again_at if arrived.events else told_again
        rows, held = again(rows, _as_they_were(held, arrived)), _nothing(source)
    new = fresh(
        source,
        rows,
        held,
        NOW,
        changed=bool(arrived.changed),
        events=arrived.events,
        keeps=arrived.keeps,
    )
    return numbered(new, source, FIRST_ROW, events=arrived.events)


def _as_they_were(held: exp.Select, arrived: Arrived) -> exp.Select:
    """The stored rows of the files that did not change, or of a stream."""
    copied = col("_row").isin(query=exp.select(col("_as")).from_("copied"))
    rows = held.where(exp.not_(copied))
    if arrived.events:
        return rows
    unchanged = col("_file").isin(query=exp.select("path").from_("again"))
    return rows.where(unchanged, exp.not_(col("_deleted")))


def _copied(step: Land, ctx: Context) -> Any:
    """The rows that were written because a person released others: no file told them."""
    table, record = released_table(step.node), ctx.shelf.records.get(step.node)
    if record is None or table not in record.commits:
        return Table.from_pydict({"_as": Array([], DataType.int64())})
    rows = written(table, step.node).subquery("w")
    copied = exp.select(exp.alias_(col("_row"), "_as")).from_(rows)
    return ctx.engine.arrow(copied, ctx.shelf.relations([step.node]))


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
