"""A contract: the columns and rules that the rows of a source or a table must keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.findings import Severity

RuleKind = Literal[
    "not_null", "unique", "range", "allowed", "pattern", "reference",
    "freshness", "row_count", "row_sql", "table_sql",
]  # fmt: skip


@dataclass(frozen=True)
class Property:
    """A column that a contract promises; `type` is DuckDB's spelling."""

    name: str
    type: str
    required: bool = False
    description: str = ""


@dataclass(frozen=True)
class Rule:
    """One promise about rows or about the whole table.

    `id` is unique in its contract, such as `temp.range`. Row rules (not_null, range, allowed,
    pattern, reference, row_sql, and unique for every row after a key's first) give a verdict for
    a row; table rules (freshness, row_count, table_sql) one for the table.
    """

    id: str
    kind: RuleKind
    severity: Severity
    where: Where
    column: str | None = None
    columns: tuple[str, ...] = ()
    low: float | str | None = None
    high: float | str | None = None
    low_open: bool = False
    high_open: bool = False
    values: tuple[str | int | float | bool, ...] = ()
    pattern: str | None = None
    refers_to: tuple[str, str] | None = None  # (table or source name, column)
    within: timedelta | None = None
    sql: exp.Expr | None = None
    description: str = ""


@dataclass(frozen=True)
class Contract:
    """The columns and rules that rows must keep, in the order of the file."""

    path: Path
    version: str
    columns: tuple[Property, ...]
    rules: tuple[Rule, ...] = ()
