"""Rows that a person released from quarantine: each is known from the moment of the release on.

A verdict stays what it is. A released row is written once more, known from now on, and that
version has no verdict: so nobody who asked before has seen it, and a reader takes it for what it
is, a new row. A table beside (`released.KIND_NODE`) holds the decisions: row and rule, and
the row that was written for it. They outlive another judging by the same rule, and a table that is
built or read again: there a decision is about the row of the same key that says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp

from lichen.core.sql import DIALECT, col, lit, rel
from lichen.core.steps import Build, Land, Release
from lichen.core.versions import key_text
from lichen.ports.engine import Relations, Scan
from lichen.ports.lake import Staged
from lichen.stages.context import (
    NOW,
    RELEASED,
    VERDICTS,
    WITHDRAWN,
    Context,
    released_table,
    verdict_table,
)
from lichen.stages.judge import Judgement


@dataclass(frozen=True)
class Freed:
    """Staged rows that were written once more, all decisions, and how many each rule still holds.

    `held_back` is None where nothing was decided; `told` says what became of each request.
    """

    rows: Staged | None = None
    decisions: Staged | None = None
    held_back: Mapping[str, int] | None = None
    told: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class _Here:
    """The relations of one release: all rows and verdicts as they will be, and as they were."""

    node: str
    columns: tuple[str, ...]
    relations: dict[str, Any] = field(default_factory=dict)


def release(step: Land | Build, staged: Staged | None, judgement: Judgement, ctx: Context) -> Freed:
    """Stage what people released of a node, and what was released before where rows are new."""
    record = ctx.shelf.records.get(step.node)
    asked = [request for request in step.requests if isinstance(request, Release)]
    decided = record is not None and released_table(step.node) in record.commits
    if not asked and not (decided and (step.replace or step.rejudge)):
        return Freed()
    here = _here(step, staged, judgement, ctx)
    pairs = exp.select("*").from_(rel(released_table(step.node)) if decided else _no_decisions())
    parts = [pairs, *(_chosen(request, here) for request in asked)]
    decisions = _once(exp.union(*parts, distinct=False) if asked else pairs)
    here.relations["_decided"] = ctx.engine.arrow(decisions, here.relations, ctx.values(step))
    if step.replace:
        here.relations["_decided"] = ctx.engine.arrow(_found_again(here), here.relations)
    elif step.rejudge:  # what was written before is withdrawn by the judge
        here.relations["_decided"] = ctx.engine.arrow(_parsed(_ANEW), here.relations)
    first = (staged.rows if staged is not None else 0) + (step.sequence << 32)
    values = ctx.values(step) | {"first_copy": first}
    here.relations["_copies"] = ctx.engine.arrow(_copies(), here.relations, values)
    copies = None
    if here.relations["_copies"].num_rows:
        path = ctx.lake.stage(step.node)
        copies = ctx.engine.write(_written(here), here.relations, path)
    path = ctx.lake.stage(released_table(step.node))
    kept = ctx.engine.write(_parsed(_KEPT), here.relations, path)
    counts = ctx.engine.rows(_parsed(_STILL), here.relations, {"withdrawn": WITHDRAWN})
    held = {row["rule"]: int(row["n"]) for row in counts}
    return Freed(copies, kept, held, _told(asked, kept, ctx))


# Decisions that are made twice count once; the first of them stands.
_ONCE = """
select * from decisions qualify row_number() over (
  partition by _row, rule order by _known_at, request) = 1
"""
# After a table was made anew: the last row of the same key that says the same.
_AGAIN = """
select r._row, d.rule, null::bigint as _as, d._key, d._said, d._known_at, d.request
from _decided d join says r on r._key = d._key and r._said = d._said
where r._known_at is null or r._known_at <= d._known_at
qualify row_number() over (
  partition by d._row, d.rule order by r._known_at desc nulls last, r._row desc) = 1
"""
_ANEW = "select * replace (null::bigint as _as) from _decided"
_VERDICTS = "select _row, rule from _verdicts_now where _row is not null"
# Rows all of whose verdicts are lifted, and since when.
_LIFTED = """
select r._row, r._key, r._known_at,
  case when r._known_at is not null then greatest(r._known_at, max(l._known_at)) end as _since
from _all r
join verdicts v on v._row = r._row
left join _decided l on l._row = v._row and l.rule = v.rule
where not r._deleted
group by r._row, r._key, r._known_at
having bool_and(l._row is not null)
"""
# What readers see, each row in its place among the versions of its key and since when it is seen.
_SEEN = """
select _row, _key, _known_at, _known_at as _since from _all
where _row not in (select _row from verdicts)
  and _row not in (select _as from _decided where _as is not null)
union all select * from lifted
"""
# An old row does not come back over a newer one that was seen by then.
_FREE = """
select c._row, c._since from lifted c
where c._row not in (select _row from _decided where _as is not null)
  and not exists (
    select 1 from seen w where w._key = c._key and w._since <= c._since
      and (w._known_at > c._known_at or (w._known_at = c._known_at and w._row > c._row)))
