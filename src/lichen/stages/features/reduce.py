"""What questions from a moment on can see of a stored relation: a filter that provably keeps it.

A version of a key is *over* if another version takes its place for good by the start: no later
question sees it. Of the keys that remain, a window needs those with an event after start − W, and
a latest answer those that no newer event, known by the start and never taken back, outshines for
good. Keys are kept or left out with all their versions that are not over, so the spans of what is
kept are what they are over all rows. Every filter keeps too much rather than too little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from lichen.core.derive import qualified, resolved
from lichen.core.sql import col, lit, tables_in
from lichen.core.time import Instant
from lichen.core.versions import columns_of, present
from lichen.stages.features.compiled import placed
from lichen.stages.features.spec import Features
from lichen.stages.outcomes.spec import Outcome

OWN = ("_row", "_key", "_known_at", "_arrived_at", "_deleted")


def needed(
    name: str,
    versions: exp.Query,
    start: Instant,
    *,
    features: Sequence[Features] = (),
    outcome: Outcome | None = None,
) -> exp.Select:
    """Return the versions of a relation that questions with `_at` ≥ start can see.

    `name` is the relation's name in the FROM of `features` and of `outcome`, its readers.
    """
    parts = [_of_features(each, name, versions, start) for each in features]
    if outcome is not None:
        parts.append(_of_outcome(outcome, name, versions, start))
    users = [*columns_of(versions), *OWN]
    kept = exp.select(*map(col, users)).from_(versions.subquery("v")).where(present("_known_at"))
    wanted = [part for part in parts if part is not None]
    if len(wanted) < len(parts) or not parts:
        return kept
    every = wanted[0] if len(wanted) == 1 else exp.union(*wanted, distinct=False)
    return kept.where(col("_row").isin(query=exp.select("_row").from_(every.subquery("u"))))


def _of_features(
    features: Features, name: str, versions: exp.Query, start: Instant
) -> exp.Select | None:
    """Return the `_row`s that a features definition needs; None for all."""
    joins = features.select.args.get("joins") or ()
    if joins:
        declared = features.known_at is not None
        whole = declared or any(join.side == "LEFT" for join in joins)
        return None if whole else _not_over(versions, start)
    inputs = {name: versions}
    rows = _valued(placed(features, inputs), inputs, versions)
    if features.shape == "window":
        after = lit(start - max(features.windows))
        wanted: exp.Expr = exp.GT(this=col("_event_time"), expression=after)
        return _keys(_remaining(rows, start), wanted)
    entity = [f"_e{i}" for i in range(len(features.entity))]
    return _keys(_outshone(_remaining(rows, start), entity, start), _fresh(features, start))


def _of_outcome(
    outcome: Outcome, name: str, versions: exp.Query, start: Instant
) -> exp.Select | None:
    """Return the `_row`s of keys that are still to be predicted; of joins, all that is not over."""
    if outcome.predict_at is None or outcome.select.args.get("joins"):
        return _not_over(versions, start)
    tree = qualified(outcome.select, {name: versions}, where=outcome.where)
    moment = exp.cast(resolved(tree)(outcome.predict_at), "timestamptz")
    select = outcome.select.select(exp.alias_(moment, "_event_time", quoted=True))
    rows = _valued(select, {name: versions}, versions)
    soon = exp.GTE(this=col("_event_time"), expression=lit(start))
    return _keys(_remaining(rows, start), soon)


def _not_over(versions: exp.Query, start: Instant) -> exp.Select:
    """Return the `_row`s of the versions that hold at `start` or later."""
    return exp.select(col("_row")).from_(_remaining(_plain(versions), start).subquery("r"))


def _plain(versions: exp.Query) -> exp.Select:
    """Return a relation's versions, each with effect from when it is known."""
    effect = exp.alias_(col("_known_at"), "_effect")
    return exp.select(*map(col, ("_row", "_key", "_known_at", "_deleted")), effect).from_(
        versions.subquery("v")
    )


