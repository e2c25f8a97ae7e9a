"""What a case is run on: an engine, the rows given as relations, and the node's versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arro3.core import Table
from sqlglot import exp

from lichen.core.derive import derive
from lichen.core.errors import TableError
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel
from lichen.core.time import Instant, iso
from lichen.core.versions import stored
from lichen.declared import Project
from lichen.ports.engine import Engine, Values
from lichen.stages.context import FIRST_ROW, NOW
from lichen.stages.tables.function import RETURNED
from lichen.stages.tables.python import returned
from lichen.stages.tables.spec import Table as TableNode
from lichen.stages.tables.versions import numbered, overlapping, repeated, whole
from lichen.units.cases import Case
from lichen.units.given import END, Types, given


@dataclass
class Bench:
    """One case with all that it needs; `relations` are Arrow tables by the id of their node.

    `held_back` are the ids of the rows that readers do not see.
    """

    case: Case
    project: Project
    engine: Engine
    types: Types
    relations: dict[str, Any] = field(default_factory=dict)
    held_back: dict[Name, frozenset[int]] = field(default_factory=dict)

    @property
    def now(self) -> Instant:
        """The time of the case: by default all is known that is given."""
        return self.case.now or END

    @property
    def _bound(self) -> Values:
        return {"now": iso(self.now), "first_row": -1}

    def lay_out(self) -> None:
        """Make the rows given relations."""
        subject = self.case.subject
        for name in subject.inputs:
            if (rows := self.case.given.get(str(name))) is not None:
                itself = name == subject.name
                self.relations[str(name)] = given(name, rows, self.types, as_it_came=itself)

    def versions(self, name: Name) -> exp.Select:
        """Return the versions relation of a node, without the rows that are held back."""
        query = stored(str(name), list(self.types.of(name)))
        if gone := self.held_back.get(name):
            query = query.where(exp.not_(col("_row").isin(*map(lit, sorted(gone)))))
        return query

    def inputs(self, name: Name) -> dict[str, exp.Query]:
        """Return the versions relations that a node reads."""
        return {str(read): self.versions(read) for read in self.project.reads[name]}

    def rows(self, query: exp.Query) -> list[dict[str, Any]]:
        """Run a query over the relations."""
        return [dict(row) for row in self.engine.rows(query, self.relations, self._bound)]

    def column_types(self, query: exp.Query) -> dict[str, str]:
        """Return the types of a query's columns."""
        return {c.name: c.type for c in self.engine.columns(query, self.relations)}

    def build(self, table: TableNode) -> None:
        """Make a table's versions as a whole build does; they become a relation of its name."""
        inputs = self.inputs(table.name)
        if (function := table.function) is not None:
            root, there = self.project.root, self.relations
            given_back = returned(function, inputs, there, self.engine, root, self.now)
            self.relations[RETURNED] = given_back.rows
        self._refuse_repeats(table, inputs)
        users = [name.lower() for name in table.select.named_selects]
        query = numbered(whole(table, inputs, NOW), users, FIRST_ROW)
        made = self.engine.arrow(query, self.relations, self._bound)
        self.relations[str(table.name)] = Table.from_arrow(made)

    def _refuse_repeats(self, table: TableNode, inputs: Mapping[str, exp.Query]) -> None:
        """Raise TableError where two rows have the key at the same time, as a build is blocked."""
        if table.at_once():
            query = repeated(numbered(whole(table, inputs, NOW), (), FIRST_ROW), FIRST_ROW)
        elif table.key:
            query = overlapping(derive(table.select, inputs, table.key, where=table.where))
        else:
            return
        ((count,),) = (row.values() for row in self.rows(query))
        if count:
            repeats = "row repeats" if count == 1 else "rows repeat"
            raise TableError(
                f"{count:,} {repeats} the key {', '.join(table.key)} at the same time",
                where=table.where,
            )

    def of_rows(self, name: Name, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return versions of a node by their ids, in their order."""
        shown = exp.select(*map(col, self.types.of(name))).from_(rel(str(name)))
        among = col("_row").isin(*map(lit, rows))
        return self.rows(shown.where(among).order_by(col("_row"))) if rows else []
