"""What each node means, as fingerprints: per column, from those of the columns that it reads. Pure.

Formatting and remarks do not count. See `core.fingerprint` for how SQL is normalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlglot import exp

from lichen.core.digest import Print, digest
from lichen.core.fingerprint import fingerprint, normal
from lichen.core.names import Name
from lichen.core.pycode import code_fingerprint
from lichen.core.resolve import relations
from lichen.core.sql import columns_in
from lichen.stages.features.spec import Features
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.spec import Service
from lichen.stages.sources.spec import Source
from lichen.stages.tables.function import Function
from lichen.stages.tables.spec import Table

Node = Source | Table | Features | Outcome | Model | Service


def print_of(
    node: Node, prints: Mapping[Name, Print], nodes: Mapping[Name, Node], root: Path
) -> Print:
    """Return a node's fingerprint, from those of what it reads."""
    match node:
        case Source():
            known = normal(node.known_at) if node.known_at else ""
            told = f"{node.key} {known} {node.backfill_until} {node.told()}"
            columns = node.contract.columns
            types = {c.name: digest(c.type, *sorted(c.missing)) for c in columns}
            return leaf(node.name, types, told)
        case Table(function=Function() as function):
            return _function_print(node, function, prints, root)
        case Table():
            static = [f"static={sorted(node.static)}"] if node.static else []
            return fingerprint(node.select, _inputs(node.select, prints), str(node.key), *static)
        case Outcome() | Features():
            parts = [f"{what}={_spelled(getattr(node, what))}" for what in _MEANING[type(node)]]
            return fingerprint(node.select, _inputs(node.select, prints), *parts)
        case Model():
            return Print(_model_print(node, prints, nodes, root), {})
        case Service():
            return Print(digest(str(node.model)), {})


_MEANING: dict[type, tuple[str, ...]] = {
    Outcome: ("key", "entities", "label", "predict_at", "known_at"),
    Features: ("shape", "entity", "event_time", "known_at", "max_age", "windows"),
}


def _model_print(
    node: Model, prints: Mapping[Name, Print], nodes: Mapping[Name, Node], root: Path
) -> str:
    outcome = nodes[node.target]
    assert isinstance(outcome, Outcome)
    used = {*outcome.key, *outcome.entities, *outcome.dated_columns()}
    for name in node.features:
        features = nodes[name]
        if isinstance(features, Features) and features.shape == "request":
            used |= columns_in(features.select)
    used = {c for c in prints[node.target].columns if c in used}
    return digest(
        code_fingerprint(node.path, root, undecorated=("model",)),
        node.function,
        *(f"{what}={getattr(node, what)}" for what in ("metric", "holdout", "seed", "slices")),
        *([f"positive={node.positive!r}"] if node.positive is not None else []),
        prints[node.target].of(used),
        *(f"{name}={prints[name].whole()}" for name in node.features),
    )


def _function_print(
    node: Table, function: Function, prints: Mapping[Name, Print], root: Path
) -> Print:
    """What a function does with its inputs is not known: all of them count, for each column."""
    rows = digest(
        code_fingerprint(node.where.path, root, undecorated=("table", "features")),
        function.name,
        *(f"{id_}={prints[Name.parse(id_)].whole()}" for id_ in function.inputs),
        *function.frames,
        str(node.key),
    )
    return Print(rows, {name: digest(rows, name, type_) for name, type_ in function.types.items()})


def _inputs(select: exp.Select, prints: Mapping[Name, Print]) -> dict[str, Print]:
    """Return the prints of a SELECT's relations by alias; `request` counts by its text alone."""
    found = relations(select).items()
    return {alias: prints[Name.parse(id_)] for alias, id_ in found if id_ != "request"}


def leaf(name: Name, types: Mapping[str, str], extra: str) -> Print:
    """Return the fingerprint of a node that reads no other one."""
    rows = digest(str(name), extra)
    return Print(rows, {column: digest(rows, column, type_) for column, type_ in types.items()})


def _spelled(value: object) -> str:
    return normal(value) if isinstance(value, exp.Expr) else str(value)
