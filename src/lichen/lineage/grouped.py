"""The input rows behind rows of a SELECT that aggregates, found by running it again for their keys.

Such a table is evaluated on the rows that are current when it is built, so its rows carry no row
ids. The same build is asked again: its inputs at their versions then, current at its `now`, and of
them only those that fall into the groups in question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlglot import exp

from lichen.core.derive import is_aggregate
from lichen.core.sql import col, lit, rel, tables_in
from lichen.core.versions import current
from lichen.lineage.archive import WANTED, Archive, Row
from lichen.lineage.narrow import Condition, narrow, sides
from lichen.ports.ledger import Record


@dataclass(frozen=True)
class Group:
    """What decides which input rows a result row stands for: `values` by result column.

    `exact` is False where more rows are named than decided: the SELECT does not show all that it
    groups by, or hides it in a subquery.
    """

    values: Mapping[str, exp.Expr]
    exact: bool


class Behind(NamedTuple):
    """The rows behind the wanted ones: for each its ids, in FROM order; and whether exactly."""

    nodes: tuple[str, ...]
    rows: Mapping[int, tuple[frozenset[int], ...]]
    exact: bool


def behind(archive: Archive, build: Record, rows: Sequence[Row]) -> Behind:
    """Return the input rows of rows that one build of an aggregating table brought."""
    select = archive.definition(build)
    nested = len(list(select.find_all(exp.Query))) > 1
    if nested:
        return _everything(archive, build, select, rows)
    group = group_of(select)
    wanted = _wanted(archive, build, rows)
    conditions = [
        Condition(value, _among(name))
        for name, value in group.values.items()
        if all(row.values[name] is not None for row in rows)
    ]
    shelf = archive.shelf(archive.inputs(build))
    near = narrow(select, conditions, shelf, archive.loop.engine, wanted)
    probe = _probe(select, group, near.inputs, build)
    found: dict[int, list[set[int]]] = {r.row: [set() for _ in sides(select)] for r in rows}
    for told in archive.ask(probe, {**near.relations, **wanted}):
        for index, ids in enumerate(found[told["_of"]]):
            if told[f"_from{index}"] is not None:
                ids.add(told[f"_from{index}"])
    each = {row: tuple(map(frozenset, ids)) for row, ids in found.items()}
    return Behind(tuple(side.node for side in sides(select)), each, group.exact)


def group_of(select: exp.Select) -> Group:
    """Return what the rows of a SELECT have in common with the input rows that decide them.

    >>> from lichen.core.sql import parse_select
    >>> from pathlib import Path
    >>> tree = parse_select("select a, count(*) as n from t group by a", Path("t.sql"))
    >>> group_of(tree)
    Group(values={'a': Column(
      this=Identifier(this=a, quoted=False))}, exact=True)
    """
    shown = {p.alias_or_name.lower(): p.unalias() for p in select.selects}
    windows = list(select.find_all(exp.Window))
    if group := select.args.get("group"):
        keys = list(group.expressions)
    elif windows:
        keys = _shared(windows)
    elif any(is_aggregate(node) for p in shown.values() for node in p.walk()):
        keys = []
    else:  # DISTINCT, LIMIT: a result row is its values
        return Group(shown, exact=True)
    texts = {value.sql(): name for name, value in shown.items()}
    values = {texts[key.sql()]: key for key in keys if key.sql() in texts}
    return Group(values, exact=len(values) == len(keys))


def _shared(windows: Sequence[exp.Window]) -> list[exp.Expr]:
    """Return what all windows are partitioned by."""
    parts = [{p.sql(): p for p in window.args.get("partition_by") or ()} for window in windows]
    common = set(parts[0]).intersection(*parts[1:])
    return [part for text, part in parts[0].items() if text in common]


def _among(name: str) -> Any:
    values = exp.select(col(name)).from_(rel(WANTED))
    return lambda value: value.isin(query=values.copy())


def _wanted(archive: Archive, build: Record, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the wanted rows themselves as a relation, with the types in which they are stored."""
    shelf = archive.shelf({build.node: build})
    scan = shelf.relations([build.node])[build.node]
    users = [c.name for c in scan.columns if not c.name.startswith("_")]
    ids = [lit(row.row) for row in rows]
    query = (
        exp.select(*map(col, (*users, "_row"))).from_(rel(build.node)).where(col("_row").isin(*ids))
    )
    return {WANTED: archive.loop.engine.arrow(query, {build.node: scan})}


def _probe(
    select: exp.Select, group: Group, inputs: Mapping[str, exp.Query], build: Record
) -> exp.Select:
    """Return the SELECT's FROM, JOIN and WHERE with the ids of the rows that meet in them."""
    shown = [exp.alias_(col("_row", s.alias), f"_from{i}") for i, s in enumerate(sides(select))]
    probe = exp.select(exp.alias_(col("_row", WANTED), "_of"), *shown)
    for clause in ("from_", "joins", "where"):
        if (found := select.args.get(clause)) is not None:
            copies = [each.copy() for each in found] if isinstance(found, list) else found.copy()
            probe.set(clause, copies)
    for table in list(tables_in(probe)):
        held = current(inputs[table.name], lit(build.now))
        table.replace(held.subquery(table.alias_or_name))
    same = [
        exp.NullSafeEQ(this=value.copy(), expression=col(name, WANTED))
        for name, value in group.values.items()
    ]
    return probe.join(rel(WANTED), on=exp.and_(*same) if same else exp.true())


def _everything(archive: Archive, build: Record, select: exp.Select, rows: Sequence[Row]) -> Behind:
    """Return all rows that the build could see: what a subquery does with them is not followed."""
    records = archive.inputs(build)
    shelf = archive.shelf(records)
    nodes = tuple(dict.fromkeys(table.name for table in tables_in(select)))
    ids = []
    for node in nodes:
        held = current(shelf.versions(node), lit(build.now))
        query = exp.select(col("_row")).from_(held.subquery("h"))
        told = archive.ask(query, shelf.relations([node]))
        ids.append(frozenset(row["_row"] for row in told))
    return Behind(nodes, {row.row: tuple(ids) for row in rows}, exact=False)
