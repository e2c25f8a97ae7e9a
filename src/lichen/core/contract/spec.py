"""A contract: the columns and rules that the rows of a source or a table must keep."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from sqlglot import exp

from lichen.core.digest import digest
from lichen.core.errors import Where
from lichen.core.findings import Severity

RuleKind = Literal[
    "type", "not_null", "unique", "range", "length", "allowed", "pattern", "reference",
    "freshness", "row_count", "row_sql", "table_sql",
]  # fmt: skip

TABLE_KINDS = frozenset({"freshness", "row_count", "table_sql"})
DRIFT = "drift."  # how the ids begin of the rules that hold back what arrives in another shape
OBJECT = "_whole"  # the relation that a table rule's own SQL reads: the table's current rows


class Reference(NamedTuple):
    """What a reference points to: a table or source as the user named it, and its columns."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Must:
    """The numbers that a measured value may be; `outside` turns the range round."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    outside: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a measured value is allowed.

        >>> Must(low=0, low_open=True).holds(0), Must(low=3, high=3, outside=True).holds(4)
        (False, True)
        """
        low = self.low is None or (value > self.low if self.low_open else value >= self.low)
        high = self.high is None or (value < self.high if self.high_open else value <= self.high)
        return (low and high) is not self.outside

    def text(self, unit: str = "") -> str:
        """Return the range in words.

        >>> Must(low=1, high=10, low_open=True).text(), Must(low=0, high=0, outside=True).text()
        ('more than 1 and at most 10', 'not 0')
        """
        if self.low is not None and self.low == self.high:
            words = f"{self.low:,g}{unit}"
        else:
            low, high = "more than" if self.low_open else "at least", "at most"
            high = "less than" if self.high_open else high
            parts = [
                f"{word} {end:,g}{unit}"
                for word, end in ((low, self.low), (high, self.high))
                if end is not None
            ]
            words = " and ".join(parts)
        return f"not {words}" if self.outside else words


@dataclass(frozen=True)
class Property:
    """A column that a contract promises; `type` is DuckDB's spelling.

    `missing` lists the raw texts that stand for no value, such as `NA`, besides the empty text.
    """

    name: str
    type: str
    required: bool = False
    description: str = ""
    missing: tuple[str, ...] = ()
    where: Where | None = None


@dataclass(frozen=True)
class Rule:
    """One promise about rows or about the whole table.

    `id` is unique in its contract, such as `temp.range`. Row rules (type, not_null, range, length,
    allowed, pattern, reference, row_sql, and unique for every row after a key's first) give a
    verdict for a row; table rules (freshness, row_count, table_sql) one for the table. A row rule
    with a `must` is judged by how many of the staged rows break it (`percent`: their share), and
    gives no verdict on a row. A unique rule with `sql` is kept by the rows of which that is true.
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
    refers_to: Reference | None = None
    within: timedelta | None = None
    sql: exp.Expr | None = None
    must: Must | None = None
    percent: bool = False
    description: str = ""

    @property
    def judges_rows(self) -> bool:
        """Return whether each row that breaks the rule is itself at fault."""
        return self.kind not in TABLE_KINDS and self.must is None


@dataclass(frozen=True)
class Contract:
    """The columns and rules that rows must keep, in the order of the file.

    `unjudged` names the promises that Lichen cannot check itself, such as another tool's rules.
    """

    path: Path
    version: str
    columns: tuple[Property, ...]
    rules: tuple[Rule, ...] = ()
    unjudged: tuple[str, ...] = ()

    def type_of(self, column: str) -> str | None:
        """Return the type of a column, or None for one that the contract does not list."""
        found = (p.type for p in self.columns if p.name.lower() == column.lower())
        return next(found, None)


def trusting_types(contract: Contract) -> Contract:
    """Return the contract without its type rules, for rows that were never text.

    Type rules read the column `_raw` that `impose` makes.
    """
    kept = tuple(rule for rule in contract.rules if rule.kind != "type")
    return replace(contract, rules=kept)


def names_read(contract: Contract) -> tuple[str, ...]:
    """Return the tables and sources that the rules read besides the table itself, sorted."""
    referred = {rule.refers_to.name for rule in contract.rules if rule.refers_to}
    for rule in contract.rules:
        if rule.kind == "table_sql" and rule.sql is not None:
            inner = {cte.alias_or_name for cte in rule.sql.find_all(exp.CTE)} | {OBJECT}
            spelled = {relation_name(table) for table in rule.sql.find_all(exp.Table)}
            referred |= spelled - inner
    return tuple(sorted(referred))


def relation_name(table: exp.Table) -> str:
    """Return a table reference as the user spelled it: `planes` or `sources.planes`."""
    return ".".join(part.name for part in table.parts)


def rules_of(contract: Contract | None) -> str:
    """Return the fingerprint of a contract's rules, or "" without a contract.

    Where a rule stands in its file and how it is described does not count.
    """
    if contract is None:
        return ""
    told = (replace(rule, description="") for rule in contract.rules)
    return digest(*(_without_place(rule) for rule in told))


def _without_place(rule: object) -> str:
    named = (f.name for f in fields(rule))  # type: ignore[arg-type]
    return repr([(name, str(getattr(rule, name))) for name in named if name != "where"])
