"""From one prediction to the rows that it was made of: asked again at the versions of then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlglot import exp

from lichen.core.derive import qualified, resolved
from lichen.core.names import Name
from lichen.core.sql import col, columns_in, lit, rel
from lichen.core.time import Instant, short
from lichen.core.versions import before
from lichen.lineage.archive import Archive
from lichen.lineage.differ import differences
from lichen.lineage.logged import Logged, logged
from lichen.lineage.narrow import Condition, narrow, sides
from lichen.lineage.nodes import definition, pedigree
from lichen.lineage.origin import Origin
from lichen.lineage.question import QUESTION, Question, asked_then, inputs_of, wanted_rows
from lichen.lineage.rows import by_input
from lichen.stages.context import Shelf
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import Compiled, compiled
from lichen.stages.features.spec import Features

SPANS = "_spans"  # a definition's spans, read once


def of_prediction(archive: Archive, table: Name, id_: str) -> Origin:
    """Return where a prediction came from: model, request, features, rows, lines of files.

    The features are computed again; `reproduced` says whether they equal what was logged, and
    `differences` where not.
    """
    told = logged(archive, table, id_)
    shelf = archive.shelf(archive.pinned(told.publication))
    inquiry = archive.loop.inquiry(told.model)
    model = archive.record(str(told.model), told.model_version)
    question, request = asked_then(archive, inquiry.outcome, shelf, told)
    features = [_features(archive, each, shelf, question, told) for each in inquiry.features]
    unequal = [d for part in features for d in part.told.get("differences", ())]
    changed = archive.loop.project.prints[told.model].whole() != model.body.get("fingerprint")
    extra: dict[str, Any] = {
        **_said(told),
        "publication": {"id": told.publication, "now": archive.publication(told.publication).now},
        "reproduced": not unequal,
        "differences": unequal,
    }
    if changed:
        extra["reason"] = "the definitions changed since this model was trained; these are today's"
    origin = pedigree(archive, model)
    return Origin(str(table), told.drained, (origin, request, *features), extra)


def _said(told: Logged) -> dict[str, Any]:
    return {
        "id": told.id,
        "key": told.key,
        "at": told.at,
        "value": told.value,
        "probability": told.probability,
        "model": {"node": str(told.model), "version": told.model_version},
        "drained": told.drained is not None,
    }


def _features(
    archive: Archive, features: Features, shelf: Shelf, question: Question, told: Logged
) -> Origin:
    """Return what one features definition answered, and the rows that it answered from."""
    prefix = f"{features.name.name}__"
    each, relations = _compiled(archive, features, shelf, question)
    (row,) = archive.ask(answer(question.query, [each], lineage=True), relations)
    origin = row.pop(f"{prefix}_from", None)
    values = {n.removeprefix(prefix): v for n, v in row.items() if n.startswith(prefix)}
    then = {n.removeprefix(prefix): v for n, v in told.features.items() if n.startswith(prefix)}
    unequal = differences(str(features.name), then, values)
    extra = {
        **definition(archive, features.name),
        "values": values,
        "reproduced": not unequal,
        "differences": unequal,
    }
    if each.held is None:
        extra["reason"] = "computed from the request alone"
        return Origin(str(features.name), None, (), extra)
    used = _used(archive, each, question, relations, origin)
    wanted = wanted_rows(sides(features.select), [row["_from"] for row in used])
    extra |= {"rows": [_shown(features, row) for row in used]}
    return Origin(str(features.name), None, by_input(archive, shelf.records, wanted), extra)


def _compiled(
    archive: Archive, features: Features, shelf: Shelf, question: Question
) -> tuple[Compiled, dict[str, Any]]:
    """Return the definition over the spans of this entity near this moment, and what it reads."""
    relations: dict[str, Any] = {QUESTION: question.row}
    if features.shape == "request":
        return compiled(features, {}), relations
    inputs = inputs_of(archive, features.name, shelf)
    tree, conditions = _place(features, inputs, question)
    moments = [t for t in (features.event_time, features.known_at) if t is not None]
    also = columns_in(features.select).union(*map(columns_in, moments))
    near = narrow(tree, conditions, shelf, archive.loop.engine, relations, also)
    each = compiled(features, near.inputs)
    assert each.held is not None
    relations[SPANS] = archive.loop.engine.arrow(each.held, near.relations)
    held = exp.select(*map(col, each.held.named_selects)).from_(rel(SPANS))
    return replace(each, held=held), relations


def _place(
    features: Features, inputs: Mapping[str, exp.Query], question: Question
) -> tuple[exp.Select, list[Condition]]:
    """Return the resolved SELECT and what rows of this entity near this moment meet."""
    select = features.select.copy()
    meaning: Callable[[exp.Expr], exp.Expr]
    if features.shape == "window":  # its outputs are aggregates: names mean its inputs' columns
        meaning = _as_written
    else:
        meaning = resolved(qualified(select, inputs, where=features.where))
    assert features.event_time is not None
    place = [*(col(name) for name in features.entity), features.event_time]
    named = [exp.alias_(meaning(e), f"_place{i}") for i, e in enumerate(place)]
    select.set("expressions", named)
    placed = qualified(select, inputs, where=features.where)
    *entity, event = (p.unalias() for p in placed.selects)

    def about(name: str) -> Any:
        return lambda v: v.isin(query=exp.select(col(name.lower())).from_(rel(QUESTION)))

    def in_time(value: exp.Expr) -> exp.Expr:
        moment = exp.cast(value, "timestamptz")
        happened = exp.LTE(this=moment, expression=lit(question.at))
        reach = max(features.windows, default=features.max_age)
        if reach is None:
            return happened
        recent = exp.GTE(this=moment.copy(), expression=lit(question.at - reach))
        return exp.and_(happened, recent)

    found = [Condition(v, about(n)) for v, n in zip(entity, features.entity, strict=True)]
    return placed, [*found, Condition(event, in_time)]


def _used(
    archive: Archive,
    each: Compiled,
    question: Question,
    relations: Mapping[str, Any],
    origin: Sequence[int | None] | None,
) -> list[dict[str, Any]]:
    """Return the spans that answered: the one that came from `origin`, or all in the windows."""
    features, held = each.features, each.held
    assert held is not None
    entity = [name.lower() for name in features.entity]
    known = exp.and_(
        exp.LTE(this=col("_known_at", "h"), expression=lit(question.at)),
        before(lit(question.at), col("_until", "h")),
    )
    rows = exp.select("h.*").from_(held.subquery("h")).where(known)
    if features.shape == "latest":
        if origin is None:
            return []
        ids = exp.array(*(exp.null() if id_ is None else lit(id_) for id_ in origin))
        same = exp.NullSafeEQ(this=col("_from", "h"), expression=ids)
        return list(archive.ask(rows.where(same), relations))
    event, length = col("_event_time", "h"), lit(max(features.windows))
    rows = rows.where(
        *(col(n, "h").isin(query=exp.select(col(n)).from_(rel(QUESTION))) for n in entity),
        exp.LTE(this=event, expression=lit(question.at)),
        exp.LT(this=lit(question.at), expression=exp.Add(this=event.copy(), expression=length)),
    ).order_by(event.copy(), col("_from", "h"))
    found_rows = archive.ask(rows, relations)
    return [
        {**row, "_windows": _windows(features, row["_event_time"], question.at)}
        for row in found_rows
    ]


def _as_written(tree: exp.Expr) -> exp.Expr:
    return tree.copy()


def _windows(features: Features, event: datetime, at: Instant) -> list[str]:
    return [short(length) for length in features.windows if at < event + length]


def _shown(features: Features, row: Mapping[str, Any]) -> dict[str, Any]:
    places = zip(sides(features.select), row["_from"], strict=False)
    shown: dict[str, Any] = {
        "event_time": row["_event_time"],
        "known_at": row["_known_at"],
        "from": {side.node: id_ for side, id_ in places if id_ is not None},
    }
    return {**shown, "windows": row["_windows"]} if "_windows" in row else shown
