"""Names in SQL: every relation resolved to a node, every column to a relation, stars expanded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sqlglot import exp
from sqlglot.errors import OptimizeError

from lichen.core.errors import LichenError, Where
from lichen.core.sql import DIALECT, SYSTEM, tables_in

Schema = Mapping[str, tuple[str, ...]]  # a relation's id to its user columns


def resolve(
    select: exp.Select, path: Path, schema: Schema, find: Callable[[str, Where], str]
) -> exp.Select:
    """Return the SELECT with relations named by id, columns qualified and stars expanded.

    `find` turns a name as written in FROM into a relation's id, or raises. An unknown column is a
    LichenError with its line, the columns that exist and the nearest of them.
    """
    from sqlglot.optimizer.qualify import qualify  # slow to load, and not every plan needs it

    tree = select.copy()
    for table in list(tables_in(tree)):
        name = f"{table.db}.{table.name}" if table.db else table.name
        alias = table.alias or table.name
        id_ = find(name, Where(path, line_in(table)))
        table.set("db", None)
        table.set("this", exp.to_identifier(id_, quoted=True))
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    _read_fields(tree, schema)
    _refuse_unknown(tree, path, schema)
    known = {t.name: dict.fromkeys(schema[t.name], "unknown") for t in tables_in(tree)}
    try:
        qualified = qualify(tree, schema=known, dialect=DIALECT)  # type: ignore[arg-type]
    except OptimizeError as error:
        raise LichenError(f"this SQL does not resolve: {error}", where=Where(path, 1)) from error
    assert isinstance(qualified, exp.Select)
    return qualified


def relations(select: exp.Select) -> dict[str, str]:
    """Return alias → id of the relations that a resolved SELECT reads, in FROM order."""
    return {table.alias_or_name: table.name for table in tables_in(select)}


def read_columns(tree: exp.Expr, alias: str) -> frozenset[str]:
    """Return the columns of one alias that a resolved tree reads."""
    return frozenset(c.name for c in tree.find_all(exp.Column) if c.table == alias)


def refuse_columns(names: Iterable[str], available: Iterable[str], what: str, where: Where) -> None:
    """Raise LichenError for the first name that is not among the available columns."""
    allowed = tuple(available)
    lower = {a.lower() for a in allowed}
    for name in names:
        if name.lower() not in lower:
            raise LichenError(
                f"{what}: there is no column {name!r}", where=where, allowed=allowed, given=name
            )


def line_in(tree: exp.Expr) -> int:
    """Return the line on which a tree begins in the user's file, or 0."""
    for node in tree.walk():
        if line := node.meta.get("line"):
            return int(line)
    return 0


def _read_fields(tree: exp.Select, schema: Schema) -> None:
    """Tell a field of a column from a column of a relation: both are written `a.b`."""
    sources = (exp.Table, exp.Subquery, exp.CTE, exp.Unnest, exp.Lateral)
    aliases = {found.alias_or_name.lower() for found in tree.find_all(*sources)}
    columns = {c.lower() for table in tables_in(tree) for c in schema[table.name]}
    columns |= {found.alias.lower() for found in tree.find_all(exp.Alias)}
    for column in list(tree.find_all(exp.Column)):
        parts = column.parts
        of_a_relation = parts[0].name.lower() in aliases
        own = 2 if of_a_relation else 1
        if len(parts) == own or not (of_a_relation or parts[0].name.lower() in columns):
            continue
        root = exp.Column(this=parts[own - 1], table=parts[0] if of_a_relation else None)
        root.meta.update(column.meta)
        column.replace(exp.Dot.build([root, *parts[own:]]))


def _refuse_unknown(tree: exp.Select, path: Path, schema: Schema) -> None:
    nested = tree.find(exp.Subquery, exp.CTE) is not None
    by_alias = {t.alias_or_name.lower(): schema[t.name] for t in tables_in(tree)}
    outputs = {p.alias.lower() for p in tree.expressions if p.alias}
    everything = {c.lower() for columns in by_alias.values() for c in columns}
    for column in tree.find_all(exp.Column):
        name, table = column.name.lower(), column.table.lower()
        if isinstance(column.this, exp.Star) or (nested and table not in by_alias):
            continue
        where = Where(path, line_in(column))
        if name in SYSTEM:
            raise LichenError(
                f"{name} is a system column", where=where, hint="system columns are Lichen's own"
            )
        if table and table not in by_alias:
            raise LichenError(
                f"there is no relation {column.table!r} in FROM",
                where=where,
                allowed=tuple(by_alias),
                given=table,
            )
        found = {c.lower() for c in by_alias[table]} if table else everything | outputs
        if name not in found:
            raise LichenError(
                f"there is no column {column.name!r}" + (f" in {column.table}" if table else ""),
                where=where,
                allowed=by_alias[table] if table else sorted(everything),
                given=column.name,
            )
