"""SQL of landing: what arrived against what is there, as new row versions. Pure.

A file speaks of keys. What it said before of a key is no news, whatever other files said since;
what it says now is compared with the key's last version. What a changed file no longer holds is
gone, unless another file came to hold it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot
from sqlglot import exp

from lichen.core.sql import DIALECT, col, lit, rel
from lichen.core.versions import WITHIN, key_range, key_text, of_keys, ordered
from lichen.stages.sources.spec import Source

ARRIVED = ("_key", "_file", "_line", "_raw")  # what is stored of a row besides its columns
STORED = ("_row", "_known_at", "_arrived_at", "_deleted")  # what landing adds

# The keys that changed files spoke of, and no file speaks of now.
_SPOKEN = """
select _key from stored where _file in (select path from changed)
except select _key from told
"""
_HELD = "select * from past qualify row_number() over (partition by _key order by _row desc) = 1"
_CLAIMS = """
select * from past qualify row_number() over (partition by _key, _file order by _row desc) = 1
"""
# Other keys need no comparison: they are new.
_SEVERAL = """
select _key from held union select _key from news group by _key having count(*) > 1
"""
# Last versions whose own file no longer holds the key.
_LEFT = """
select * from held where not _deleted and _file in (select path from changed)
  and not exists (select 1 from told where told._key = held._key and told._file = held._file)
