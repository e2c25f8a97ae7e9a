"""SQL of whether rows that went on share a declared key with another row at the same time. Pure.

A full build compares all rows. Where rows are appended, what was there before shares nothing, so
only keys of rows that went on need be looked at: with all drivers that ever said something of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from lichen.core.derive import derive
from lichen.core.sql import col, given, lit, rel
from lichen.core.versions import WITHIN, of_keys, written
from lichen.stages.tables.follow import touched
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import overlapping

KEYS, DRIVERS = "_keys", "_drivers"  # relations with one column, `_key`
# The range of the keys that went on, in the table.
_NEAR = exp.Between(
    this=col("_key"), low=given("least", "varchar"), high=given("greatest", "varchar")
)


def keeps_keys(table: Table, key: Sequence[str]) -> bool:
    """Return whether rows of a table differ in its key because they do so in its input's.

    They do if no part of the key is NULL.

    >>> from pathlib import Path
    >>> from lichen.core.errors import Where
    >>> from lichen.core.names import Name
    >>> from lichen.core.sql import parse_select
    >>> tree = parse_select("select id as k, v from s", Path("a.sql"))
    >>> table = Table(Name.parse("tables.a"), Where(Path("a.sql")), tree, "", key=("k",))
    >>> keeps_keys(table, ["id"]), keeps_keys(table, ["v"]), keeps_keys(table, [])
    (True, False, False)
    """
    if table.select.args.get("joins") or not key:
        return False
    return {name.lower() for name in key} <= set(_plain(table))


def same_keys(table: Table, key: Sequence[str]) -> bool:
    """Return whether the rows of a table with one input have that input's keys, text for text.

    Rows that lack a part of a declared key do not: see `without_key`.
    """
    return not table.key or (bool(key) and [name.lower() for name in key] == _plain(table))


def _plain(table: Table) -> list[str]:
    """The input's columns that a declared key is made of; an empty name stands for what is none."""
    said = {p.alias_or_name.lower(): p.unalias() for p in table.select.expressions}
    plain = (said.get(name.lower()) for name in table.key)
    return [each.name.lower() if isinstance(each, exp.Column) else "" for each in plain]


def staged_keys(table: Table, first: exp.Expr, *, kept: bool) -> exp.Select:
    """Return the keys of which a staged commit of a table with one input says rows.

    Where the table has `kept` the keys of its input, only those are meant that a NULL is part of:
    a source tells such rows apart by their place.
    """
    new = exp.GT(this=col("_row"), expression=first.copy())
    rows = exp.select(col("_key")).distinct().from_(rel("_staged_rows"))
    rows = rows.where(new, exp.not_(col("_deleted")))
    return rows.where(without_key(table)) if kept else rows


def without_key(table: Table) -> exp.Expr:
    """Return whether a row lacks a part of the declared key."""
    return exp.or_(*(col(name.lower()).is_(exp.null()) for name in table.key))


def joined_keys(
    table: Table, inputs: Mapping[str, exp.Query], news: Mapping[str, exp.Expr], node: str
) -> exp.Select:
    """Return the keys of the rows that a join makes of the drivers that news touch."""
    held = exp.select(*map(col, ("_row", "_key", "_from"))).from_(rel(node))
    part = of_keys(inputs[driver(table)], exp.select(col("_key")).from_("_touched"))
    spans = _spans(table, inputs, part)
    query = exp.select(col("_key")).distinct().from_(spans.subquery("s"))
    parts = {
        "_driver": inputs[driver(table)],
        "_held": held,
        "_touched": touched(table, inputs, news),
    }
    for name, tree in parts.items():
        query = query.with_(name, as_=tree, materialized=name == "_touched")
    return query


def drivers(table: Table, inputs: Mapping[str, exp.Query], node: str) -> exp.Select:
    """Return the keys of the drivers of which the table's rows with the `KEYS` were ever made."""
    maker = exp.alias_(exp.Bracket(this=col("_from"), expressions=[lit(0)]), "_row")
    said, staged = (
        exp.select(maker.copy()).from_(rel(name)).where(_NEAR.copy(), _among_keys())
        for name in (node, "_staged_rows")
    )
    made = exp.union(said, staged, distinct=False)
    rows = exp.select(col("_key")).distinct().from_(inputs[driver(table)].subquery("d"))
    return rows.where(col("_row").isin(query=made))


def sharing(table: Table, inputs: Mapping[str, exp.Query]) -> exp.Select:
    """Return how many rows of the `KEYS` begin while another row has their key."""
    part = of_keys(inputs[driver(table)], exp.select(col("_key")).from_(rel(DRIVERS)), WITHIN)
    spans = _spans(table, inputs, part)
    return overlapping(exp.select("*").from_(spans.subquery("s")).where(_among_keys()))


def _spans(table: Table, inputs: Mapping[str, exp.Query], part: exp.Query) -> exp.Select:
    return derive(table.select, {**inputs, driver(table): part}, table.key, where=table.where)


def driver(table: Table) -> str:
    """Return the relation that stands first in FROM."""
    return written(table.select.args["from_"].this)


def _among_keys() -> exp.Expr:
    return col("_key").isin(query=exp.select(col("_key")).from_(rel(KEYS)))
