"""The SQL that the engine runs for a node, to be read by a person."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from lichen.core.contract.impose import impose
from lichen.core.names import Name
from lichen.core.sql import col, columns_in, given, lit, rel, text
from lichen.core.time import Instant
from lichen.core.versions import stored
from lichen.declared import Project
from lichen.planner import below
from lichen.readers.opened import Opened
from lichen.stages.context import FIRST_ROW, NOW, Shelf
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features
from lichen.stages.models.ask import asked
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.questions import questions
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.spec import Service
from lichen.stages.sources.land import told
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import numbered, whole

WORDS = {
    "sources": "what the records of a file say, before they are compared with what is there",
    "tables": "every version of every row, as a build in full computes them",
    "features": 'what was known at each question in "questions"',
    "outcomes": "which rows are asked about, when, and what turned out",
    "models": "the training set, as of the last run",
}


def compiled_sql(opened: Opened, node: str, now: Instant) -> dict[str, Any]:
    """Return the SQL behind a node, pretty; None for what has none, such as a Python function."""
    name = opened.project.node(node)
    tree = _tree(name, opened, now)
    kind = name.kind.value if name.kind.value in WORDS else "models"
    return {
        "node": str(name),
        "what": WORDS[kind] if tree is not None else None,
        "sql": text(tree, pretty=True) if tree is not None else None,
    }


def _tree(name: Name, opened: Opened, now: Instant) -> exp.Query | None:
    project, shelf = opened.project, Shelf(opened.published(), opened.lake)
    node = project.nodes.get(name)
    match node:
        case Source():
            return _source(node)
        case Table() if isinstance(node.select, exp.Select):
            made = whole(node, _inputs(name, project, shelf), NOW)
            return numbered(made, [c.lower() for c in node.select.named_selects], FIRST_ROW)
        case Features() if isinstance(node.select, exp.Select):
            each = compiled(node, _inputs(name, project, shelf))
            return answer(_questions(node), [each])
        case Outcome():
            return questions(node, _inputs(name, project, shelf), lit(now))
        case Model() | Service():
            inquiry = opened.inquiry(node.model if isinstance(node, Service) else name)
            there = all(n in shelf.records for n in inquiry.nodes)
            return asked(inquiry, shelf, now) if there else None
        case _:
            return None


def _source(source: Source) -> exp.Query:
    file = exp.alias_(given("file", "varchar"), "_file")
    rows = exp.select("*", file).from_(rel("the file"))
    imposed = impose(source.contract, rows, keep=("_file", "_line"))
    return told(source, imposed, NOW, repeats=True)


def _inputs(name: Name, project: Project, shelf: Shelf) -> dict[str, exp.Query]:
    """The versions of what a node reads; what was never built has the columns that it will have."""
    return {
        node: shelf.versions(node)
        if node in shelf.records
        else stored(node, project.columns[Name.parse(node)])
        for node in below(project, name)
    }


def _questions(features: Features) -> exp.Select:
    names = list(features.entity)
    if features.shape == "request":
        names = sorted(columns_in(features.select))
    return exp.select(*map(col, dict.fromkeys(("_q", "_at", *names)))).from_(rel("questions"))