"""
# Of a table that is to be replaced: when each file brought its last version of each key, and
# which version of the key that was; and when it brought anything.
_BROUGHT = """
select _key, _file, _arrived_at, row_number() over (partition by _key order by _row) as _nth
from replaced qualify row_number() over (partition by _key, _file order by _row desc) = 1
"""
_FILES = "select _file, max(_arrived_at) as _arrived_at from replaced group by _file"


def told(source: Source, rows: exp.Query, now: exp.Expr, *, repeats: bool) -> exp.Select:
    """Return what imposed rows say: their columns, `_key`, and `_said`, the declared known-at.

    Unless it is known that a file `repeats` a key (or all of a row), none is taken to: telling
    rows apart means sorting them, and the keys show afterwards whether it was needed.
    `_keyed` says that the `_key` is told by the source's key columns alone.

    A row that repeats the key of an earlier row of its file gets a key of its own, so that it can
    be held back without touching the other. Without a key (or with a part of it missing) a row is
    identified by its file, its values and how often they occurred before in that file, so that a
    changed file is compared as a multiset.
    """
    users = _users(source)
    alike: exp.Expr = _beside(col("_file"), exp.func("md5", key_text([*users, "_raw"])))
    first: exp.Expr = exp.false()
    if source.key:
        alike = exp.case().when(_all_there(source.key), key_text(source.key)).else_(alike)
        first = exp.and_(_all_there(source.key), col("_nth").eq(lit(1)))
    nth: exp.Expr = lit(1)
    if repeats:
        nth = exp.Window(
            this=exp.RowNumber(), partition_by=[col("_file"), col("_alike")], order=ordered("_line")
        )
    further = _beside(col("_alike"), exp.cast(col("_nth"), "varchar"))
    said = source.known_at.copy() if source.known_at else exp.null()
    named = exp.select(exp.Star(), exp.alias_(alike, "_alike")).from_(rows.subquery("r"))
    counted = exp.select(exp.Star(), exp.alias_(nth, "_nth")).from_(named.subquery("n"))
    return exp.select(
        *map(col, (*users, "_file", "_line", "_raw")),
        exp.alias_(first.copy(), "_keyed"),
        exp.alias_(exp.case().when(first, col("_alike")).else_(further), "_key"),
        exp.alias_(exp.cast(said, "timestamptz"), "_said"),
        exp.alias_(now.copy(), "_arrived_at"),
        exp.alias_(exp.false(), "_corrects"),
        exp.alias_(exp.false(), "_removes"),
    ).from_(counted.subquery("c"))


def told_at(source: Source, rows: exp.Query, now: exp.Expr, *, keeps: bool = False) -> exp.Select:
    """Return what the imposed records of a stream say, as `told` does.

    Each record is an event of its own. Without a key (or with a part of it missing) its place in
    the source identifies it. With `keeps`, `_keeps` names columns that a record does not tell.
    """
    place = _beside(col("_file"), exp.cast(col("_line"), "varchar"))
    key: exp.Expr = place
    keyed = _all_there(source.key) if source.key else exp.false()
    if source.key:
        key = exp.case().when(_all_there(source.key), key_text(source.key)).else_(place)
    said = source.known_at.copy() if source.known_at else exp.null()
    return exp.select(
        *map(col, (*_users(source), "_file", "_line", "_raw")),
        exp.alias_(keyed, "_keyed"),
        exp.alias_(key, "_key"),
        exp.alias_(exp.cast(said, "timestamptz"), "_said"),
        exp.alias_(now.copy(), "_arrived_at"),
        exp.alias_(exp.false(), "_corrects"),
        col("_removes"),
        *((col("_keeps"),) if keeps else ()),
    ).from_(rows.subquery("c"))


def as_told(source: Source, name: str, *, keeps: bool = False) -> exp.Select:
    """Return what `told` gave, where it is known by a name."""
    names = (*_users(source), *ARRIVED, "_said", "_arrived_at", "_corrects", "_removes")
    names = (*names, "_keeps") if keeps else names
    return exp.select(*map(col, names)).from_(rel(name))


def told_again(rows: exp.Query, replaced: exp.Query) -> exp.Select:
    """Return what rows say, as of when the stored versions that they replace arrived.

    Where the key tells nothing (it may be another one by now), a row came when its file last
    brought anything: rather too late than too early.
    """
    same = exp.and_(*(col(c, "t").eq(col(c, "b")) for c in ("_key", "_file")))
    arrived = exp.func(
        "coalesce", col("_arrived_at", "b"), col("_arrived_at", "f"), col("_arrived_at", "t")
    )
    corrects = exp.func("coalesce", exp.GT(this=col("_nth", "b"), expression=lit(1)), exp.false())
    names = [c for c in rows.named_selects if c not in ("_arrived_at", "_corrects")]
    return (
        exp.select(
            *(col(c, "t") for c in names),
            exp.alias_(arrived, "_arrived_at"),
            exp.alias_(corrects, "_corrects"),
        )
        .from_(rows.subquery("t"))
        .join(exp.to_table("brought").as_("b"), on=same, join_type="left")
        .join(
            exp.to_table("files").as_("f"),
            on=col("_file", "t").eq(col("_file", "f")),
            join_type="left",
        )
        .with_("replaced", as_=replaced)
        .with_("brought", as_=_parsed(_BROUGHT))
        .with_("files", as_=_parsed(_FILES))
    )


def told_again_at(rows: exp.Query, replaced: exp.Query) -> exp.Select:
    """Return what the records of a stream say, as of when each first arrived, by its place.

    A record that brought no version arrived no later than the next one that did.
    """
    same = exp.and_(*(col(c, "t").eq(col(c, "b")) for c in ("_file", "_line")))
    arrived = exp.alias_(exp.Min(this=col("_arrived_at")), "_arrived_at")
    places = (col("_file"), col("_line"))
    brought = exp.select(*places, arrived).from_("replaced").group_by(*places)
    names = [c for c in rows.named_selects if c != "_arrived_at"]
    onward = exp.WindowSpec(kind="ROWS", start="CURRENT ROW", end="UNBOUNDED", end_side="FOLLOWING")
    by_then = exp.Window(
        this=exp.Min(this=col("_arrived_at", "b")),
        partition_by=[col("_file", "t")],
        order=exp.Order(expressions=[exp.Ordered(this=col("_line", "t"))]),
        spec=onward,
    )
    return (
        exp.select(
            *(col(c, "t") for c in names),
            exp.alias_(exp.func("coalesce", by_then, col("_arrived_at", "t")), "_arrived_at"),
        )
        .from_(rows.subquery("t"))
        .join(brought.subquery("b"), on=same, join_type="left")
        .with_("replaced", as_=replaced)
    )


def first(source: Source, rows: exp.Query) -> exp.Select:
    """Return the new versions in `told` rows of which each is the first of its key."""
    carried = (*_users(source), *ARRIVED)
    versions = exp.select(
        *map(col, carried),
        exp.alias_(_known_first(source), "_known_at"),
        col("_arrived_at"),
        exp.alias_(exp.false(), "_deleted"),
    ).from_(rows.subquery("told"))
    return versions.where(exp.not_(col("_removes")))  # what was never there cannot go


def fresh(
    source: Source,
    rows: exp.Query,
    stored: exp.Query,
    now: exp.Expr,
    *,
    changed: bool,
    events: bool = False,
    keeps: Sequence[str] = (),
) -> exp.Select:
    """Return the new versions in `told` rows, given `stored` and the paths in `changed`.

    `changed` says that there are such paths, `events` that each row speaks for itself, whatever
    was told before it, `keeps` which columns some row does not tell: there it has what its key had
    before. The range of the told keys is bound (`WITHIN`).

    Known-at: what the source declares, but not before the arrival unless the row belongs to the
    back-fill; a correction or a deletion always counts from its arrival. A row that only moved to
    another file keeps the known-at that it had.
    """
    carried = (*_users(source), *ARRIVED)
    stands = exp.select(*map(col, (*carried, *STORED))).from_("stored")
    past: exp.Query = of_keys(stands, exp.select("_key").from_("told"), WITHIN)
    if changed:
        past = exp.union(past, of_keys(stands, _parsed(_SPOKEN)), distinct=False, copy=False)
    new = exp.union(_alone(carried), _following(carried), distinct=False, copy=False)
    versions = exp.select(
        *map(col, carried),
        exp.alias_(_known_at(source), "_known_at"),
        col("_arrived_at"),
        exp.alias_(col("_removes"), "_deleted"),
    ).from_(new.subquery("new"))
    gone = (
        exp.select(
            *map(col, carried),
            exp.alias_(exp.func("greatest", now.copy(), col("_known_at")), "_known_at"),
            exp.alias_(now.copy(), "_arrived_at"),
            exp.alias_(exp.true(), "_deleted"),
        )
        .from_("gone")
        .where(exp.not_(col("_key").isin(query=exp.select("_key").from_("told"))))
    )
    names = {
        "told": rows,
        "stored": stored,
        "past": past,
        "held": _parsed(_HELD),
        "claims": _parsed(_CLAIMS),
        "news": exp.select("*").from_("told") if events else _news(source),
        "several": _parsed(_SEVERAL),
        "gone": _parsed(_LEFT),
        "compared": _compared(source, carried, keeps),
    }
    every = exp.union(versions, gone, distinct=False, copy=False)
    query = exp.select("*").from_(every.subquery("both", copy=False), copy=False)
    for name, tree in names.items():
        query.with_(name, as_=tree, materialized=name != "stored", copy=False)
    return query


def extent(name: str) -> exp.Select:
    """Return of `told` rows the range of their keys, whether one repeats, and if all are keyed.

    `in_order` says that they come as they are to be numbered: by arrival, file and line.
    """
    order = ("_arrived_at", "_file", "_line")
    before = {c: exp.Window(this=exp.Lag(this=col(c))) for c in order}  # as they come
    rows = exp.select(
        col("_key"), col("_keyed"), *map(col, order),
        *(exp.alias_(value, f"_before{c}") for c, value in before.items()),
    ).from_(rel(name))  # fmt: skip
    here = exp.Tuple(expressions=[col(c) for c in order])
    there = exp.Tuple(expressions=[col(f"_before{c}") for c in order])
    first = col("_before_file").is_(exp.null())
    in_order = exp.LogicalAnd(this=exp.or_(first, exp.GT(this=here, expression=there)))
    keys = exp.Count(this=exp.Distinct(expressions=[col("_key")]))
    repeats = exp.NEQ(this=exp.Count(this=exp.Star()), expression=keys)
    keyed = exp.LogicalAnd(this=col("_keyed"))
    return key_range(rows).select(
        exp.alias_(repeats, "repeats"),
        exp.alias_(keyed, "keyed"),
        exp.alias_(in_order, "in_order"),
    )


def numbered(
    versions: exp.Query,
    source: Source,
    first: exp.Expr,
    *,
    events: bool = False,
    in_order: bool = False,
) -> exp.Select:
    """Return versions in the order of their arrival, files and lines; row ids follow `first`.

    What is gone comes last, since no line tells it; unless the rows are `events`. What comes
    `in_order` already is not sorted again.
    """
    last = () if events else ("_deleted",)
    order = ordered("_arrived_at", *last, "_file", "_line", "_key")
    number = exp.Window(this=exp.RowNumber(), order=None if in_order else order)
    own = ("_key", "_known_at", "_arrived_at", "_deleted", "_file", "_line", "_raw")
    rows = exp.select(
        exp.alias_(exp.Add(this=first.copy(), expression=number), "_row"),
        *map(col, (*own, *_users(source))),
    ).from_(versions.subquery("numbered", copy=False), copy=False)
    return rows if in_order else rows.order_by(col("_row"), copy=False)


def repeats(key: Sequence[str]) -> exp.Expr:
    """Return whether a stored row repeats the key of an earlier row of its file."""
    return exp.and_(_all_there(key), exp.NEQ(this=col("_key"), expression=key_text(key)))


def _news(source: Source) -> exp.Select:
    """Rows, but for those that their file held before as they are now."""
    said = (*_users(source), "_raw")
    before = exp.and_(
        *(col(c, "told").eq(col(c, "claims")) for c in ("_key", "_file")),
        exp.not_(col("_deleted", "claims")),
        *(exp.NullSafeEQ(this=col(c, "told"), expression=col(c, "claims")) for c in said),
    )
    return exp.select("told.*").from_("told").join("claims", on=before, join_type="anti")


def _alone(carried: Sequence[str]) -> exp.Select:
    never = {"_before": exp.cast(exp.null(), "timestamptz"), "_moves": exp.false()}
    return (
        exp.select(
            *map(col, (*carried, "_said", "_arrived_at", "_corrects", "_removes")),
            *(exp.alias_(value, name) for name, value in never.items()),
        )
        .from_("news")
        .where(exp.not_(col("_key").isin(query=exp.select("_key").from_("several"))))
        .where(exp.not_(col("_removes")))
    )


def _following(carried: Sequence[str]) -> exp.Select:
    """What follows the key's last version, or another row of the key, and says something else."""
    same = exp.not_(col("_differs"))
    left = col("_key").isin(query=exp.select("_key").from_("gone"))
    moves = exp.and_(same, col("_follows_held"), left)
    return (
        exp.select(
            *map(col, (*carried, "_said", "_arrived_at")),
            exp.alias_(exp.or_(col("_corrects"), col("_follows")), "_corrects"),
            col("_removes"),
            col("_before"),
            exp.alias_(moves, "_moves"),
        )
        .from_("compared")
        .where(col("_new"), exp.or_(col("_differs"), moves.copy()))
    )


