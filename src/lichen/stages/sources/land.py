"""SQL of landing: what arrived against what is there, as new row versions. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot
from sqlglot import exp

from lichen.core.sql import DIALECT, col, lit
from lichen.core.time import Instant
from lichen.core.versions import key_text
from lichen.stages.sources.spec import Source

# What of the stored table the arriving rows are compared with: each key's last version.
_HELD = """
select * from stored
where _key in (select _key from incoming) or _file in (select path from changed)
qualify row_number() over (partition by _key order by _row desc) = 1
"""
# Of two files that arrive together the later one corrects the earlier, or says nothing new.
_TWICE = "select _key from keyed group by _key having min(_file) <> max(_file)"
_ONCE = """
select *, cast(null as varchar) as _earlier_file, false as _repeats from keyed
where _key not in (select _key from twice)
"""
_AGAIN = "select * from keyed where _key in (select _key from twice)"
# A row that says nothing new keeps its known-at: it does not become a version.
_FRESH = """
select incoming.*, held._known_at as _before,
    held._key is not null or _earlier_file <> incoming._file as _corrects
from incoming left join held on incoming._key = held._key
"""
# A key that its own changed file no longer holds was deleted.
_GONE = """
select held.* from held
where not held._deleted and held._file in (select path from changed)
  and held._key not in (select _key from incoming)
"""


def incoming(source: Source, rows: exp.Query) -> exp.Select:
    """Return imposed rows with their `_key` and the moment that the source declares for them.

    Without a declared key a row is identified by its file, its values and how often they occurred
    before in that file, so that a changed file is compared as a multiset.
    """
    columns = [c.name for c in source.contract.columns]
    if source.key:
        key = key_text(source.key)
    else:
        values = exp.func("md5", key_text(columns))
        nth = exp.Window(
            this=exp.RowNumber(), partition_by=[col("_file"), values], order=_order("_line")
        )
        key = _joined(col("_file"), values.copy(), exp.cast(nth, "varchar"))
    declared = source.known_at.copy() if source.known_at else exp.cast(exp.null(), "timestamptz")
    keyed = exp.select(
        exp.Star(), exp.alias_(key, "_key"), exp.alias_(exp.cast(declared, "timestamptz"), "_said")
    ).from_(rows.subquery("imposed"))
    said = exp.Struct(expressions=[_field(name) for name in columns])
    again = exp.select(
        exp.Star(),
        exp.alias_(_lag(col("_file")), "_earlier_file"),
        exp.alias_(exp.NullSafeEQ(this=_lag(said), expression=said.copy()), "_repeats"),
    ).from_(_parsed(_AGAIN).subquery("several"))
    news = exp.or_(
        exp.not_(exp.func("coalesce", col("_repeats"), exp.false())),
        col("_earlier_file").eq(col("_file")),
    )
    told = exp.select("*").from_(again.subquery("again")).where(news)
    return (
        exp.select("*")
        .from_(exp.union(_parsed(_ONCE), told, distinct=False).subquery("incoming"))
        .with_("keyed", as_=keyed)
        .with_("twice", as_=_parsed(_TWICE))
    )


def fresh(
    source: Source, columns: Sequence[str], rows: exp.Query, stored: exp.Query, now: Instant
) -> exp.Select:
    """Return the new versions among `incoming` rows, given `stored` and the paths in `changed`.

    Known-at: what the source declares, but not before the arrival unless the row belongs to the
    back-fill; a correction or a deletion always counts from its arrival.
    """
    users = [c.name for c in source.contract.columns]
    differs = (exp.NullSafeNEQ(this=col(c, "incoming"), expression=col(c, "held")) for c in users)
    says_more = exp.or_(col("_key", "held").is_(exp.null()), col("_deleted", "held"), *differs)
    versions = exp.select(
        *map(col, columns), exp.alias_(_known_at(source, now), "_known_at"), _flag(value=False)
    ).from_("fresh")
    deleted = exp.select(
        *map(col, columns),
        exp.alias_(exp.func("greatest", lit(now), col("_known_at")), "_known_at"),
        _flag(value=True),
    ).from_("gone")
    return (
        exp.select("*")
        .from_(exp.union(versions, deleted, distinct=False).subquery("both"))
        .with_("incoming", as_=rows)
        .with_("stored", as_=stored)
        .with_("held", as_=_parsed(_HELD))
        .with_("fresh", as_=_parsed(_FRESH).where(says_more))
        .with_("gone", as_=_parsed(_GONE))
    )


def numbered(rows: exp.Query, columns: Sequence[str], sequence: int, now: Instant) -> exp.Select:
    """Return versions in the order of their files and lines, with row ids and their arrival."""
    offset = exp.Window(this=exp.RowNumber(), order=_order("_deleted", "_file", "_line", "_key"))
    first = sequence << 32
    return (
        exp.select(
            exp.alias_(
                exp.Sub(
                    this=exp.Add(this=exp.cast(lit(first), "bigint"), expression=offset),
                    expression=lit(1),
                ),
                "_row",
            ),
            col("_key"),
            col("_known_at"),
            exp.alias_(lit(now), "_arrived_at"),
            col("_deleted"),
            col("_file"),
            col("_line"),
            *map(col, columns),
        )
        .from_(rows.subquery("numbered"))
        .order_by(col("_row"))
    )


def _known_at(source: Source, now: Instant) -> exp.Expr:
    said, arrived = col("_said"), lit(now)
    if source.known_at is None:
        first: exp.Expr = arrived
    elif source.backfill_until is not None and now <= source.backfill_until:
        first = said
    else:
        first = exp.func("greatest", said, arrived)
    later = exp.func("greatest", said.copy(), arrived.copy(), col("_before"))
    unknown = said.copy().is_(exp.null()) if source.known_at is not None else exp.false()
    return (
        exp.case()
        .when(unknown, exp.cast(exp.null(), "timestamptz"))
        .when(col("_corrects"), later)
        .else_(first)
    )


def _lag(value: exp.Expr) -> exp.Expr:
    return exp.Window(
        this=exp.Lag(this=value), partition_by=[col("_key")], order=_order("_file", "_line")
    )


def _field(name: str) -> exp.Expr:
    return exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=col(name))


def _parsed(query: str) -> exp.Select:
    tree = sqlglot.parse_one(query, dialect=DIALECT)
    assert isinstance(tree, exp.Select)
    return tree


def _flag(*, value: bool) -> exp.Expr:
    return exp.alias_(exp.convert(value), "_deleted")


def _order(*names: str) -> exp.Order:
    return exp.Order(expressions=[exp.Ordered(this=col(name), nulls_first=False) for name in names])


def _joined(*parts: exp.Expr) -> exp.Expr:
    first, *rest = parts
    for part in rest:
        mark = exp.DPipe(this=first, expression=exp.func("chr", lit(31)), safe=True)
        first = exp.DPipe(this=mark, expression=part, safe=True)
    return first
