"""A table: one SELECT or one Python function, and the contract that its rows keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.findings import Severity
from lichen.core.names import Name

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
    sql: exp.Expression | None = None
    description: str = ""


@dataclass(frozen=True)
class Contract:
    """The columns and rules that rows must keep, in the order of the file."""

    path: Path
    version: str
    columns: tuple[Property, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table as declared; `key` identifies its rows (by default the driving input's key)."""

    name: Name
    where: Where
    select: exp.Select
    text: str
    key: tuple[str, ...] = ()
    static: frozenset[str] = field(default_factory=frozenset)
    contract: Contract | None = None