def _compared(source: Source, carried: Sequence[str], keeps: Sequence[str]) -> exp.Select:
    """The rows of each key in their order, last version first, each beside the one before it."""
    untold = [exp.cast(exp.null(), "varchar[]", dialect=DIALECT)] if keeps else []
    again = col("_key").isin(query=exp.select("_key").from_("several"))
    chain = exp.union(
        exp.select(
            *map(col, (*carried, "_said", "_arrived_at", "_corrects")),
            exp.alias_(col("_removes"), "_deleted"),
            exp.alias_(exp.true(), "_new"),
            *(col("_keeps") for _ in untold),
        )
        .from_("news")
        .where(again),
        exp.select(
            *map(col, carried),
            exp.alias_(col("_known_at"), "_said"),
            col("_arrived_at"),
            exp.alias_(exp.false(), "_corrects"),
            col("_deleted"),
            exp.alias_(exp.false(), "_new"),
            *(exp.alias_(nothing, "_keeps") for nothing in untold),
        )
        .from_("held")
        .where(col("_key").isin(query=exp.select("_key").from_("news"))),
        distinct=False,
        copy=False,
    )
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=col(name))
        for name in (*_users(source), "_raw")
    ]
    said = exp.Struct(expressions=fields)
    gone = exp.func("coalesce", _over(exp.Lag(this=col("_deleted"))), exp.true())
    other = exp.NullSafeNEQ(this=said, expression=_over(exp.Lag(this=said.copy())))
    differs = exp.case().when(col("_deleted"), exp.not_(gone)).else_(exp.or_(gone.copy(), other))
    own = _over(exp.Lag(this=col("_new")))
    # What is removed is kept as it last was: a record that removes may know only the key.
    last = [
        exp.alias_(
            exp.case()
            .when(exp.and_(col("_new"), col("_deleted")), _over(exp.Lag(this=col(name))))
            .else_(col(name)),
            name,
            quoted=True,
        )
        for name in (*_users(source), "_raw")
    ]
    places = ("_key", "_file", "_line", "_said", "_arrived_at", "_corrects", "_new")
    return exp.select(
        *last,
        *map(col, places),
        exp.alias_(exp.and_(col("_new"), col("_deleted")), "_removes"),
        exp.alias_(differs, "_differs"),
        exp.alias_(exp.not_(own.is_(exp.null())), "_follows"),
        exp.alias_(exp.func("coalesce", exp.not_(own.copy()), exp.false()), "_follows_held"),
        exp.alias_(_over(exp.Max(this=col("_said")), _EARLIER), "_before"),
    ).from_((_filled(chain, keeps) if keeps else chain).subquery("chain"))