def _valued(select: exp.Select, inputs: Mapping[str, exp.Query], versions: exp.Query) -> exp.Select:
    """Return each version with what a SELECT of one relation makes of it, and its effect.

    `_in` says whether WHERE holds. A version takes effect when it is both declared and known.
    """
    tree = qualified(select, inputs)
    table = next(tables_in(tree))
    own = [col(name, table.alias) for name in ("_row", "_key", "_known_at", "_deleted")]
    named = dict(zip(tree.named_selects, tree.selects, strict=True))
    made = [exp.alias_(e.unalias().copy(), n, quoted=True) for n, e in named.items() if n[0] == "_"]
    condition = tree.args["where"].this.copy() if tree.args.get("where") else exp.true()
    effect: exp.Expr = col("_known_at", table.alias)
    if "_declared" in named:
        # A deletion counts from when it is known; taking the later moment keeps too much.
        effect = exp.func("greatest", named["_declared"].unalias().copy(), effect)
    shown = exp.alias_(exp.func("coalesce", condition, exp.false()), "_in")
    rows = exp.select(*own, *made, shown, exp.alias_(effect, "_effect"))
    return rows.from_(versions.subquery(table.alias))


def _remaining(rows: exp.Select, start: Instant) -> exp.Select:
    """Return the versions that are not over; `_last` says that no other follows.

    Of several versions of a key at one moment only the last one ever was.
    """
    names = rows.named_selects
    latest = exp.Window(
        this=exp.RowNumber(),
        partition_by=[col("_key"), col("_known_at")],
        order=exp.Order(expressions=[exp.Ordered(this=col("_row"), desc=True)]),
    )
    numbered = (
        exp.select(*map(col, names), exp.alias_(latest, "_nth"))
        .from_(rows.subquery("v"))
        .where(present("_known_at"))
    )
    following = exp.WindowSpec(
        kind="ROWS", start="1", start_side="FOLLOWING", end="UNBOUNDED", end_side="FOLLOWING"
    )
    gone = exp.Window(
        this=exp.Min(this=col("_effect")),
        partition_by=[col("_key")],
        order=exp.Order(expressions=[exp.Ordered(this=col("_known_at"), nulls_first=False)]),
        spec=following,
    )
    first = exp.EQ(this=col("_nth"), expression=exp.convert(1))
    replaced = (
        exp.select(*map(col, names), exp.alias_(gone, "_gone"))
        .from_(numbered.subquery("n"))
        .where(first)
    )
    never = exp.Is(this=col("_gone"), expression=exp.null())
    later = exp.GT(this=col("_gone"), expression=lit(start))
    return (
        exp.select(*map(col, names), exp.alias_(never, "_last"))
        .from_(replaced.subquery("r"))
        .where(exp.or_(never.copy(), later))
    )


def _outshone(rows: exp.Select, entity: Sequence[str], start: Instant) -> exp.Select:
    """Return the versions with `_best`: the newest event of their entity that answers for good."""
    entered = exp.func("greatest", col("_event_time"), col("_effect"))
    stays = exp.and_(
        col("_last"),
        exp.Not(this=col("_deleted")),
        col("_in"),
        *([present("_declared")] if "_declared" in rows.named_selects else []),
        exp.LTE(this=entered, expression=lit(start)),
    )
    best = exp.Window(
        this=exp.Filter(
            this=exp.Max(this=col("_event_time")), expression=exp.Where(this=exp.paren(stays))
        ),
        partition_by=[col(name) for name in entity],
    )
    shown = [*map(col, rows.named_selects), exp.alias_(best, "_best")]
    return exp.select(*shown).from_(rows.subquery("s"))


def _fresh(features: Features, start: Instant) -> exp.Expr:
    """Return whether a version may answer: not outshone, and not too old already."""
    none = exp.Is(this=col("_best"), expression=exp.null())
    newest = exp.or_(none, exp.GTE(this=col("_event_time"), expression=col("_best")))
    if features.max_age is None:
        return exp.paren(newest)
    oldest = lit(start - features.max_age)
    return exp.and_(newest, exp.GTE(this=col("_event_time"), expression=oldest))


def _keys(rows: exp.Select, wanted: exp.Expr) -> exp.Select:
    """Return the `_row`s of the keys of which any version is wanted."""
    any_ = exp.Window(this=exp.LogicalOr(this=wanted), partition_by=[col("_key")])
    marked = exp.select(col("_row"), exp.alias_(any_, "_any")).from_(rows.subquery("k"))
    return exp.select("_row").from_(marked.subquery("m")).where(col("_any"))
