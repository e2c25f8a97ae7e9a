"""From one prediction to the rows that it was made of: asked again at the versions of then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from arro3.core import Table
from sqlglot import exp

from lichen.core.derive import derive, qualified, resolved
from lichen.core.errors import LichenError
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel
from lichen.core.time import Instant, instant, short
from lichen.core.versions import SEPARATOR, before, holds
from lichen.lineage.archive import Archive
from lichen.lineage.logged import Logged, logged
from lichen.lineage.narrow import Condition, Narrow, Side, narrow, sides
from lichen.lineage.nodes import definition, pedigree
from lichen.lineage.origin import LineageError, Origin, plain
from lichen.lineage.rows import by_input
from lichen.stages.context import Shelf
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import Compiled, compiled
from lichen.stages.features.latest import latest
from lichen.stages.features.spec import Features
from lichen.stages.models.ask import Inquiry
from lichen.stages.outcomes.questions import request_columns
from lichen.stages.outcomes.spec import Outcome

QUESTION = "_question"
CLOSE = 1e-9  # running totals over fewer rows round differently


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


def of_prediction(archive: Archive, table: Name, id_: str) -> Origin:
    """Return where a prediction came from: model, request, features, rows, lines of files.

    The features are computed again; `reproduced` says whether they equal what was logged, and
    `differences` where not.
    """
    told = logged(archive, table, id_)
    shelf = archive.shelf(archive.pinned(told.publication))
    inquiry = archive.loop.inquiry(told.model)
    model = archive.record(str(told.model), told.model_version)
    question, request = _request(archive, inquiry, shelf, told)
    features = [_features(archive, each, shelf, question, told) for each in inquiry.features]
    parts = [request, *features]
    differences = [d for part in parts for d in part.told.get("differences", ())]
    changed = archive.loop.project.prints[told.model].whole() != model.body.get("fingerprint")
    extra: dict[str, Any] = {
        **_said(told),
        "publication": {"id": told.publication, "now": archive.publication(told.publication).now},
        "reproduced": not differences,
        "differences": differences,
    }
    if changed:
        extra["reason"] = "the definitions changed since this model was trained; these are today's"
    origin = pedigree(archive, model)
    return Origin(str(table), told.drained, (origin, *parts), extra)


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


def _request(
    archive: Archive, inquiry: Inquiry, shelf: Shelf, told: Logged
) -> tuple[Question, Origin]:
    """Return the question that was asked, and where its row came from."""
    outcome, inputs = inquiry.outcome, _inputs(archive, inquiry.outcome.name, shelf)
    name, extra = str(outcome.name), definition(archive, outcome.name)
    if told.key is not None:
        found = _looked_up(archive, outcome, inputs, shelf, told)
        if found is not None:
            question, wanted = found
            differences = _differences("request", told.request, question.values)
            extra |= {"values": question.values, "differences": differences}
            children = by_input(archive, shelf.records, wanted)
            return question, Origin(name, None, children, extra)
    shown = request_columns(outcome, inputs)
    row = _given(archive, outcome, inputs, shelf, shown, told)
    extra |= {"values": told.request, "reason": "the caller gave the row with the question"}
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
    tree = qualified(outcome.select, inputs, where=outcome.where)
    near = narrow(tree, _of_key(outcome, tree, told), shelf, archive.loop.engine, {})
    held = derive(outcome.select, near.inputs, outcome.key, where=outcome.where)
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
    used = [s if _decides(s, tree, shown) else None for s in sides(tree)]
    wanted = _wanted(used, [table.column("_from")[0].as_py()])
    return Question(told.at, table.select(list(shown)), values), wanted


def _of_key(outcome: Outcome, tree: exp.Select, told: Logged) -> list[Condition]:
    named = dict(zip(tree.named_selects, tree.selects, strict=True))
    parts = str(told.key).split(chr(SEPARATOR))

    def condition(name: str, text: str) -> Condition:
        value = named[name.lower()].unalias()
        return Condition(value, lambda v: exp.cast(v, "varchar").eq(exp.Literal.string(text)))

    return [condition(n, text) for n, text in zip(outcome.key, parts, strict=False)]


def _decides(side: Side, tree: exp.Select, shown: Sequence[str]) -> bool:
    """Return whether a relation is part of what was asked: a label's is not."""
    if not side.outer:
        return True
    trees = [p for p in tree.selects if p.alias_or_name in shown]
    trees += [clause for name in ("where",) if (clause := tree.args.get(name))]
    trees += [s.join.args["on"] for s in sides(tree) if s.join and s.alias != side.alias]
    return any(c.table == side.alias for each in trees for c in each.find_all(exp.Column))


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