def _filled(chain: exp.Query, keeps: Sequence[str]) -> exp.Select:
    """The chain with what its rows do not tell: the last that was told of the key."""
    values: list[exp.Expr] = []
    for name in chain.named_selects:
        if name not in keeps:
            values.append(col(name))
            continue
        kept = exp.func("list_contains", col("_keeps"), lit(name.lower()))
        # NULL is a value, too: what is told stands in a struct.
        field = exp.PropertyEQ(this=exp.to_identifier("v"), expression=col(name))
        is_told = exp.not_(exp.func("coalesce", kept, exp.false()))
        value = exp.case().when(is_told, exp.Struct(expressions=[field]))
        last = _over(exp.IgnoreNulls(this=exp.LastValue(this=value)), _SO_FAR)
        values.append(exp.alias_(exp.func("struct_extract", last, lit("v")), name, quoted=True))
    return exp.select(*values).from_(chain.subquery("whole"))


_SO_FAR = exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW")
_EARLIER = exp.WindowSpec(
    kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="1", end_side="PRECEDING"
)


def _over(function: exp.Expr, spec: exp.WindowSpec | None = None) -> exp.Expr:
    order = ordered("_new", "_arrived_at", "_file", "_line")
    return exp.Window(
        this=function, partition_by=[col("_key")], order=order, spec=spec.copy() if spec else None
    )


