"""The queries of a service as texts, compiled once: trees are made again only for new columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from lichen.core.sql import col, rel, tables_in, text
from lichen.core.versions import stored, written
from lichen.stages.context import Shelf
from lichen.stages.features.answer import answer, parts
from lichen.stages.features.compiled import Compiled, compiled
from lichen.stages.features.spec import Features
from lichen.stages.models.ask import Inquiry
from lichen.stages.outcomes.lookup import looked_up, standing, without_label
from lichen.stages.outcomes.spec import Outcome

# What is given to a text: keys with moments; whole rows; questions with their columns.
ASKED, ROWS, GIVEN = "_asked_for", "_whole", "_given"
STANDING = "held.outcome"


def in_memory(node: str) -> str:
    """Return the held relation that is a node's cut."""
    return f"rows.{node}"


Readers = tuple[tuple[Features, ...], Outcome | None]


@dataclass(frozen=True)
class Texts:
    """What a service asks, and of what.

    `held` gives the text behind each relation that is kept ready, `reads` the nodes that it
    reads; `readers` says who reads a node, `columns` what it has. `shown` are the columns of a
    question.
    """

    columns: Mapping[str, tuple[str, ...]]
    readers: Mapping[str, Readers]
    held: Mapping[str, str]
    reads: Mapping[str, frozenset[str]]
    shown: tuple[str, ...]
    lookup: str
    answer: str


def texts(inquiry: Inquiry, shelf: Shelf, before: Texts | None) -> Texts:
    """Return the texts for the columns that are stored now: `before`, while those are the same."""
    columns = {node: _columns(shelf, node) for node in inquiry.nodes}
    if before is not None and before.columns == columns:
        return before
    inputs: dict[str, exp.Query] = {
        node: stored(in_memory(node), names) for node, names in columns.items()
    }
    outcome = without_label(inquiry.outcome, inputs)
    trees: dict[str, exp.Select] = {STANDING: standing(outcome, inputs)}
    reads = {STANDING: _nodes(outcome.select)}
    ready: list[Compiled] = []
    for features in inquiry.features:
        made = compiled(features, inputs)
        if made.held is not None:  # several parts are made of it
            rows = f"{features.name}.rows"
            trees[rows], reads[rows] = made.held, _nodes(features.select)
            made = dataclasses.replace(made, held=_view(rows, made.held))
        made_of = parts(made)
        for part, tree in made_of.items():
            trees[f"{features.name}.{part}"] = tree
            reads[f"{features.name}.{part}"] = _nodes(features.select)
        views = {part: _view(f"{features.name}.{part}", tree) for part, tree in made_of.items()}
        ready.append(dataclasses.replace(made, ready=views))
    spans = _view(STANDING, trees[STANDING])
    shown = tuple(name for name in spans.named_selects if not name.startswith("_"))
    timed = inquiry.outcome.predict_at is not None
    return Texts(
        columns,
        _readers(inquiry, outcome, reads),
        {name: text(tree) for name, tree in trees.items()},
        reads,
        shown,
        text(looked_up(spans, _asked(), timed=timed)),
        text(_answers(shown, ready)),
    )


def lookup(inquiry: Inquiry, inputs: Mapping[str, exp.Query]) -> exp.Select:
    """Return the questions that `ASKED` finds in whole tables."""
    spans = standing(without_label(inquiry.outcome, inputs), inputs)
    return looked_up(spans, _asked(), timed=inquiry.outcome.predict_at is not None)


def answers(
    inquiry: Inquiry, inputs: Mapping[str, exp.Query], shown: tuple[str, ...]
) -> exp.Select:
    """Return the questions in `GIVEN` with their features, out of stored tables."""
    return _answers(shown, [compiled(features, inputs) for features in inquiry.features])


def types_of_questions() -> exp.Select:
    """Return the names and types of the columns that a question has in memory."""
    found = exp.select("column_name", "data_type").from_(
        exp.Table(this=exp.Anonymous(this="duckdb_columns"))
    )
    return found.where(col("table_name").eq(exp.Literal.string(STANDING)))


def rows_as_questions(types: Mapping[str, str], *, timed: bool) -> exp.Select:
    """Return the questions that whole rows are: `ROWS` has `_q`, `_key`, `_at` and the JSON `_row`.

    `_bad` names the columns whose value is not of the column's type.
    """
    values, wrong = [], []
    for name, type_ in types.items():
        path = exp.Literal.string('$."' + name + '"')
        sent = exp.Anonymous(this="json_extract_string", expressions=[col("_row"), path])
        value = exp.TryCast(this=sent, to=exp.DataType.build(type_, dialect="duckdb"))
        values.append(exp.alias_(value, name, quoted=True))
        lost = exp.and_(
            exp.Not(this=exp.Is(this=sent.copy(), expression=exp.null())),
            exp.Is(this=value.copy(), expression=exp.null()),
        )
        wrong.append(exp.case().when(lost, exp.Literal.string(name)))
    at = col("_at") if timed else exp.null()
    bad = exp.Anonymous(this="concat_ws", expressions=[exp.Literal.string(","), *wrong])
    return exp.select(
        *map(col, ("_q", "_key")),
        exp.alias_(exp.cast(at, "timestamptz"), "_at"),
        *values,
        exp.alias_(bad, "_bad"),
    ).from_(rel(ROWS))


def _view(name: str, tree: exp.Select) -> exp.Select:
    return exp.select(*map(col, tree.named_selects)).from_(rel(name))


def _asked() -> exp.Select:
    """Return `ASKED`, whose moments come as texts."""
    at = exp.alias_(exp.cast(col("_at"), "timestamptz"), "_at")
    return exp.select(col("_q"), col("_key"), at).from_(rel(ASKED))


def _answers(shown: tuple[str, ...], ready: list[Compiled]) -> exp.Select:
    """Return the answers with what was asked and what the model is given, as JSON too."""
    given = exp.select(*map(col, ("_q", "_key", "_at", *shown))).from_(rel(GIVEN))
    full = answer(given, ready)
    names = [name for name in full.named_selects if "__" in name and not name.startswith("_")]
    return (
        exp.select(
            *map(col, ("_q", "_key", "_at", *names)),
            exp.alias_(_as_json(shown), "_request"),
            exp.alias_(_as_json(names), "_features"),
        )
        .from_(full.subquery("answers"))
        .order_by(col("_q"))
    )


def _as_json(names: tuple[str, ...] | list[str]) -> exp.Expr:
    pairs = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=col(name))
        for name in names
    ]
    if not pairs:
        return exp.Literal.string("{}")
    return exp.cast(
        exp.Anonymous(this="to_json", expressions=[exp.Struct(expressions=pairs)]), "varchar"
    )


def _readers(
    inquiry: Inquiry, outcome: Outcome, reads: Mapping[str, frozenset[str]]
) -> dict[str, Readers]:
    found: dict[str, Readers] = {}
    for node in inquiry.nodes:
        features = tuple(
            f for f in inquiry.features if f.shape != "request" and node in _nodes(f.select)
        )
        asks = outcome if node in reads[STANDING] else None
        if features or asks is not None:
            found[node] = (features, asks)
    return found


def _nodes(select: exp.Select) -> frozenset[str]:
    return frozenset(written(table) for table in tables_in(select))


def _columns(shelf: Shelf, node: str) -> tuple[str, ...]:
    named = (name for name, _ in shelf.records[node].facts["columns"])
    return tuple(name for name in named if not name.startswith("_"))
