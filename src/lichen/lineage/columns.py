"""Column lineage, read from the resolved trees: which columns a value is made of. Pure.

Two kinds of columns matter to a value and are kept apart: those that its expression reads
(`inputs`), and those that decide which rows there are (`rows_decided_by`: WHERE, JOIN, GROUP BY
and the like; for features also entity and event time).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from lichen.core.errors import Where
from lichen.core.names import Kind, Name
from lichen.core.resolve import resolve
from lichen.core.sql import text
from lichen.core.time import short
from lichen.declared import Project
from lichen.lineage.origin import LineageError, Origin
from lichen.stages.features.spec import Features
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.tables import columns_of
from lichen.stages.sources.spec import Source
from lichen.stages.tables.function import Function
from lichen.stages.tables.spec import Table

_CLAUSES = ("where", "group", "having", "qualify", "distinct", "order", "limit", "offset")


class Leaf(NamedTuple):
    """A column of a node."""

    node: str
    column: str


def column_lineage(project: Project, name: Name, column: str) -> Origin:
    """Return what a column is computed from, down to the columns of sources.

    Raises LineageError, with the columns that there are, for one that the node does not have.
    """
    return _Lineage(project).of(Leaf(str(name), column), name)


@dataclass
class _Lineage:
    project: Project
    known: dict[Leaf, Origin] = field(default_factory=dict)

    def of(self, leaf: Leaf, name: Name) -> Origin:
        if leaf not in self.known:
            self.known[leaf] = self._made(leaf, name)
        return self.known[leaf]

    def _made(self, leaf: Leaf, name: Name) -> Origin:
        node = self.project.nodes.get(name)
        match node:
            case Source():
                return self._of_source(node, leaf.column)
            case Table(function=Function()):
                return self._given(node, leaf.column)
            case Table():
                return self._of_select(node.select, name, leaf.column, node.where, {})
            case Features():
                return self._of_features(node, leaf.column)
            case Outcome():
                return self._of_outcome(node, leaf.column)
            case None if name.kind in (Kind.predictions, Kind.feedback):
                columns = columns_of(name.kind)
                found = _known(leaf.column, columns, name, None)
                return Origin(str(name), None, (), {"column": found, "type": columns[found]})
            case _:
                raise LineageError(f"{name} has no columns: it is no table")

    def _of_source(self, source: Source, written: str) -> Origin:
        columns = {c.name: c for c in source.contract.columns}
        found = columns[_known(written, columns, source.name, source.where)]
        told = {
            "column": found.name,
            "type": found.type,
            "description": found.description.strip() or None,
            "contract": _near(source.contract.path, self.project),
        }
        return Origin(str(source.name), None, (), told)

    def _given(self, table: Table, written: str) -> Origin:
        """Return a column that a function gives: of what, only the function knows."""
        assert table.function is not None
        column = _known(written, table.select.named_selects, table.name, table.where)
        told = {
            "column": column,
            "type": table.function.types[column],
            **self._promised(table.name, column),
            "lineage": "table",
            "reason": f"given by the function {table.function.name}: lineage goes by table, and "
            "not by column",
        }
        inputs = tuple(Origin(node, None) for node in table.function.inputs)
        return Origin(str(table.name), None, inputs, told)

    def _of_select(
        self, select: exp.Select, name: Name, written: str, where: Where, decided: Mapping[str, Any]
    ) -> Origin:
        shown = {p.alias_or_name: p.unalias() for p in select.selects}
        column = _known(written, shown, name, where)
        scopes = _Scopes(select)
        return self._origin(name, column, shown[column], scopes, decided)

    def _origin(
        self,
        name: Name,
        column: str,
        value: exp.Expr,
        scopes: _Scopes,
        decided: Mapping[str, exp.Expr],
    ) -> Origin:
        leaves = scopes.leaves(value)
        inputs = [self.of(leaf, Name.parse(leaf.node)) for leaf in leaves if leaf.node != "request"]
        inputs += self._requested(leaf for leaf in leaves if leaf.node == "request")
        told: dict[str, Any] = {
            "column": column,
            "expression": _spelled(value),
            "columns": [f"{leaf.node}.{leaf.column}" for leaf in leaves],
        }
        told |= self._promised(name, column)
        rows = [*scopes.decisions(), *scopes.told(decided)]
        if rows:
            told["rows_decided_by"] = rows
        return Origin(str(name), None, tuple(inputs), told)

    def _promised(self, name: Name, column: str) -> dict[str, Any]:
        contract = getattr(self.project.nodes.get(name), "contract", None)
        for promised in contract.columns if contract else ():
            if promised.name.lower() == column.lower():
                return {"type": promised.type, "description": promised.description.strip() or None}
        return {}

    def _of_features(self, node: Features, written: str) -> Origin:
        if node.shape == "request":
            return self._of_request(node, written)
        shown = [p.alias_or_name for p in node.select.selects]
        column, length = written, None
        if node.shape == "window":
            windowed = {f"{c}_{short(w)}": (c, short(w)) for c in shown for w in node.windows}
            if written not in shown:
                _known(written, [*windowed, *shown], node.name, node.where)
                column, length = windowed.get(written.lower(), (written, None))
        decided = {"entity": exp.tuple_(*(exp.column(e) for e in node.entity))}
        decided |= {
            clause: tree
            for clause in ("event_time", "known_at")
            if (tree := getattr(node, clause)) is not None
        }
        found = self._of_select(node.select, node.name, column, node.where, decided)
        extra = {"window": length} if length else {}
        return Origin(found.node, None, found.inputs, {**found.told, **extra})

    def _of_request(self, node: Features, written: str) -> Origin:
        outcomes = _asking(self.project, node)
        columns = {c for outcome in outcomes for c in outcome.request_columns()}
        schema = {"request": tuple(sorted(columns))}
        select = resolve(node.select, node.where.path, schema, lambda n, _: n)
        return self._of_select(select, node.name, written, node.where, {})

    def _requested(self, leaves: Iterable[Leaf]) -> list[Origin]:
        """Return the outcomes' columns that a request feature reads."""
        return [
            self.of(Leaf(str(outcome.name), leaf.column), outcome.name)
            for leaf in leaves
            for outcome in self.project.of(Outcome)
            if leaf.column in outcome.request_columns()
        ]

    def _of_outcome(self, node: Outcome, written: str) -> Origin:
        shown = node.select.named_selects
        declared = {n: t for n in ("label", "predict_at", "known_at") if (t := getattr(node, n))}
        decided = {"predict_at": node.predict_at} if node.predict_at is not None else {}
        if written in shown or written not in declared:
            _known(written, [*shown, *declared], node.name, node.where)
            return self._of_select(node.select, node.name, written, node.where, decided)
        scopes = _Scopes(node.select)
        value = scopes.by_outputs(declared[written])
        return self._origin(node.name, written, value, scopes, decided)


