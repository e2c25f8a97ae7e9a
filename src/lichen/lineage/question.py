"""The question behind a prediction: the outcome's row as it was known then, and its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arro3.core import Table
from sqlglot import exp

from lichen.core.derive import derive, qualified
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel
from lichen.core.time import Instant
from lichen.core.versions import SEPARATOR, holds
from lichen.lineage.archive import Archive
from lichen.lineage.differ import differences
from lichen.lineage.logged import Logged
from lichen.lineage.narrow import Condition, Side, narrow, sides
from lichen.lineage.nodes import definition
from lichen.lineage.origin import LineageError, Origin
from lichen.lineage.rows import by_input
from lichen.stages.context import Shelf
from lichen.stages.outcomes.lookup import without_label
from lichen.stages.outcomes.questions import request_columns
from lichen.stages.outcomes.spec import Outcome

QUESTION = "_question"


@dataclass(frozen=True)
class Question:
    """What was asked: one row of the outcome's request columns, and the moment."""

    at: Instant
    row: Table
    values: Mapping[str, Any]

    @property
    def query(self) -> exp.Select:
        """Return the question as `answer` reads it."""
        number = exp.alias_(exp.convert(0), "_q")
        columns = map(col, self.row.column_names)
        return exp.select(number, exp.alias_(lit(self.at), "_at"), *columns).from_(rel(QUESTION))


def asked_then(
    archive: Archive, outcome: Outcome, shelf: Shelf, told: Logged
) -> tuple[Question, Origin]:
    """Return the question that was asked, and where its row came from.

    A row that is not what the tables hold for its key was given by the caller.
    """
    inputs = inputs_of(archive, outcome.name, shelf)
    name, extra = str(outcome.name), definition(archive, outcome.name)
    if told.key is not None:
        found = _looked_up(archive, outcome, inputs, shelf, told)
        if found is not None:
            question, wanted = found
            unequal = differences("request", told.request, question.values)
            if not unequal:
                extra |= {"values": question.values, "looked_up": True}
                children = by_input(archive, shelf.records, wanted)
                return question, Origin(name, None, children, extra)
            extra |= {"differences": unequal}
    shown = request_columns(outcome, inputs)
    row = _given(archive, outcome, inputs, shelf, shown, told)
    reason = "the caller gave this row; it is not what the tables hold for its key"
    if "differences" not in extra:
        reason = "the caller gave this row"
    extra |= {"values": told.request, "looked_up": False, "reason": reason}
    return Question(told.at, row, told.request), Origin(name, None, (), extra)


def _looked_up(
    archive: Archive,
    outcome: Outcome,
    inputs: Mapping[str, exp.Query],
    shelf: Shelf,
    told: Logged,
) -> tuple[Question, dict[str, set[int]]] | None:
    """Return the outcome's row of a key as it was known at the moment, and the rows behind it."""
    shown = request_columns(outcome, inputs)
    asking = without_label(outcome, inputs)
    tree = qualified(asking.select, inputs, where=outcome.where)
    near = narrow(tree, _of_key(outcome, tree, told), shelf, archive.loop.engine, {})
    held = derive(asking.select, near.inputs, outcome.key, where=outcome.where)
    then = (
        exp.select(*map(col, (*shown, "_from")))
        .from_(held.subquery("h"))
        .where(col("_key").eq(lit(told.key)), holds(lit(told.at)))
        .order_by(exp.Ordered(this=col("_known_at"), desc=True))
        .limit(lit(1))
    )
    table = archive.loop.engine.arrow(then, near.relations)
    if not table.num_rows:
        return None
    values = {name: table.column(name)[0].as_py() for name in shown}
    wanted = wanted_rows(sides(tree), [table.column("_from")[0].as_py()])
    return Question(told.at, table.select(list(shown)), values), wanted


def _of_key(outcome: Outcome, tree: exp.Select, told: Logged) -> list[Condition]:
    named = dict(zip(tree.named_selects, tree.selects, strict=True))
    parts = str(told.key).split(chr(SEPARATOR))

    def condition(name: str, text: str) -> Condition:
        value = named[name.lower()].unalias()
        return Condition(value, lambda v: exp.cast(v, "varchar").eq(exp.Literal.string(text)))

    return [condition(n, text) for n, text in zip(outcome.key, parts, strict=False)]


def _given(
    archive: Archive,
    outcome: Outcome,
    inputs: Mapping[str, exp.Query],
    shelf: Shelf,
    shown: Sequence[str],
    told: Logged,
) -> Table:
    """Return the logged request as a row with the types of the outcome's columns."""
    rows = derive(outcome.select, inputs, outcome.key, where=outcome.where)
    relations = shelf.relations(inputs)
    types = {c.name: c.type for c in archive.loop.engine.columns(rows, relations)}
    cast = [
        exp.alias_(
            exp.cast(lit(_text(told.request.get(name))), types[name], dialect="duckdb"),
            name,
            quoted=True,
        )
        for name in shown
    ]
    return Table.from_arrow(archive.loop.engine.arrow(exp.select(*cast), {}))


def inputs_of(archive: Archive, name: Name, shelf: Shelf) -> dict[str, exp.Query]:
    """Return the versions relations that a definition reads."""
    nodes = [str(read) for read in archive.loop.project.reads[name]]
    for node in nodes:
        if node not in shelf.records:
            raise LineageError(
                f"{name} reads {node}, which was not there when this was predicted",
                hint="its definition changed since",
            )
    return {node: shelf.versions(node) for node in nodes}


def wanted_rows(
    places: Sequence[Side], origins: Iterable[Sequence[int | None]]
) -> dict[str, set[int]]:
    """Return the row ids of each node, given for each result row one id per relation in FROM."""
    wanted: dict[str, set[int]] = {side.node: set() for side in places}
    for origin in origins:
        for side, id_ in zip(places, origin, strict=True):
            if id_ is not None:
                wanted[side.node].add(id_)
    return wanted


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
