"""One SELECT of a user over published versions, and nothing else that SQL could do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from lichen.core.errors import LakeError, QueryError
from lichen.core.names import Kind, Name
from lichen.core.sql import DIALECT, col, lit, mistake_in, rel
from lichen.core.time import Instant
from lichen.core.versions import OWN, columns_of, current
from lichen.declared import Project
from lichen.ports.engine import Engine
from lichen.readers.values import plain
from lichen.stages.context import Shelf

STORED = (Kind.table, Kind.source, Kind.predictions, Kind.feedback)
_SELECTS = (exp.Select, exp.SetOperation, exp.Subquery)
_FROM = (exp.Table, exp.Subquery, exp.Unnest, exp.Values, exp.Lateral)
_MADE = (exp.Unnest, exp.GenerateSeries, exp.GenerateDateArray)  # rows out of nothing: no reading
_KEPT = ("sample", "pivots", "joins", "laterals")
_OUTSIDE = ("write_log", "getvariable", "current_setting", "getenv")


@dataclass(frozen=True)
class Answer:
    """What a query found, as an Arrow table whose columns have names of their own."""

    table: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(self.table.column_names)

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return the rows; values are JSON's own, times are ISO 8601 in UTC."""
        columns = [[plain(value) for value in column.to_pylist()] for column in self.table.columns]
        named = (dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True))
        return tuple(named)


@dataclass(frozen=True)
class Library:
    """What may be asked: published nodes, the engine that reads them, and the target's folder."""

    project: Project
    shelf: Shelf
    engine: Engine
    folder: Path


def query(sql: str, library: Library, at: Instant) -> Answer:
    """Return the answer over the rows that are current at a moment. Raises QueryError."""
    tree = read_only(sql)
    nodes = _point(tree, library, at)
    try:
        found = library.engine.arrow(tree, library.shelf.relations(nodes))
    except LakeError as error:
        _explain_columns(sql, library)
        raise QueryError(error.what) from error
    return Answer(found.rename_columns(_apart(found.column_names)))


def read_only(sql: str) -> exp.Query:
    """Parse exactly one SELECT that reads relations by name; raises QueryError for all else.

    >>> read_only("select 1").sql()
    'SELECT 1'
    """
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=DIALECT) if tree is not None]
    except sqlglot.errors.ParseError as error:
        what, line = mistake_in(error)
        raise QueryError(f"this SQL does not read, on line {line}: {what}") from error
    except sqlglot.errors.TokenError as error:
        raise QueryError(f"this SQL does not read: {error}") from error
    if len(trees) != 1 or not isinstance(trees[0], _SELECTS):
        what = type(trees[0]).__name__.lower() if len(trees) == 1 else f"{len(trees)} statements"
        raise QueryError(f"a query is exactly one SELECT, and this is {what}", hint=_HINT)
    for node in trees[0].walk():
        _refuse(node)
    assert isinstance(trees[0], exp.Query)
    return trees[0]


_HINT = "query only reads; what is to be stored is a table: write tables/NAME.sql"


def _refuse(node: exp.Expr) -> None:
    """Raise QueryError for a part that writes, or reads anything but a relation by its name."""
    match node:
        case exp.DML() | exp.DDL() | exp.Command() | exp.Into() if not isinstance(node, exp.Query):
            raise QueryError(f"a query only reads, and this has {node.key}", hint=_HINT)
        case exp.From() | exp.Join() if not isinstance(node.this, _FROM):
            raise QueryError(f"{node.this.sql(dialect=DIALECT)} is no relation to read from")
        case exp.CTE() if not isinstance(node.this, exp.Query):
            raise QueryError(f"{node.alias} must be a SELECT", hint=_HINT)
        case exp.Table() if not isinstance(node.this, (exp.Identifier, *_MADE)):
            _refuse_function(node.this)
        case exp.Lateral() if not isinstance(node.this, (exp.Subquery, *_MADE)):
            _refuse_function(node.this)
        case exp.ReadCSV() | exp.ReadParquet():
            _refuse_function(node)
        case exp.Anonymous() if node.name.lower() in _OUTSIDE or node.name.startswith("__"):
            _refuse_function(node)


def _refuse_function(node: exp.Expr) -> None:
    name = node.name if isinstance(node, exp.Anonymous) else node.sql(dialect=DIALECT)
    raise QueryError(
        f"{name.partition('(')[0].lower()}() is not for a query: it reads published tables only",
        hint="to read a file, declare a source: sources/NAME.yml",
    )


def _point(tree: exp.Query, library: Library, at: Instant) -> list[str]:
    """Replace every relation by the rows of its node that are current; returns the nodes."""
    asked = [n for n in OWN if any(c.name.lower() == n for c in tree.find_all(exp.Column))]
    nodes = []
    for table in list(_outer(tree)):
        node = _node(table, library)
        rows = _current(node, library.shelf, at, asked)
        _leave_out(table, rows)
        nodes.append(node)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
        subquery = exp.Subquery(this=rows, alias=alias)
        for key, value in table.args.items():
            if value and key in _KEPT:
                subquery.set(key, value)
        table.replace(subquery)
    for column in tree.find_all(exp.Column):
        if column.table and column.args.get("db"):  # tables.weather.temp: the alias is enough
            column.set("db", None)
    return nodes


def _outer(tree: exp.Query) -> Iterator[exp.Table]:
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not _is_cte(table):
            yield table


def _is_cte(table: exp.Table) -> bool:
    """Return whether a name stands for a CTE that is in scope just there."""
    if table.db:
        return False
    child: exp.Expr = table
    parent = table.parent
    inside: exp.CTE | None = None  # the CTE of the ancestor's own WITH in which the table stands
    while parent is not None:
        if isinstance(child, exp.CTE):
            inside = child
        with_ = parent.args.get("with_") or parent.args.get("with")
        if isinstance(with_, exp.With):
            names = _visible(with_, inside if child is with_ else None)
            if table.name.lower() in names:
                return True
        child, parent = parent, parent.parent
    return False


