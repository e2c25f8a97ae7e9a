"""Keys pushed down: of each relation of a SELECT only the keys that can matter to the answer.

A row that meets the conditions has, in every relation that they speak of, a version that meets
them. All versions of such keys are kept (a correction may move a row away), and nothing else;
joined relations follow by the columns that they are joined on. Whatever is computed from the rest
is the same as from everything, as long as only rows that meet the conditions are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from arro3.core import Table
from sqlglot import exp

from lichen.core.sql import col, columns_in, rel
from lichen.core.versions import columns_of, stored
from lichen.ports.engine import Engine
from lichen.stages.context import Shelf


class Condition(NamedTuple):
    """What the rows in question meet: a value of theirs, and the predicate that it satisfies."""

    value: exp.Expr
    holds: Callable[[exp.Expr], exp.Expr]


class Side(NamedTuple):
    """A relation in FROM: its alias, its node, and how it was joined."""

    alias: str
    node: str
    join: exp.Join | None

    @property
    def outer(self) -> bool:
        """Return whether rows exist without it."""
        return self.join is not None and bool(self.join.side)


class Narrow(NamedTuple):
    """The inputs of a SELECT as versions relations, and what the engine needs to read them."""

    inputs: dict[str, exp.Query]
    relations: dict[str, Any]


def sides(select: exp.Select) -> tuple[Side, ...]:
    """Return the relations of a resolved SELECT in FROM order: the order of `_from`."""
    first = select.args["from_"].this
    joins = select.args.get("joins") or ()
    every = [(first, None), *((join.this, join) for join in joins)]
    return tuple(Side(t.alias_or_name, t.name, join) for t, join in every)


def narrow(
    select: exp.Select,
    conditions: Sequence[Condition],
    shelf: Shelf,
    engine: Engine,
    more: Mapping[str, Any],
    also: Iterable[str] = (),
) -> Narrow:
    """Read what a resolved SELECT needs for the rows that meet all the conditions.

    `more` holds the relations that the predicates read; `also` names columns that are read besides
    those of the SELECT.
    """
    read = columns_in(select).union(name.lower() for name in also)
    search = _Search(sides(select), read, shelf, engine, more)
    search.begin(conditions)
    while search.follow_joins():
        pass
    return search.result()


@dataclass
class _Search:
    sides: tuple[Side, ...]
    read_columns: frozenset[str]
    shelf: Shelf
    engine: Engine
    more: Mapping[str, Any]
    found: dict[str, Table] = field(default_factory=dict)  # alias to versions
    direct: set[str] = field(default_factory=set)  # aliases that the conditions speak of

    def begin(self, conditions: Sequence[Condition]) -> None:
        for side in self.sides:
            held = [
                condition.holds(_bare(value))
                for condition in conditions
                if _aliases(value := _first(condition.value)) == {side.alias}
                and (not side.outer or isinstance(value, exp.Column))
            ]
            if held:
                self.direct.add(side.alias)
                self.found[side.alias] = self._read(side.node, exp.and_(*held), self.more)

    def follow_joins(self) -> bool:
        """Narrow one more relation by a join with one that is narrow; False when none is left."""
        by_alias = {side.alias: side for side in self.sides}
        for side in self.sides:
            for here, there in _equalities(side):
                (other,) = _aliases(there)
                if side.alias not in self.found and other in self.found:
                    near, far, target = there, here, side
                elif (
                    other in by_alias
                    and other not in self.found
                    and side.alias in self.found
                    and (not side.outer or side.alias in self.direct)
                ):
                    near, far, target = here, there, by_alias[other]
                    if side.alias in self.direct:
                        self.direct.add(other)
                else:
                    continue
                (source,) = _aliases(near)
                self.found[target.alias] = self._joined(target.node, far, source, near)
                return True
        return False

    def result(self) -> Narrow:
        inputs: dict[str, exp.Query] = {}
        relations: dict[str, Any] = {}
        for node in dict.fromkeys(side.node for side in self.sides):
            tables = [self.found.get(s.alias) for s in self.sides if s.node == node]
            versions = self.shelf.versions(node)
            if any(table is None for table in tables):
                inputs[node] = versions
                relations |= self.shelf.relations([node])
            else:
                inputs[node] = stored(node, self._columns(versions))
                relations[node] = self._together([t for t in tables if t is not None])
        return Narrow(inputs, relations)

    def _columns(self, versions: exp.Query) -> list[str]:
        return [name for name in columns_of(versions) if name.lower() in self.read_columns]

    def _together(self, tables: Sequence[Table]) -> Table:
        if len(tables) == 1:
            return tables[0]
        names = [f"_{i}" for i in range(len(tables))]
        union = exp.union(*(exp.select("*").from_(rel(n)) for n in names), distinct=True)
        return Table.from_arrow(self.engine.arrow(union, dict(zip(names, tables, strict=True))))

    def _joined(self, node: str, far: exp.Expr, source: str, near: exp.Expr) -> Table:
        values = exp.select(_bare(near)).from_(rel("_near"))
        return self._read(node, _bare(far).isin(query=values), {"_near": self.found[source]})

    def _read(self, node: str, condition: exp.Expr, more: Mapping[str, Any]) -> Table:
        versions = self.shelf.versions(node)
        keys = exp.select(col("_key")).from_(versions.subquery("k")).where(condition)
        query = (
            exp.select(*map(col, stored(node, self._columns(versions)).named_selects))
            .from_(versions.copy().subquery("v"))
            .where(col("_key").isin(query=keys))
        )
        return Table.from_arrow(self.engine.arrow(query, {**self.shelf.relations([node]), **more}))


def _equalities(side: Side) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return the pairs of a join's own value and another relation's that it sets equal."""
    on = side.join.args.get("on") if side.join is not None else None
    found = []
    for term in on.flatten() if isinstance(on, exp.And) else [on]:
        if not isinstance(term, exp.EQ):
            continue
        for here, there in ((term.this, term.expression), (term.expression, term.this)):
            if _aliases(here) == {side.alias} and len(_aliases(there) - {side.alias}) == 1:
                found.append((here, there))
    return [pair for pair in found if len(_aliases(pair[1])) == 1]


def _first(value: exp.Expr) -> exp.Expr:
    """Return the left column of what USING merged: the other one is the same or missing."""
    value = value.unnest()
    if isinstance(value, exp.Coalesce):
        parts = [value.this, *value.expressions]
        if len({p.name for p in parts if isinstance(p, exp.Column)}) == 1:
            return next(p for p in parts if isinstance(p, exp.Column))
    return value


def _aliases(tree: exp.Expr) -> set[str]:
    return {column.table for column in tree.find_all(exp.Column)}


def _bare(tree: exp.Expr) -> exp.Expr:
    """Return an expression over the columns of one relation, without its alias."""
    return tree.copy().transform(
        lambda node: col(node.name) if isinstance(node, exp.Column) else node
    )
