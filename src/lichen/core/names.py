"""Names of nodes: `kind.name`, the same word in folders, ledger, lake and docs."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """The six nouns, and the two tables that a service feeds."""

    source = "sources"
    table = "tables"
    features = "features"
    outcome = "outcomes"
    model = "models"
    service = "services"
    predictions = "predictions"
    feedback = "feedback"


class Name(NamedTuple):
    """A node's name; its text `kind.name` is the id used in the ledger and in the lake."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}.{self.name}"

    @staticmethod
    def parse(text: str) -> Name:
        """Return the name that `kind.name` spells.

        >>> Name.parse("tables.departed")
        Name(kind=<Kind.table: 'tables'>, name='departed')
        """
        kind, _, name = text.partition(".")
        return Name(Kind(kind), name)
