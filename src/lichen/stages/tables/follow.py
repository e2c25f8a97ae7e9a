"""SQL of a table that goes on with its inputs: what it gains, and what it no longer says. Pure.

A row of the result belongs to the row of the first relation in FROM, its *driver*. New rows of any
input touch some drivers; these are joined again, over all their versions, and compared with what
the table said of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp

from lichen.core.derive import derive
from lichen.core.sql import DIALECT, col
from lichen.core.versions import as_versions, of_keys, written
from lichen.stages.tables.spec import Table

# The drivers' own rows, by which the rows of the result are told apart.
_DRIVING = "select _row from _part"
# What the table says last at each moment at which it says something of the drivers' keys.
_LAST = """
select *, _mine from (
  select *, _from[1] in (select _row from _driving) as _mine from _held
  where _key in (
    select _key from _held where _from[1] in (select _row from _driving)
    union all select _key from _made
  )
) as h
qualify row_number() over (partition by _key, _known_at order by _row desc) = 1
"""
# Of another driver's row that begins where a row of ours ends, the beginning stands.
_GAINED = """
select {columns} from _made as m
left join _last as l on m._key = l._key and m._known_at = l._known_at
where l._key is null
  or (l._mine and (l._deleted <> m._deleted or l._from is distinct from m._from))
  or (not l._mine and not m._deleted)
"""
# Where the table says what is no longer so, the row that holds there is said again, or none.
_AMENDED = """
select {said}, l._key, l._known_at, {now} as _arrived_at,
  s._key is null as _deleted, coalesce(s._from, l._from) as _from
from _last as l
anti join _made as m on m._key = l._key and m._known_at = l._known_at
left join _spans as s on s._key = l._key and s._known_at <= l._known_at
  and (s._until is null or l._known_at < s._until)
where l._mine and case when s._key is null then not l._deleted
  else l._deleted or l._from is distinct from s._from end
"""


def gained(
    table: Table,
    inputs: Mapping[str, exp.Query],
    news: Mapping[str, exp.Expr],
    held: exp.Query,
    now: exp.Expr,
    within: exp.Expr | None = None,
) -> exp.Select:
    """Return the versions that a row-wise table gains from some rows of its inputs.

    `news` holds, for each input that has such rows, a condition that is true of them; `held`
    are the table's versions with their `_from`. `within` is true of every driver that is touched.
    """
    driver = _names(table)[0]
    versions = inputs[driver]
    part = exp.select(*map(col, versions.named_selects)).from_("_part")
    spans = derive(table.select, {**inputs, driver: part}, table.key, where=table.where)
    made = as_versions(exp.select(*map(col, spans.named_selects)).from_("_spans"))
    users = [name for name in spans.named_selects if name not in _OWN]
    own = ("_key", "_known_at", "_arrived_at", "_deleted", "_from")
    shown = ", ".join(_text(col(name, "m")) for name in (*users, *own))
    said = ", ".join(
        f"case when s._key is null then {_text(col(c, 'l'))} else {_text(col(c, 's'))} end "
        f"as {_text(col(c))}"
        for c in users
    )
    gains = _parsed(_GAINED.format(columns=shown))
    amended = _parsed(_AMENDED.format(said=said, now=_text(now)))
    both = exp.union(gains, amended, distinct=False)
    query = exp.select(*map(col, (*users, *own))).from_(both.subquery("both"))
    parts: dict[str, exp.Query] = {
        "_driver": versions,
        "_held": held,
        "_touched": touched(table, inputs, news),
        "_part": of_keys(versions, exp.select("_key").from_("_touched"), within),
        "_driving": _parsed(_DRIVING),
        "_spans": spans,
        "_made": made,
        "_last": _parsed(_LAST),
    }
    for name, tree in parts.items():
        query = query.with_(name, as_=tree, materialized=name not in ("_driver", "_held"))
    return query


_OWN = ("_key", "_known_at", "_until", "_arrived_at", "_from", "_row")


def touched(
    table: Table, inputs: Mapping[str, exp.Query], news: Mapping[str, exp.Expr]
) -> exp.Query:
    """Return the keys of the drivers that the news touch: their own, or those that rows of a key
    that went on join now, or joined before.

    The driver's versions are read as `_driver`, the table's as `_held`.
    """
    driver, *others = _names(table)
    found: list[exp.Query] = []
    if driver in news:
        found.append(keys_of(inputs[driver], news[driver]))
    for number, name in enumerate(others):
        if name not in news:
            continue
        part = of_keys(inputs[name], keys_of(inputs[name], news[name]))
        met = derive(_meeting(table.select, number), {**inputs, name: part}, where=table.where)
        before = exp.select(_maker(0)).from_("_held")
        before = before.where(
            _maker(number + 1).isin(query=exp.select("_row").from_(part.subquery("p")))
        )
        for rows in (exp.select(_maker(0)).from_(met.subquery("met")), before):
            keys = exp.select(col("_key")).from_("_driver")
            found.append(keys.where(col("_row").isin(query=rows)))
    if not found:  # every input is static
        return exp.select(col("_key")).from_("_driver").where(exp.false())
    return found[0] if len(found) == 1 else exp.union(*found)


def _maker(place: int) -> exp.Expr:
    """The row of one of the relations in FROM, of which a row of the result was made."""
    return exp.Bracket(this=col("_from"), expressions=[exp.Literal.number(place)])


def _meeting(select: exp.Select, number: int) -> exp.Select:
    """Return the join without WHERE, in which one of the joined relations must match."""
    tree = select.copy()
    tree.set("where", None)
    join = tree.args["joins"][number]
    join.set("side", None)
    join.set("kind", None)
    return tree


def keys_of(versions: exp.Query, meant: exp.Expr) -> exp.Select:
    """Return the keys of the versions of which a condition is true."""
    return exp.select(col("_key")).from_(versions.subquery("i")).where(meant.copy())


def _names(table: Table) -> Sequence[str]:
    """The relations in FROM, in their order."""
    tree = table.select
    read = (tree.args["from_"].this, *(join.this for join in tree.args.get("joins") or ()))
    return [written(each) for each in read if isinstance(each, exp.Table)]


def _text(tree: exp.Expr) -> str:
    return tree.sql(dialect=DIALECT)


def _parsed(query: str) -> exp.Query:
    tree = sqlglot.parse_one(query, dialect=DIALECT)
    assert isinstance(tree, exp.Query)
    return tree
