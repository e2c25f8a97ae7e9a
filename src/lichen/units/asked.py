"""Cases of outcomes and features: what is asked, what is known then, and what turned out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.time import iso
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import Compiled, compiled
from lichen.stages.features.spec import Features
from lichen.stages.outcomes.questions import questions
from lichen.stages.outcomes.spec import Outcome
from lichen.units.bench import Bench
from lichen.units.cases import Question
from lichen.units.compare import Difference, cells_of, differences
from lichen.units.given import typed, values
from lichen.units.stored import spelled

_ASKED, _MOMENTS = "_asked", "_moments"


def outcome_differs(bench: Bench, outcome: Outcome) -> Iterator[Difference]:
    """Yield how an outcome's questions, with the labels known now, differ from the expected."""
    asking = questions(outcome, bench.inputs(outcome.name), lit(bench.now))
    names = {"predict_at": "_at", "label": "_label", "known_at": "_label_known_at"}
    names |= {name: name for name in outcome.request_columns()}
    shown = [exp.alias_(col(own.lower()), name, quoted=True) for name, own in names.items()]
    query = exp.select(*shown).from_(asking.subquery("a")).order_by(col("_q"))
    types = bench.column_types(query)
    expected = values(bench.case.expect or (), types, bench.engine)
    yield from differences(expected, bench.rows(query), spelled(outcome.key, types))


def answers_differ(bench: Bench, features: Features) -> Iterator[Difference]:
    """Yield how the answer to each question differs from the expected one, cell by cell."""
    each = compiled(features, bench.inputs(features.name))
    query = answer(_questions(bench, each), [each]).order_by(col("_q", "q"))
    prefix = f"{features.name.name}__"
    types = {n.removeprefix(prefix): t for n, t in bench.column_types(query).items()}
    for question, row in zip(bench.case.questions, bench.rows(query), strict=True):
        found = {name.removeprefix(prefix): value for name, value in row.items()}
        if cells := cells_of(_expected(bench, question, types), found):
            about = {"at": question.at} if question.at is not None else {}
            yield Difference("differs", {**about, **question.asked.values}, cells)


def _expected(bench: Bench, question: Question, types: Mapping[str, str]) -> dict[str, Any]:
    if question.expect is None:  # nothing is known
        return {name.lower(): None for name in bench.case.subject.expected}
    named = {name.lower() for name in question.expect.values}
    shown = {name: type_ for name, type_ in types.items() if name in named}
    (expected,) = values([question.expect], shown, bench.engine)
    return expected


def _questions(bench: Bench, each: Compiled) -> exp.Select:
    """Return the case's questions as a relation: `_q`, `_at` and the columns that they may name."""
    asked = bench.case.questions
    types = _types_asked(bench, each)
    moments = [iso(q.at) if q.at is not None else None for q in asked]
    bench.relations[_ASKED] = typed([q.asked for q in asked], types, bench.engine)
    bench.relations[_MOMENTS] = Table.from_pydict(
        {
            "_row": Array(list(range(len(asked))), DataType.int64()),
            "_at": Array(moments, DataType.utf8()),
        }
    )
    same = exp.EQ(this=col("_row", "a"), expression=col("_row", "m"))
    return (
        exp.select(
            exp.alias_(col("_row", "a"), "_q"),
            exp.alias_(exp.cast(col("_at", "m"), "timestamptz"), "_at"),
            *(col(name, "a") for name in types),
        )
        .from_(rel(_ASKED, "a"))
        .join(rel(_MOMENTS, "m"), on=same)
    )


def _types_asked(bench: Bench, each: Compiled) -> dict[str, str]:
    """Return the columns that questions may name: the entity's, or those of an outcome's row."""
    if each.held is not None:
        entity = {name.lower() for name in each.features.entity}
        return {n: t for n, t in bench.column_types(each.held).items() if n.lower() in entity}
    rows = [bench.types.of(outcome.name) for outcome in bench.case.subject.outcomes]
    every = {name: type_ for types in rows for name, type_ in types.items()}
    return {n: t for n, t in every.items() if n in bench.case.subject.asked}
