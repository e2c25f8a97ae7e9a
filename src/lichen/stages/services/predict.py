"""From instances to predictions: questions, features, the model, and the lines of the log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.sql import rel
from lichen.core.time import Instant, iso
from lichen.ports.engine import Engine
from lichen.stages.context import Shelf
from lichen.stages.models.data import Class
from lichen.stages.models.metric import Task
from lichen.stages.models.trained import Trained
from lichen.stages.services.online import OnlineState, View
from lichen.stages.services.request import Asked, Malformed, Shape
from lichen.stages.services.tables import Prediction

HALF = 0.5  # the probability from which a yes/no answer is yes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a client gets for one instance; `value` is 1 or 0 for a yes/no model.

    Where classes have names it is the class, and `probabilities` has that of each. `probability` is
    that of yes.
    """

    prediction_id: str
    value: float | Class
    probability: float | None
    model: str
    model_version: int
    at: str
    key: str | None
    probabilities: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """What a client gets for an instance that cannot be answered."""

    key: str | None
    error: dict[str, Any]


@dataclass(frozen=True)
class Serving:
    """A model version behind a service, and what its questions are answered from."""

    service: str
    model: str
    version: int
    trained: Trained
    state: OnlineState


@dataclass(frozen=True)
class Pinned:
    """A publication: its number, its time and its records."""

    publication: int
    now: Instant
    shelf: Shelf


def shape(serving: Serving) -> Shape:
    """Return what a whole row may hold for this service."""
    inquiry = serving.state.inquiry
    columns = inquiry.outcome.request_columns()
    needed = {name.lower() for f in inquiry.features for name in f.entity}
    for features in inquiry.features:
        if features.shape == "request":
            needed |= {column.name.lower() for column in features.select.find_all(exp.Column)}
    return Shape(
        inquiry.outcome.key, columns, tuple(name for name in columns if name.lower() in needed)
    )


def predict(
    serving: Serving, pinned: Pinned, asked: Sequence[Asked], engine: Engine
) -> tuple[list[Answer | Unanswered], list[Prediction]]:
    """Return what each instance is answered, and the lines to log before that is sent."""
    view, tables = answered(serving.state, pinned, asked)
    answers: dict[int, Answer] = {}
    lines: list[Prediction] = []
    for table in tables:
        for index, line, said in _predicted(serving, view, table, asked, engine):
            lines.append(line)
            answers[index] = Answer(
                prediction_id=line.prediction_id,
                value=said.value,
                probability=said.probability,
                probabilities=dict(said.probabilities) or msgspec.UNSET,
                model=serving.model,
                model_version=line.model_version,
                at=line.at,
                key=line.key,
            )
    told = [answers.get(i) or _unknown(serving, view, one) for i, one in enumerate(asked)]
    return told, lines


def answered(
    state: OnlineState, pinned: Pinned, asked: Sequence[Asked]
) -> tuple[View, list[Table]]:
    """Return the answered questions: from memory where they are new, else from stored tables."""
    keyed = [i for i, one in enumerate(asked) if one.row is None]
    whole = [i for i, one in enumerate(asked) if one.row is not None]
    tables: list[Table] = []
    with state.reading(pinned.publication, pinned.now, pinned.shelf) as view:
        new = [i for i in keyed if asked[i].at >= view.start]
        found = state.lookup(view, _keys(asked, new)) if new else None
        rows = _rows(state, view, asked, whole) if whole else None
        if rows is not None and min(asked[i].at for i in whole) >= view.start:
            tables.append(state.answer(view, rows))
            rows = None
        if found is not None and len(found):
            tables.append(state.answer(view, found))
    seen = set(_values(found, "_q")) if found is not None else set()
    rest = [i for i in keyed if i not in seen]
    older = state.lookup_in_full(view, _keys(asked, rest)) if rest else None
    for given in (older, rows):
        if given is not None and len(given):
            since = min(asked[i].at for i in _values(given, "_q"))
            tables.append(state.answer_in_full(view, given, since))
    return view, tables


