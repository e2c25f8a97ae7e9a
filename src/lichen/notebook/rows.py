"""The rows of one node as they were known at a moment; read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from lichen.core.contract.spec import Contract
from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit
from lichen.core.time import Instant, iso
from lichen.core.versions import current, unsaid
from lichen.notebook.markup import facts, folded, grid, page, tag
from lichen.notebook.relation import NotebookError, Relation, html_of, text_of
from lichen.ports.engine import Engine
from lichen.ports.ledger import Record
from lichen.stages.context import Shelf
from lichen.stages.models.labels import told_back, told_nodes
from lichen.stages.outcomes.questions import questions
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table

if TYPE_CHECKING:
    import pandas as pd

ASKED = ("_key", "_at", "_label", "_label_known_at")


@dataclass(frozen=True)
class Asked:
    """An outcome with what its rows are made of: the stored nodes below it, and feedback."""

    outcome: Outcome
    nodes: tuple[str, ...]
    feedback: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The rows of a source, table, predictions, feedback or outcome, as known at a moment.

    `at` is that moment. `publication` is the id of the pins that are read, and `version` that of
    the node among them (None for an outcome, which stores nothing). The rows of an outcome are
    its questions: `_key`, `_at`, its columns, and `_label` with the moment at which it was known.
    """

    node: str
    at: Instant
    publication: int
    spec: Source | Table | Asked | None = field(repr=False)
    shelf: Shelf = field(repr=False)
    engine: Engine = field(repr=False)

    @property
    def version(self) -> int | None:
        """Return the version of the node that is read."""
        return self._record.sequence if self._record else None

    @property
    def contract(self) -> Contract | None:
        """Return the contract that the rows keep, if there is one."""
        return self.spec.contract if isinstance(self.spec, Source | Table) else None

    @property
    def quarantine(self) -> Mapping[str, int]:
        """Return how many rows each rule holds back."""
        return dict(self._record.facts.get("held_back", {})) if self._record else {}

    @cached_property
    def schema(self) -> dict[str, str]:
        """Return the columns with their types, in DuckDB's spelling."""
        return dict(self.engine.columns(self._query, self._relations))

    def arrow(self) -> Any:
        """Return the rows as an Arrow table (arro3.core.Table)."""
        return self.engine.arrow(self._query, self._relations)

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; times are in UTC."""
        found: pd.DataFrame = self.engine.frame(self._query, self._relations)
        return found

    def polars(self) -> Any:
        """Return the rows as a Polars DataFrame; raises NotebookError where Polars is missing."""
        return self.relation().polars()

    def relation(self) -> Relation:
        """Return the rows, read now."""
        return Relation(self.arrow(), self.engine)

    def head(self, rows: int = 10) -> Relation:
        """Return the first rows, in the order in which they came."""
        return Relation(self.engine.arrow(self._query.limit(rows), self._relations), self.engine)

    def versions(self) -> Relation:
        """Return every stored version of every row known by `at`, with the system columns."""
        if self._record is None:
            raise NotebookError(
                f"{self.node} stores nothing of its own, so that it has no versions",
                hint="an outcome is a question: ask for the versions of the tables that it reads",
            )
        every = self.shelf.versions(self.node)
        known = exp.LTE(this=col("_known_at"), expression=lit(self.at))
        query = unsaid(every).where(known).order_by(col("_row"))
        return Relation(self.engine.arrow(query, self._relations), self.engine)

    def __len__(self) -> int:
        count = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n"))
        counted = count.from_(self._query.subquery("rows"))
        return int(self.engine.rows(counted, self._relations)[0]["n"])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Return what it is and its first rows as text."""
        return f"{self._title}\n{text_of(self.head())}"

    def _repr_html_(self) -> str:
        count = len(self)
        about: dict[str, object] = {
            "rows": count,
            "known at": iso(self.at),
            "version": self.version,
            "contract": self.contract.path.name if self.contract else "none",
        }
        columns = grid(("column", "type"), self.schema.items())
        held = self.quarantine
        quarantine = grid(("held back by", "rows"), held.items()) if held else ""
        return page(
            tag("span", self.node),
            facts({name: value for name, value in about.items() if value is not None}),
            html_of(self.head()),
            quarantine,
            folded(f"{len(self.schema)} columns", columns),
            self._rules(),
        )

    def _rules(self) -> object:
        if self.contract is None:
            return ""
        rules = [(rule.id, rule.severity.value, rule.description) for rule in self.contract.rules]
        return folded(f"{len(rules)} rules", grid(("rule", "breach", "says"), rules))

    @property
    def _title(self) -> str:
        version = f"@{self.version}" if self.version is not None else ""
        return f"{self.node}{version}, as known at {iso(self.at)}"

    @property
    def _record(self) -> Record | None:
        return self.shelf.records.get(self.node)

    @property
    def _relations(self) -> dict[str, object]:
        read = [self.node] if not isinstance(self.spec, Asked) else [
            *self.spec.nodes, *told_nodes(self.spec.feedback, self.shelf)
        ]  # fmt: skip
        return dict(self.shelf.relations(read))

    @property
    def _query(self) -> exp.Select:
        if isinstance(self.spec, Asked):
            return self._questions(self.spec)
        held = current(self.shelf.versions(self.node), lit(self.at))
        users = [c for c, _ in self.shelf.records[self.node].facts["columns"] if c[0] != "_"]
        return exp.select(*map(col, users)).from_(held.subquery("c")).order_by(col("_row"))

    def _questions(self, asked: Asked) -> exp.Select:
        inputs = {node: self.shelf.versions(node) for node in asked.nodes}
        asking = questions(asked.outcome, inputs, lit(self.at))
        asking = told_back(asking, asked.feedback, self.shelf, self.at)
        users = [c for c in asking.named_selects if not c.startswith("_")]
        names = [*ASKED[:2], *users, *ASKED[2:]]
        ordered = (col("_at"), col("_key"))
        return exp.select(*map(col, names)).from_(asking.subquery("q")).order_by(*ordered)


READABLE = (Kind.source, Kind.table, Kind.predictions, Kind.feedback, Kind.outcome)


def refuse_unreadable(name: Name) -> None:
    """Raise NotebookError for a node that has no rows."""
    if name.kind in READABLE:
        return
    hints = {
        Kind.features: "features are answered for a question: see project.training_set(MODEL)",
        Kind.model: f"a model has project.model({name.name!r}) and project.training_set(…)",
        Kind.service: f"a service has project.table('predictions.{name.name}')",
    }
    allowed = [f"{kind.value}.NAME" for kind in READABLE]
    raise NotebookError(f"{name} has no rows", allowed=allowed, hint=hints[name.kind])
