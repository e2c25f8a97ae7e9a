"""A features definition over its inputs' versions: which row says what, and from when to when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from lichen.core.derive import derive, lasts, qualified, resolved
from lichen.core.errors import FeaturesError
from lichen.core.sql import col, tables_in
from lichen.core.versions import apart, as_versions, present, spans, written
from lichen.stages.features.aggregates import is_call
from lichen.stages.features.spec import Features


@dataclass(frozen=True)
class Compiled:
    """Features ready to answer questions.

    `held` has the entity's columns, what `outputs` read, `_event_time`, `_known_at`, `_until`
    and `_from`; request features have none. `outputs` are named expressions: over the columns of
    `held`, aggregates for windows, or over the question's own columns. `ready` are relations that
    hold already what `answer.parts` makes. `lasting` says that no row of `held` ever ends, `apart`
    that no two rows of an entity have the same event time.
    """

    features: Features
    held: exp.Select | None
    outputs: tuple[exp.Alias, ...]
    ready: Mapping[str, exp.Query] = field(default_factory=dict)
    lasting: bool = False
    apart: bool = False


def compiled(features: Features, inputs: Mapping[str, exp.Query]) -> Compiled:
    """Return the definition over its inputs' versions; raises FeaturesError or TableError."""
    _refuse_unnamed(features)
    match features.shape:
        case "request":
            return Compiled(features, None, ())
        case "latest":
            return _newest(features, inputs)
        case "window":
            return _windowed(features, inputs)


def placed(features: Features, inputs: Mapping[str, exp.Query]) -> exp.Select:
    """Return the SELECT of `_event_time`, `_declared` (of known_at) and the entity `_e0`, … alone.

    It reads the rows that the definition reads, and its names mean what they mean there.
    """
    meaning: Callable[[exp.Expr], exp.Expr] = _as_written
    if features.shape == "latest":
        meaning = resolved(qualified(features.select, inputs, where=features.where))
    shown = [_named(meaning(col(name)), f"_e{i}") for i, name in enumerate(features.entity)]
    for name, moment in (("_event_time", features.event_time), ("_declared", features.known_at)):
        if moment is not None:
            shown.append(_named(exp.cast(meaning(moment), "timestamptz"), name))
    select = features.select.copy()
    select.set("expressions", shown)
    return select


def _newest(features: Features, inputs: Mapping[str, exp.Query]) -> Compiled:
    """Read the SELECT row by row; entity and event time say where a row is, not what it says."""
    tree = qualified(features.select, inputs, where=features.where)
    meaning, lasting = resolved(tree), lasts(features.select, inputs)
    place = {name.lower() for name in features.entity}
    if isinstance(features.event_time, exp.Column):
        place.add(features.event_time.name.lower())
    shown = (name for name in tree.named_selects if name not in place)
    held = _held(features, inputs, features.select, meaning, tree.named_selects)
    outputs = tuple(_named(col(name), name) for name in shown)
    alone = _apart(features, inputs, meaning)
    return Compiled(features, held, outputs, lasting=lasting, apart=alone)


def _apart(
    features: Features, inputs: Mapping[str, exp.Query], meaning: Callable[[exp.Expr], exp.Expr]
) -> bool:
    """Whether no two rows of an entity have the same event time, as the only input says."""
    if features.event_time is None or features.select.args.get("joins"):
        return False
    (table,) = tables_in(features.select)
    entity = [meaning(col(name)).unnest() for name in features.entity]
    event = meaning(features.event_time).unnest()
    told: list[exp.Expr] = [col(e.name.lower()) for e in entity if isinstance(e, exp.Column)]
    if isinstance(event, exp.Column):
        told.append(exp.cast(col(event.name.lower()), "timestamptz"))
    values = apart(inputs[written(table)])
    return bool(values) and all(value in told for value in values)


def _as_written(expression: exp.Expr) -> exp.Expr:
    return expression.copy()


