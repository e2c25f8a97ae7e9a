"""What a table's contract promises of rows that were computed. Pure."""

from __future__ import annotations

import dataclasses

from lichen.core.contract.spec import Contract, Rule, trusting_types
from lichen.stages.judge import among
from lichen.stages.tables.spec import Table


def promises(table: Table) -> Contract | None:
    """Return the contract as far as rows that were computed can break it.

    Their types are those of the SELECT. A key has one row at a time: the build sees to that.
    """
    if table.contract is None:
        return None
    contract = trusting_types(table.contract)
    rules = (among(r) if r.kind == "unique" else r for r in contract.rules if not _is_key(r, table))
    return dataclasses.replace(contract, rules=tuple(rules))


def _is_key(rule: Rule, table: Table) -> bool:
    columns = {column.lower() for column in rule.columns}
    return rule.kind == "unique" and columns >= {c.lower() for c in table.key} != set()
