"""SQL of building a table: the versions that its SELECT has over its inputs' versions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from lichen.core.derive import derive, is_nested
from lichen.core.sql import col, lit, tables_in
from lichen.core.versions import as_versions, current, key_text, ordered
from lichen.stages.tables.spec import Table, key_at_once

OWN = ("_key", "_known_at", "_arrived_at", "_deleted", "_from")
Inputs = Mapping[str, exp.Query]


def whole(table: Table, inputs: Inputs, now: exp.Expr) -> exp.Select:
    """Return every version of the table, from every version of its inputs."""
    if not table.at_once():
        return as_versions(derive(table.select, inputs, table.key, where=table.where))
    return _plain(_at_now(table, inputs, now))


def added(table: Table, inputs: Inputs, meant: exp.Expr) -> exp.Select:
    """Return the versions that a row-wise table gains from the input rows that are meant.

    No other row of the input is of the same key as any of them.
    """
    ((name, versions),) = inputs.items()
    part = versions.copy().where(meant.copy())
    return as_versions(derive(table.select, {name: part}, table.key, where=table.where))


def changes(table: Table, inputs: Inputs, held: exp.Query, now: exp.Expr) -> exp.Select:
    """Return what differs between the rows that a table has at once and those that are held."""
    fresh = _plain(_at_now(table, inputs, now))
    ever = exp.select("_key").from_(held.subquery("e"))
    users = [c.lower() for c in table.select.named_selects]
    before = current(held, now.copy())
    differs = exp.or_(
        col("_key", "h").is_(exp.null()),
        *(exp.NullSafeNEQ(this=col(c, "n"), expression=col(c, "h")) for c in users),
    )
    same = exp.EQ(this=col("_key", "n"), expression=col("_key", "h"))
    # A key that was ever there, and be it deleted since, is corrected from now on.
    corrected = (
        exp.case().when(col("_key", "n").isin(query=ever), now.copy()).else_(col("_known_at", "n"))
    )
    new = (
        exp.select(
            *(col(c, "n") for c in (*users, "_key")),
            exp.alias_(corrected, "_known_at"),
            *(col(c, "n") for c in ("_arrived_at", "_deleted", "_from")),
        )
        .from_(fresh.subquery("n"))
        .join(before.subquery("h"), on=same, join_type="left")
        .where(differs)
    )
    gone = (
        exp.select(
            *(col(c, "h") for c in (*users, "_key")),
            exp.alias_(now.copy(), "_known_at"),
            exp.alias_(now.copy(), "_arrived_at"),
            exp.alias_(exp.true(), "_deleted"),
            exp.alias_(_NOWHERE, "_from"),
        )
        .from_(before.subquery("h"))
        .join(fresh.copy().subquery("n"), on=same.copy(), join_type="anti")
    )
    return exp.select("*").from_(exp.union(new, gone, distinct=False).subquery("c"))


def overlapping(held: exp.Query) -> exp.Select:
    """Return how many spans begin before an earlier one of their key has ended."""
    order = exp.Order(
        expressions=[exp.Ordered(this=col("_known_at")), exp.Ordered(this=col("_from"))]
    )
    before = exp.Window(this=exp.Lag(this=col("_until")), partition_by=[col("_key")], order=order)
    first = exp.Window(this=exp.RowNumber(), partition_by=[col("_key")], order=order.copy())
    rows = exp.select(
        col("_known_at"), exp.alias_(before, "_ended"), exp.alias_(first, "_nth")
    ).from_(held.subquery("h"))
    still = exp.or_(
        col("_ended").is_(exp.null()), exp.GT(this=col("_ended"), expression=col("_known_at"))
    )
    return (
        exp.select(exp.alias_(exp.Count(this=exp.Star()), "n"))
        .from_(rows.subquery("r"))
        .where(exp.GT(this=col("_nth"), expression=lit(1)), still)
    )


def repeated(made: exp.Query, since: exp.Expr) -> exp.Select:
    """Return how many rows of a commit have the key of another one."""
    keys = exp.Count(this=exp.Distinct(expressions=[col("_key")]))
    return (
        exp.select(exp.alias_(exp.Sub(this=exp.Count(this=exp.Star()), expression=keys), "n"))
        .from_(made.subquery("made"))
        .where(_after(since), exp.not_(col("_deleted")))
    )


def numbered(made: exp.Query, columns: Sequence[str], first: exp.Expr) -> exp.Select:
    """Return versions in the order of time with the row ids of a commit."""
    number = exp.Window(
        this=exp.RowNumber(), order=ordered("_known_at", "_key", "_deleted", "_from")
    )
    return (
        exp.select(
            exp.alias_(exp.Add(this=first.copy(), expression=number), "_row"),
            *map(col, (*OWN, *columns)),
        )
        .from_(made.subquery("made"))
        .order_by(col("_row"))
    )


def _after(row: exp.Expr) -> exp.Expr:
    return exp.GT(this=col("_row"), expression=row.copy())


def _at_now(table: Table, inputs: Inputs, now: exp.Expr) -> exp.Select:
    """The SELECT over the rows current now, with when its rows became known and their key."""
    if table.function is not None:
        arrived = exp.alias_(now.copy(), "_arrived_at")
        given = table.select.select(col("_known_at"), arrived)
        return exp.select("*", exp.alias_(key_text(table.key), "_key")).from_(given.subquery("s"))
    select = table.select.copy()
    aliases = []
    for read in list(tables_in(select)):
        aliases.append(read.alias_or_name)
        read.replace(current(inputs[read.name], now.copy()).subquery(read.alias_or_name))
    key = key_at_once(table)
    # A group is known once the newest row in it is; without groups nothing finer is derivable.
    # An inner SELECT does not hand on when its rows became known.
    grouped = select.args.get("group") and not select.args.get("distinct")
    grouped = grouped and not is_nested(table.select)
    for name in ("_known_at", "_arrived_at"):
        newest = exp.func("greatest", *(exp.Max(this=col(name, alias)) for alias in aliases))
        select = select.select(exp.alias_(newest if grouped else now.copy(), name), copy=False)
    return exp.select("*", exp.alias_(key_text(key), "_key")).from_(select.subquery("s"))


def _plain(rows: exp.Select) -> exp.Select:
    here, origin = exp.alias_(exp.false(), "_deleted"), exp.alias_(_NOWHERE, "_from")
    return exp.select("*", here, origin).from_(rows.subquery("p"))


# Rows that are made at once do not say what they were made of.
_NOWHERE = exp.cast(exp.null(), "bigint[]", dialect="duckdb")
