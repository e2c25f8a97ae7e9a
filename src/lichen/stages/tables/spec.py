"""A table: one SELECT or one Python function, and the contract that its rows keep."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from lichen.core.contract.spec import Contract
from lichen.core.errors import Where
from lichen.core.names import Name


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
