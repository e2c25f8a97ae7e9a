"""Whether rows have the columns that a contract speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from lichen.core.contract.spec import OBJECT, Contract, Rule
from lichen.core.errors import TableError, Where


def check_columns(contract: Contract, available: Iterable[str]) -> None:
    """Raise TableError for the first column that the contract names and the rows do not have."""
    names = tuple(name for name in available if not name.startswith("_"))
    have = {name.lower() for name in names}
    asked = [(p.name, p.where or Where(contract.path), "") for p in contract.columns]
    for rule in contract.rules:
        asked += [(name, rule.where, f" (rule {rule.id})") for name in _columns(rule)]
    unknown = [(name, where, by) for name, where, by in asked if name.lower() not in have]
    if not unknown:
        return
    name, where, by = unknown[0]
    others = sorted({other for other, _, _ in unknown} - {name})
    raise TableError(
        f"there is no column {name!r}{by}",
        where=where,
        allowed=names,
        given=name,
        hint=f"also missing: {', '.join(others)}" if others else None,
    )


def _columns(rule: Rule) -> Iterator[str]:
    yield from rule.columns
    if rule.column and rule.column not in rule.columns:
        yield rule.column
    if rule.sql is None:
        return
    tables = list(rule.sql.find_all(exp.Table))
    alone = [table.name for table in tables] == [OBJECT] and not rule.sql.find(exp.Subquery)
    if rule.kind == "row_sql" or alone:  # with more relations a column's owner is not ours to guess
        aliases = {alias.alias.lower() for alias in rule.sql.find_all(exp.Alias)}
        for column in rule.sql.find_all(exp.Column):
            if column.name.lower() not in aliases and not column.name.startswith("_"):
                yield column.name