class _Scopes:
    """A resolved SELECT with the scope of each of its queries."""

    def __init__(self, select: exp.Select) -> None:
        self.select = select
        self.scopes = {id(scope.expression): scope for scope in traverse_scope(select)}

    def leaves(self, tree: exp.Expr) -> tuple[Leaf, ...]:
        """Return the columns of nodes that an expression of this SELECT reads, in their order."""
        found: dict[Leaf, None] = {}
        for column in tree.find_all(exp.Column, bfs=False):
            scope = self._around(column)
            found.update(dict.fromkeys(self._behind(column, scope)))
        return tuple(found)

    def decisions(self) -> list[dict[str, Any]]:
        """Return the clauses that decide which rows there are, with the columns they read."""
        return [
            self._told(clause, tree)
            for scope in self.scopes.values()
            if isinstance(scope.expression, exp.Select)
            for clause, tree in _clauses(scope.expression)
        ]

    def told(self, declared: Mapping[str, exp.Expr]) -> list[dict[str, Any]]:
        """Return declared expressions as further decisions."""
        return [self._told(clause, self.by_outputs(tree)) for clause, tree in declared.items()]

    def by_outputs(self, tree: exp.Expr) -> exp.Expr:
        """Return a declared expression over what the outputs of the SELECT are made of."""
        shown = {p.alias_or_name.lower(): p.unalias() for p in self.select.selects}

        def column(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and not node.table:
                return shown[node.name.lower()].copy() if node.name.lower() in shown else node
            return node

        return tree.copy().transform(column)

    def _told(self, clause: str, tree: exp.Expr) -> dict[str, Any]:
        columns = [f"{leaf.node}.{leaf.column}" for leaf in self.leaves(tree)]
        return {"clause": clause, "expression": _spelled(tree), "columns": columns}

    def _around(self, column: exp.Expr) -> Scope:
        query = column.parent_select
        return self.scopes.get(id(query), self.scopes[id(self.select)])

    def _behind(self, column: exp.Column, scope: Scope | None) -> Iterator[Leaf]:
        while scope is not None and column.table and column.table not in scope.sources:
            scope = scope.parent  # a correlated subquery reads the row around it
        if scope is None:
            return
        names = [column.table] if column.table else list(scope.sources)
        for name in names:
            source = scope.sources[name]
            if isinstance(source, Scope):
                yield from self._through(source, column.name)
            elif isinstance(source, exp.Table):
                yield Leaf(source.name, column.name)

    def _through(self, scope: Scope, name: str) -> Iterator[Leaf]:
        """Yield what a column of a subquery is made of; of a union, in each branch."""
        query = scope.expression
        if isinstance(query, exp.SetOperation):
            index = [n.lower() for n in query.named_selects].index(name.lower())
            for branch in _branches(query):
                yield from self.leaves(branch.selects[index])
            return
        for shown in query.selects if isinstance(query, exp.Query) else ():
            if shown.alias_or_name.lower() == name.lower():
                yield from self.leaves(shown)


def _branches(query: exp.Query) -> Iterator[exp.Query]:
    if isinstance(query, exp.SetOperation):
        yield from _branches(query.left)
        yield from _branches(query.right)
    else:
        yield query


def _clauses(select: exp.Select) -> Iterator[tuple[str, exp.Expr]]:
    for join in select.args.get("joins") or ():
        if (on := join.args.get("on")) is not None:
            yield f"{join.side} join".strip().lower(), on
    for clause in _CLAUSES:
        tree = select.args.get(clause)
        if tree is None or (clause == "order" and not select.args.get("limit")):
            continue
        if clause in ("group", "order"):
            yield clause, exp.tuple_(*tree.expressions)
        elif clause == "distinct":
            yield clause, exp.tuple_(*(p.unalias().copy() for p in select.selects))
        elif clause in ("where", "having", "qualify"):
            yield clause, tree.this


def _known(written: str, columns: Iterable[str], name: Name, where: Where | None) -> str:
    """Return a column as it is declared, whatever its case; raises LineageError."""
    listed = list(columns)
    for column in listed:
        if column.lower() == written.lower():
            return column
    raise LineageError(
        f"{name} has no column {written!r}", where=where, allowed=listed, given=written
    )


def _asking(project: Project, features: Features) -> list[Outcome]:
    """Return the outcomes whose rows request features are computed from."""
    targets = [m.target for m in project.of(Model) if features.name in m.features]
    found = [project.nodes[name] for name in dict.fromkeys(targets)]
    every = found or list(project.of(Outcome))
    return [outcome for outcome in every if isinstance(outcome, Outcome)]


def _near(path: Any, project: Project) -> str:
    return str(path.relative_to(project.root).as_posix())


def _spelled(tree: exp.Expr) -> str:
    """Return an expression as a reader would write it: no quotes where none are needed."""
    bare = tree.copy()
    for node in bare.walk():
        node.comments = None
        if isinstance(node, exp.Identifier) and node.name.isidentifier():
            node.set("quoted", None)
    return text(bare)