def _visible(with_: exp.With, inside: exp.CTE | None) -> set[str]:
    found: set[str] = set()
    for cte in with_.expressions:
        if cte is inside and not with_.recursive:
            return found
        found.add(cte.alias.lower())
        if cte is inside:
            return found
    return found


def _node(table: exp.Table, library: Library) -> str:
    extra = [k for k, v in table.args.items() if v and k not in ("this", "db", "alias", *_KEPT)]
    written = ".".join(part.name for part in table.parts)
    if extra:
        raise QueryError(f"{written}: {extra[0]} is not for a query")
    known = [n for n in library.project.reads if n.kind in STORED]
    for name in known:
        if written.lower() == str(name).lower():
            return _published(str(name), library)
    bare = [n for n in known if n.kind in (Kind.table, Kind.source)]
    found = [str(n) for n in bare if n.name.lower() == written.lower()]
    if len(found) > 1:
        raise QueryError(f"{written!r} is a table and a source", allowed=found)
    if found:
        return _published(found[0], library)
    kind_, _, rest = written.rpartition(".")
    hint = None
    if kind_ in (Kind.features, Kind.outcome) and Name(Kind(kind_), rest) in library.project.nodes:
        hint = f"{kind_} are questions, not data: query the tables that they read"
    named = rest if kind_ in (Kind.table, Kind.source) else written
    given = named if "." in written else _likely(written, known)
    allowed = [_spelled(n, known) for n in known]
    raise QueryError(
        f"there is no table or source {written!r}", allowed=sorted(allowed), given=given, hint=hint
    )


def _spelled(name: Name, known: Sequence[Name]) -> str:
    """The shortest spelling that reaches a node: tables come first."""
    tables = {n.name for n in known if n.kind is Kind.table}
    short = name.kind is Kind.table or (name.kind is Kind.source and name.name not in tables)
    return name.name if short else str(name)


def _likely(written: str, known: Sequence[Name]) -> str:
    """A bare name of predictions or feedback means the dotted one."""
    dotted = [str(n) for n in known if n.name == written]
    return f"{dotted[0]}_" if dotted else written


def _published(node: str, library: Library) -> str:
    if node not in library.shelf.records:
        raise QueryError(
            f"{node} has no published version yet",
            allowed=sorted(n for n in library.shelf.records if Name.parse(n).kind in STORED),
            hint=f"build it: lichen run +{node}",
        )
    return node


def _current(node: str, shelf: Shelf, at: Instant, asked: Iterable[str]) -> exp.Select:
    versions = shelf.versions(node)
    held = current(versions, lit(at))
    stored = {name for name, _ in shelf.records[node].facts["columns"]}
    users = columns_of(versions)
    apart = [n for n in asked if n in ("_from", "_file", "_line") and n in stored]
    own = [n for n in asked if n in held.named_selects and n != "_from"]
    if not apart:
        return exp.select(*map(col, (*users, *own))).from_(held.subquery("c"))
    row = exp.EQ(this=col("_row", "c"), expression=col("_row", "s"))
    names = [*(col(n, "c") for n in (*users, *own)), *(col(n, "s") for n in apart)]
    return exp.select(*names).from_(held.subquery("c")).join(rel(node, "s"), on=row)


def _leave_out(table: exp.Table, rows: exp.Select) -> None:
    """Keep system columns out of the stars that reach this relation: they come when named."""
    own = [n for n in rows.named_selects if n in OWN]
    select = table.find_ancestor(exp.Select)
    if not own or select is None:
        return
    alias = table.alias_or_name.lower()
    for star in list(select.expressions):
        inner = star.this if isinstance(star, exp.Column) else star
        qualified = isinstance(star, exp.Column) and star.table.lower() != alias
        if not isinstance(inner, exp.Star) or qualified:
            continue
        before = [e.name for e in inner.args.get("except_") or ()]
        names = [*before, *(n for n in own if n not in before)]
        inner.set("except_", [exp.to_identifier(n, quoted=True) for n in names])


def _explain_columns(sql: str, library: Library) -> None:
    """Raise QueryError for the first column that no relation has; nested queries are left alone."""
    tree = read_only(sql)
    if tree.find(exp.CTE, exp.Subquery, exp.Unnest, exp.Lateral):
        return
    tables = {t.alias_or_name.lower(): _columns(_node(t, library), library) for t in _outer(tree)}
    everything = sorted({c for columns in tables.values() for c in columns})
    outputs = {e.alias.lower() for e in tree.find_all(exp.Alias)}
    for column in tree.find_all(exp.Column):
        near = tables.get(column.table.lower(), everything)
        if isinstance(column.this, exp.Star) or column.name.lower() in {*outputs, *OWN}:
            continue
        if column.name.lower() not in {c.lower() for c in near}:
            where = f" in {column.table}" if column.table in tables else ""
            raise QueryError(
                f"there is no column {column.name!r}{where}", allowed=near, given=column.name
            )


def _columns(node: str, library: Library) -> list[str]:
    columns: Iterable[tuple[str, str]] = library.shelf.records[node].facts["columns"]
    return [name for name, _ in columns if not name.startswith("_")]


def _apart(names: Iterable[str]) -> list[str]:
    """Number the names that repeat, so that no value of a row hides another."""
    found: list[str] = []
    for name in names:
        count, unique = 1, name
        while unique in found:
            count += 1
            unique = f"{name}_{count}"
        found.append(unique)
    return found