"""
_KEPT = """
select d._row, d.rule, coalesce(d._as, c._as) as _as, d._key, d._said, d._known_at, d.request
from _decided d left join _copies c on c._row = d._row
"""
_STILL = """
select v.rule, count(*) as n from _verdicts_now v
where v.rule <> $withdrawn and (v._row is null or not exists (
  select 1 from _decided d where d._row = v._row and d.rule = v.rule))
group by v.rule order by v.rule
"""


def _here(step: Land | Build, staged: Staged | None, judgement: Judgement, ctx: Context) -> _Here:
    """Name all that a release reads. Without verdicts of its own a rejudged node has none."""
    before = ctx.shelf.relations([step.node])
    earlier: Scan = before[step.node]
    columns = staged.columns if staged is not None else earlier.columns
    new = (staged.path,) if staged is not None else ()
    table = verdict_table(step.node)
    held: tuple[Any, ...] = before[table].files if table in before else ()
    ruled = (judgement.verdicts.path,) if judgement.verdicts is not None else ()
    whole = step.replace or step.rejudge
    relations: dict[str, Any] = {
        **before,
        "_all": Scan(new if step.replace else (*earlier.files, *new), columns),
        "_verdicts_now": Scan(ruled if whole else (*held, *ruled), VERDICTS),
        "_verdicts_then": Scan(held, VERDICTS),
    }
    return _Here(step.node, tuple(c.name for c in columns), relations)


def _chosen(request: Release, here: _Here) -> exp.Select:
    """The rows and rules that a person meant, among the verdicts that there were."""
    query = (
        exp.select(
            col("_row", "v"),
            col("rule", "v"),
            exp.alias_(exp.cast(exp.null(), "bigint"), "_as"),
            col("_key", "s"),
            col("_said", "s"),
            exp.alias_(NOW.copy(), "_known_at"),
            exp.alias_(lit(request.id), "request"),
        )
        .from_(rel("_verdicts_then", "v"))
        .join(_says(here.node, here).subquery("s"), on=col("_row", "v").eq(col("_row", "s")))
        .where(exp.LTE(this=col("_row", "v"), expression=lit(request.last)))
    )
    if request.rule is not None:
        query = query.where(col("rule", "v").eq(lit(request.rule)))
    if request.rows:
        query = query.where(col("_row", "v").isin(*map(lit, request.rows)))
    return query


def _says(name: str, here: _Here) -> exp.Select:
    """Each row with its key and a digest of what it says."""
    users = sorted(c for c in here.columns if not c.startswith("_"))
    said = exp.func("md5", key_text(users))
    own = map(col, ("_row", "_key", "_known_at"))
    return exp.select(*own, exp.alias_(said, "_said")).from_(rel(name))


def _no_decisions() -> exp.Expr:
    columns = [exp.alias_(exp.cast(exp.null(), c.type, dialect=DIALECT), c.name) for c in RELEASED]
    return exp.select(*columns).where(exp.false()).subquery("nothing")


def _once(decisions: exp.Query) -> exp.Query:
    return _parsed(_ONCE).with_("decisions", as_=decisions)


def _found_again(here: _Here) -> exp.Query:
    return _parsed(_AGAIN).with_("says", as_=_says("_all", here))


def _copies() -> exp.Query:
    """Which rows are written once more, as which rows, and since when they are known."""
    number = exp.Window(
        this=exp.RowNumber(), order=exp.Order(expressions=[exp.Ordered(this=col("_row"))])
    )
    first = exp.cast(exp.Placeholder(this="first_copy"), "bigint")
    as_ = exp.Sub(this=exp.Add(this=first, expression=number), expression=lit(1))
    free = _parsed(_FREE)
    for name, part in (("verdicts", _VERDICTS), ("lifted", _LIFTED), ("seen", _SEEN)):
        free = free.with_(name, as_=part, dialect=DIALECT)
    return exp.select(col("_row"), col("_since"), exp.alias_(as_, "_as")).from_(
        free.subquery("free")
    )


def _written(here: _Here) -> exp.Select:
    replaced = {"_row": col("_as", "c"), "_known_at": col("_since", "c")}
    columns = [
        exp.alias_(replaced[name], name, quoted=True) if name in replaced else col(name, "r")
        for name in here.columns
    ]
    return (
        exp.select(*columns)
        .from_(rel("_all", "r"))
        .join(rel("_copies", "c"), on=col("_row", "r").eq(col("_row", "c")))
        .order_by(col("_as", "c"))
    )


def _told(asked: Sequence[Release], kept: Staged, ctx: Context) -> list[dict[str, Any]]:
    """What became of each request: rows that were released, and rows that something else holds."""
    query = _parsed(
        "select request, count(distinct _row) as n, count(distinct _as) as written "
        "from _kept group by request"
    )
    relations: Relations = {"_kept": Scan((kept.path,), RELEASED)}
    counts = {row["request"]: row for row in ctx.engine.rows(query, relations)}
    told = []
    for request in asked:
        row = counts.get(request.id, {"n": 0, "written": 0})
        told.append(
            {
                "request": request.id,
                "rule": request.rule,
                "who": request.who,
                "why": request.why,
                "rows": int(row["written"]),
                "left": int(row["n"]) - int(row["written"]),
            }
        )
    return told


def _parsed(query: str) -> exp.Select:
    tree = sqlglot.parse_one(query, dialect=DIALECT)
    assert isinstance(tree, exp.Select)
    return tree