def _known_at(source: Source) -> exp.Expr:
    later = exp.func("greatest", col("_said"), col("_arrived_at"), col("_before"))
    case = exp.case().when(col("_moves"), col("_before"))
    case = case.when(col("_removes"), exp.func("greatest", col("_arrived_at"), col("_before")))
    if source.known_at is not None:
        case = case.when(col("_said").is_(exp.null()), _NEVER.copy())
    return case.when(col("_corrects"), later).else_(_known_first(source))


def _known_first(source: Source) -> exp.Expr:
    """When the first row of a key is known."""
    said, arrived = col("_said"), col("_arrived_at")
    if source.known_at is None:
        return arrived
    live = exp.func("greatest", said.copy(), arrived.copy())
    case = exp.case().when(said.is_(exp.null()), _NEVER.copy())
    if source.backfill_until is not None:
        early = exp.LTE(this=arrived.copy(), expression=lit(source.backfill_until))
        case = case.when(early, said.copy())
    return case.else_(live)


_NEVER = exp.cast(exp.null(), "timestamptz")


def _users(source: Source) -> tuple[str, ...]:
    return tuple(column.name for column in source.contract.columns)


def _all_there(columns: Sequence[str]) -> exp.Expr:
    return exp.and_(*(exp.not_(col(column).is_(exp.null())) for column in columns))


def _beside(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    mark = exp.DPipe(this=left, expression=exp.func("chr", lit(31)), safe=True)
    return exp.DPipe(this=mark, expression=right, safe=True)


def _parsed(query: str) -> exp.Query:
    tree = sqlglot.parse_one(query, dialect=DIALECT)
    assert isinstance(tree, exp.Query)
    return tree
