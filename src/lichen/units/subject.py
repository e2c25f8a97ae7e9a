"""A node as a test sees it: what it reads, which columns it shows, which rules hold rows back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from lichen.core.contract.spec import Contract, Rule
from lichen.core.errors import ProjectError, Where
from lichen.core.findings import Severity
from lichen.core.names import Kind, Name
from lichen.core.sql import columns_in
from lichen.core.time import short
from lichen.declared import Project
from lichen.prints import Node
from lichen.stages.features.spec import Features
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.sources.promises import promises as of_source
from lichen.stages.sources.spec import Source
from lichen.stages.tables.promises import promises as of_table
from lichen.stages.tables.spec import Table

TESTED = (Kind.source, Kind.table, Kind.features, Kind.outcome)
OWN = ("_known_at", "_deleted")  # what a given row may say of itself
OF_OUTCOME = ("predict_at", "label", "known_at")


@dataclass(frozen=True)
class Subject:
    """The node under test. Features of a function are tested with what the function reads."""

    name: Name
    node: Node
    project: Project = field(repr=False)

    @property
    def kind(self) -> Kind:
        return self.name.kind

    @property
    def rows_of(self) -> Table | None:
        """The table that a function's features are over."""
        table = self.project.nodes.get(Name(Kind.table, self.name.name))
        same = isinstance(table, Table) and table.where.path == self.node.where.path
        return table if isinstance(table, Table) and self.kind is Kind.features and same else None

    @property
    def needed(self) -> tuple[Name, ...]:
        """The inputs whose rows must be given."""
        if isinstance(self.node, Source):
            return (self.name,)
        table = self.rows_of
        return self.project.reads[table.name if table is not None else self.name]

    @property
    def inputs(self) -> tuple[Name, ...]:
        """The inputs whose rows may be given: those that the contract refers to, too."""
        refers = self.project.refers.get(self.rows_of.name if self.rows_of else self.name, ())
        return tuple(dict.fromkeys((*self.needed, *refers)))

    def given_columns(self, name: Name) -> tuple[str, ...]:
        """Return the columns that a given row of an input may have."""
        return (*self.project.columns[name], *OWN)

    @cached_property
    def contract(self) -> Contract | None:
        """The contract as far as rows of a test can break it."""
        judged = self.rows_of or self.node
        match judged:
            case Source():
                return of_source(judged)
            case Table():
                return of_table(judged)
            case _:
                return None

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules that hold single rows back, by their ids."""
        rules = self.contract.rules if self.contract else ()
        quarantine = Severity.quarantine
        return {r.id: r for r in rules if r.severity is quarantine and r.judges_rows}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the node's rows."""
        return self.project.columns[self.rows_of.name if self.rows_of else self.name]

    @property
    def expected(self) -> tuple[str, ...]:
        """The columns that an expected row may have."""
        match self.node:
            case Features():
                return _answers(self.node)
            case Outcome():
                return tuple(dict.fromkeys((*self.node.request_columns(), *OF_OUTCOME)))
            case _:
                return (*self.columns, "_known_at")

    @property
    def asked(self) -> tuple[str, ...]:
        """The columns that a question may have besides its time."""
        if not isinstance(self.node, Features):
            return ()
        if self.node.shape != "request":
            return self.node.entity
        columns = (o.request_columns() for o in self.outcomes)
        return tuple(dict.fromkeys(column for some in columns for column in some))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes whose rows request features read."""
        models = [m for m in self.project.of(Model) if self.name in m.features]
        every = [o for o in self.project.of(Outcome)]
        return tuple(o for o in every if not models or o.name in {m.target for m in models})

    @property
    def timed(self) -> bool:
        """Whether a question needs a time."""
        return isinstance(self.node, Features) and self.node.shape != "request"


def subject_of(name: Name, project: Project, where: Where) -> Subject:
    """Return the node under test; raises ProjectError for a kind that has no rows."""
    if name.kind not in TESTED:
        raise ProjectError(
            f"{name} cannot be tested with rows",
            where=where,
            allowed=[kind.value for kind in TESTED],
            hint="a model is judged on its holdout; test the features and the outcome it reads",
        )
    return Subject(name, project.nodes[name], project)


def _answers(features: Features) -> tuple[str, ...]:
    """Return the columns of an answer; entity and event time say where a row is, not what."""
    place = {name.lower() for name in features.entity}
    if features.shape == "latest" and features.event_time is not None:
        event = columns_in(features.event_time)
        place |= event if len(event) == 1 and features.event_time.key == "column" else set()
    shown = [p.alias_or_name for p in features.select.selects]
    if features.shape == "request":
        return tuple(shown)
    said = [name for name in shown if name.lower() not in place]
    if features.shape == "latest":
        return tuple(said)
    return tuple(f"{name}_{short(length)}" for length in features.windows for name in said)
