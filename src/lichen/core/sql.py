"""SQL as trees: one dialect (DuckDB) in, trees everywhere, text only at the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from lichen.core.errors import LichenError, Where
from lichen.core.time import iso

DIALECT = "duckdb"
SYSTEM = ("_row", "_key", "_known_at", "_arrived_at", "_deleted", "_from")


class Prepared(NamedTuple):
    """SQL text that was made from a tree once; each `$name` is bound to a value when it runs."""

    text: str


def given(name: str, type_: str) -> exp.Expr:
    """Return a value that is bound when the query runs.

    >>> text(given("now", "timestamptz"))
    'CAST($now AS TIMESTAMPTZ)'
    """
    return exp.cast(exp.Placeholder(this=name), type_, dialect=DIALECT)


def parse_select(text: str, path: Path, *, first_line: int = 1) -> exp.Select:
    """Parse one SELECT; raises LichenError with the line of the mistake."""
    try:
        trees = [tree for tree in sqlglot.parse(text, dialect=DIALECT) if tree is not None]
    except sqlglot.errors.ParseError as error:
        what, line = mistake_in(error)
        where = Where(path, line + first_line - 1)
        raise LichenError(f"this SQL does not read: {what}", where=where) from error
    except sqlglot.errors.TokenError as error:
        what, line = _torn(text, error)
        where = Where(path, line + first_line - 1)
        raise LichenError(f"this SQL does not read: {what}", where=where) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        is_ = trees[0].key.upper() if len(trees) == 1 else f"{len(trees)} statements"
        raise LichenError(
            f"this must be exactly one SELECT, and it is {is_}", where=Where(path, first_line)
        )
    return trees[0]


def mistake_in(error: sqlglot.errors.ParseError) -> tuple[str, int]:
    """Return what a parser says in words, and on which line."""
    first = error.errors[0] if error.errors else {}
    what = str(first.get("description") or error).rstrip(".")
    what = re.sub(r"<Token token_type: TokenType.SENTINEL[^>]*>", "the end", what)
    what = re.sub(r"<Token token_type: [^,]*, text: (.*?), line: [^>]*>", r"'\1'", what)
    if what.lower().startswith("required keyword"):  # the parser's own words for an operand
        what = "something is missing"
    near = f" near {first['highlight']!r}" if first.get("highlight") else ""
    return f"{what[:1].lower()}{what[1:]}{near}", int(first.get("line") or 1)


def parse_expression(text: str, path: Path, *, line: int = 0) -> exp.Expr:
    """Parse one SQL expression such as `observed_at + interval 20 minute`."""
    try:
        return sqlglot.parse_one(text, dialect=DIALECT)
    except sqlglot.errors.ParseError as error:
        what, _ = mistake_in(error)
    except sqlglot.errors.TokenError as error:
        what, _ = _torn(text, error)
    raise LichenError(f"the expression {text!r} does not read: {what}", where=Where(path, line))


def _torn(written: str, error: sqlglot.errors.TokenError) -> tuple[str, int]:
    """Return what is wrong with a text that does not even fall into words, and on which line."""
    if written.count("/*") > written.count("*/"):
        return "/* is opened and never closed", written.count("\n", 0, written.rfind("/*")) + 1
    missing = re.match(r"Missing (\S+) from", str(error.__cause__))
    if missing is None:
        return str(error).partition("\n")[0], 1
    opened = written.rfind(missing[1])  # it is never closed, so that the last one opened it
    return f"{missing[1]} is opened and never closed", written.count("\n", 0, opened) + 1


def text(tree: exp.Expr, *, pretty: bool = False) -> str:
    """Return the DuckDB text of a tree."""
    return tree.sql(dialect=DIALECT, pretty=pretty)


def col(name: str, table: str | None = None) -> exp.Column:
    """Return a quoted column reference."""
    return exp.column(exp.to_identifier(name, quoted=True), table=_quoted(table))


def rel(name: str, alias: str | None = None) -> exp.Expr:
    """Return a quoted reference to a relation that the engine knows by `name`."""
    table = exp.Table(this=exp.to_identifier(name, quoted=True))
    return exp.alias_(table, _quoted(alias), table=True) if alias else table


def lit(value: str | float | datetime | timedelta | None) -> exp.Expr:  # int and bool are floats
    """Return a literal; times are spelled with their offset, durations as intervals."""
    if isinstance(value, datetime):
        return exp.cast(exp.Literal.string(iso(value)), "timestamptz")
    if isinstance(value, timedelta):
        seconds = exp.Literal.string(f"{value.total_seconds():.6f}".rstrip("0").rstrip("."))
        return exp.Interval(this=seconds, unit=exp.var("SECOND"))
    return exp.convert(value)


def tables_in(tree: exp.Expr) -> Iterator[exp.Table]:
    """Yield the references to relations outside the query, CTEs left out."""
    inner = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.db or table.name.lower() not in inner:
            yield table


def columns_in(tree: exp.Expr) -> frozenset[str]:
    """Return the lower-cased names of the columns that an expression reads.

    >>> sorted(columns_in(sqlglot.parse_one("a + b * t.c")))
    ['a', 'b', 'c']
    """
    return frozenset(column.name.lower() for column in tree.find_all(exp.Column))


def _quoted(name: str | None) -> exp.Identifier | None:
    return exp.to_identifier(name, quoted=True) if name else None