def _held(
    features: Features,
    inputs: Mapping[str, exp.Query],
    select: exp.Select,
    meaning: Callable[[exp.Expr], exp.Expr],
    names: Sequence[str] = (),
) -> exp.Select:
    """Return the spans of a SELECT of `names` with entity, event time and declared known time."""
    if features.event_time is None or not features.entity:
        raise FeaturesError("features of a table need entity and event_time", where=features.where)
    extra = [_named(col(name), name) for name in features.entity if name.lower() not in names]
    for name, moment in (("_event_time", features.event_time), ("_declared", features.known_at)):
        if moment is not None:
            extra.append(_named(exp.cast(meaning(moment), "timestamptz"), name))
    held = derive(select.select(*extra), inputs, where=features.where)
    kept = [name for name in held.named_selects if name not in ("_declared", "_key", "_arrived_at")]
    dated = [present("_event_time")]
    if features.known_at is not None:
        lasting = lasts(features.select, inputs)
        held = _later(held) if lasting else spans(as_versions(held), _known())
        dated.append(present("_declared"))
    return exp.select(*map(col, kept)).from_(held.subquery("h")).where(*dated)


def _later(held: exp.Select) -> exp.Select:
    """Return spans that never end, each from when it is both declared and known."""
    known = exp.alias_(exp.func("greatest", col("_declared"), col("_known_at")), "_known_at")
    rest = [name for name in held.named_selects if name != "_known_at"]
    return exp.select(*map(col, rest), known).from_(held.subquery("d"))


def _known() -> exp.Expr:
    """A version takes effect when it is both declared and known; a deletion when it is known.

    A correction without a declared time takes effect too, though nobody sees it: what it replaces
    is no longer true.
    """
    later = exp.func("greatest", col("_declared"), col("_known_at"))  # passes over NULL
    return exp.case().when(col("_deleted"), col("_known_at")).else_(later)


def _windowed(features: Features, inputs: Mapping[str, exp.Query]) -> Compiled:
    """Read the columns under each aggregate row by row; keep the aggregates for the question."""
    _refuse_what_windows_cannot(features)
    read: dict[str, exp.Alias] = {}
    entity = [name.lower() for name in features.entity]

    def argument(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return node
        name = read.setdefault(node.sql(), _named(node.copy(), f"arg.{len(read)}")).alias
        return col(name)

    def output(node: exp.Expr) -> exp.Expr:
        if is_call(node):
            return node.transform(argument)
        if isinstance(node, exp.Column) and node.name.lower() not in entity:
            raise FeaturesError(
                f"{node.sql()!r} stands outside an aggregate", where=features.where, allowed=entity
            )
        return node

    shown = [p for p in features.select.selects if p.alias_or_name.lower() not in entity]
    outputs = tuple(_named(p.unalias().transform(output), p.alias_or_name.lower()) for p in shown)
    rows = features.select.copy()
    rows.set("expressions", list(read.values()))
    return Compiled(features, _held(features, inputs, rows, _as_written), outputs)


def _refuse_what_windows_cannot(features: Features) -> None:
    group, inner = features.select.args.get("group"), features.select.find(exp.Window)
    what = "GROUP BY" if group else "OVER (…)" if inner else None
    if what:
        raise FeaturesError(
            f"features over a window cannot use {what}",
            where=features.where,
            allowed=("aggregates of expressions of one row", "filter (where …)", "where"),
            hint="they are grouped by their entity; everything else belongs into a table",
        )


def _refuse_unnamed(features: Features) -> None:
    for shown in features.select.selects:
        if not shown.is_star and not shown.alias_or_name:
            raise FeaturesError(
                f"{shown.sql()} has no name", where=features.where, hint="name it with AS"
            )


def _named(expression: exp.Expr, name: str) -> exp.Alias:
    return exp.Alias(this=expression, alias=exp.to_identifier(name.lower(), quoted=True))