def _predicted(
    serving: Serving, view: View, table: Table, asked: Sequence[Asked], engine: Engine
) -> Iterable[tuple[int, Prediction, Spoken]]:
    """Yield the position, the line and the words of each prediction."""
    frame = engine.frame(exp.select("*").from_(rel("_answers")), {"_answers": table})
    columns = [c for c in frame.columns if "__" in str(c) and not str(c).startswith("_")]
    predicted = serving.trained.predict(frame[columns])
    texts = zip(
        _values(table, "_q"),
        _values(table, "_key"),
        _values(table, "_request"),
        _values(table, "_features"),
        predicted.tolist(),
        strict=True,
    )
    for index, key, request, features, number in texts:
        said = spoken(serving.trained.task, serving.trained.classes, number)
        yield (
            index,
            Prediction(
                prediction_id=uuid.uuid4().hex,
                model=serving.model,
                model_version=serving.version,
                publication=view.publication,
                key=key,
                at=iso(asked[index].at),
                value=None if isinstance(said.value, str) else float(said.value),
                probability=said.probability,
                request=_sound(request),
                features=_sound(features),
                answer=str(said.value) if said.probabilities else None,
                probabilities=json.dumps(said.probabilities) if said.probabilities else None,
            ),
            said,
        )


@dataclass(frozen=True)
class Spoken:
    """A prediction in the words of the label."""

    value: float | Class
    probability: float | None
    probabilities: Mapping[str, float]


def spoken(task: Task, classes: Sequence[Class], predicted: Any) -> Spoken:
    """Return what a model's number, or its row of probabilities by class, says.

    >>> spoken(Task.binary, ("<=50K", ">50K"), 0.75).value
    '>50K'
    """
    if task is Task.regression:
        return Spoken(predicted, None, {})
    if task is Task.multiclass:
        best = max(range(len(classes)), key=lambda place: predicted[place])
        return Spoken(classes[best], None, dict(zip(map(str, classes), predicted, strict=True)))
    yes = predicted >= HALF
    if not classes:
        return Spoken(float(yes), predicted, {})
    by_class = dict(zip(map(str, classes), (1 - predicted, predicted), strict=True))
    return Spoken(classes[yes], predicted, by_class)


def _rows(state: OnlineState, view: View, asked: Sequence[Asked], which: Sequence[int]) -> Table:
    """Return whole rows as questions; raises Malformed for a value of another type."""
    sent = [json.dumps(asked[i].row) for i in which]
    table = _table(asked, which, {"_row": (sent, DataType.utf8())})
    found = state.rows(view, table)
    for index, bad in zip(_values(found, "_q"), _values(found, "_bad"), strict=True):
        if bad:
            name = bad.split(",")[0]
            place = f"{asked[index].path}.row.{name}"
            raise Malformed(f"{asked[index].row[name]!r} is not a value of {name!r}", place)
    kept: Table = found.select([name for name in found.column_names if name != "_bad"])
    return kept


def _keys(asked: Sequence[Asked], which: Sequence[int]) -> Table:
    return _table(asked, which, {})


def _table(
    asked: Sequence[Asked], which: Sequence[int], more: Mapping[str, tuple[list[Any], DataType]]
) -> Table:
    columns: dict[str, tuple[list[Any], DataType]] = {
        "_q": (list(which), DataType.int64()),
        "_key": ([asked[i].key for i in which], DataType.utf8()),
        "_at": ([iso(asked[i].at) for i in which], DataType.utf8()),
        **more,
    }
    return Table.from_pydict({n: Array(values, type_) for n, (values, type_) in columns.items()})


def _unknown(serving: Serving, view: View, one: Asked) -> Unanswered:
    outcome = serving.state.inquiry.outcome
    return Unanswered(
        key=one.key,
        error={
            "what": f"{outcome.name} has no row of this key that was known then",
            "key_columns": list(outcome.key),
            "at": iso(one.at),
            "publication": view.publication,
        },
    )


def _values(table: Table, name: str) -> list[Any]:
    column = table.column(name)
    return [column[i].as_py() for i in range(len(column))]


def _sound(text: str) -> str:
    """Return a JSON text without NaN and infinities, which JSON does not have."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    nothing: Callable[[str], None] = lambda _: None  # noqa: E731
    return json.dumps(json.loads(text, parse_constant=nothing))