def _features(
    archive: Archive, features: Features, shelf: Shelf, question: Question, told: Logged
) -> Origin:
    """Return what one features definition answered, and the rows that it answered from."""
    prefix = f"{features.name.name}__"
    near = _near(archive, features, shelf, question)
    each = compiled(features, near.inputs)
    relations = {**near.relations, QUESTION: question.row}
    (row,) = archive.ask(answer(question.query, [each]), relations)
    values = {n.removeprefix(prefix): v for n, v in row.items() if n.startswith(prefix)}
    then = {n.removeprefix(prefix): v for n, v in told.features.items() if n.startswith(prefix)}
    differences = _differences(str(features.name), then, values)
    extra = {
        **definition(archive, features.name),
        "values": values,
        "reproduced": not differences,
        "differences": differences,
    }
    if each.held is None:
        extra["reason"] = "computed from the request alone"
        return Origin(str(features.name), None, (), extra)
    used = _used(archive, each, question, relations)
    wanted = _wanted(sides(features.select), [row["_from"] for row in used])
    extra |= {"rows": [_shown(features, row) for row in used]}
    return Origin(str(features.name), None, by_input(archive, shelf.records, wanted), extra)


def _near(archive: Archive, features: Features, shelf: Shelf, question: Question) -> Narrow:
    if features.shape == "request":
        return Narrow({}, {})
    inputs = _inputs(archive, features.name, shelf)
    tree, conditions = _place(features, inputs, question)
    return narrow(tree, conditions, shelf, archive.loop.engine, {QUESTION: question.row})


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
    archive: Archive, each: Compiled, question: Question, relations: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the spans that answered: the latest one, or those in the longest window."""
    features, held = each.features, each.held
    assert held is not None
    entity = [name.lower() for name in features.entity]
    known = exp.and_(
        exp.LTE(this=col("_known_at", "h"), expression=lit(question.at)),
        before(lit(question.at), col("_until", "h")),
    )
    rows = exp.select("h.*").from_(held.subquery("h")).where(known)
    if features.shape == "latest":
        asked = exp.select("_q", *map(col, entity), "_at").from_(question.query.subquery("q"))
        found = latest(asked, held.copy(), entity, max_age=features.max_age)
        same = [
            exp.EQ(this=col(name, "h"), expression=col(name, "l"))
            for name in ("_event_time", "_from")
        ]
        return list(archive.ask(rows.join(found.subquery("l"), on=exp.and_(*same)), relations))
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


def _inputs(archive: Archive, name: Name, shelf: Shelf) -> dict[str, exp.Query]:
    """Return the versions relations that a definition reads."""
    nodes = [str(read) for read in archive.loop.project.reads[name]]
    for node in nodes:
        if node not in shelf.records:
            raise LineageError(
                f"{name} reads {node}, which was not there when this was predicted",
                hint="its definition changed since",
            )
    return {node: shelf.versions(node) for node in nodes}


def _wanted(
    places: Sequence[Side | None], origins: Iterable[Sequence[int | None]]
) -> dict[str, set[int]]:
    """Return the row ids of each node, given for each result row one id per relation in FROM."""
    wanted: dict[str, set[int]] = {side.node: set() for side in places if side is not None}
    for origin in origins:
        for side, id_ in zip(places, origin, strict=True):
            if side is not None and id_ is not None:
                wanted[side.node].add(id_)
    return wanted


def _differences(
    what: str, then: Mapping[str, Any], now: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return where values that were logged differ from those computed again."""
    told = {name.lower(): value for name, value in then.items()}
    return [
        {"of": what, "column": name, "logged": told.get(name), "now": plain(now.get(name))}
        for name in dict.fromkeys((*told, *now))
        if name not in told or name not in now or not _equal(told[name], now[name])
    ]


def _equal(then: Any, now: Any) -> bool:
    if isinstance(now, float) and math.isnan(now):
        now = None
    if then is None or now is None:
        return then is None and now is None
    if isinstance(now, datetime) and isinstance(then, str):
        try:
            return instant(then) == instant(now)
        except LichenError:
            return False
    if isinstance(then, int | float) and not isinstance(now, str):
        try:
            return math.isclose(float(then), float(now), rel_tol=CLOSE, abs_tol=CLOSE)
        except (TypeError, ValueError):
            return False
    return bool(then == plain(now)) or str(then) == str(now)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
