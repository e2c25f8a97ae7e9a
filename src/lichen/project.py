"""The user's folder, read once into frozen specs; every error has file and line.

`read_project` walks the six folders, resolves every name in FROM, qualifies every column,
refuses cycles, and leaves a `Project`: nodes, who reads whom, and a fingerprint per column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlglot import exp

from lichen.core import graph
from lichen.core.contract.columns import check_columns
from lichen.core.contract.spec import names_read, rules_of
from lichen.core.digest import Print
from lichen.core.errors import ProjectError, Where
from lichen.core.names import Kind, Name
from lichen.core.resolve import line_in, refuse_columns, relations, resolve
from lichen.core.settings import line_of
from lichen.core.sql import columns_in, tables_in
from lichen.declared import FOLDERS, Project, read_file, read_settings
from lichen.prints import Node, leaf, print_of
from lichen.stages.features.spec import Features
from lichen.stages.models.metric import METRICS
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.spec import Service
from lichen.stages.services.tables import columns_of
from lichen.stages.sources.spec import Source
from lichen.stages.tables.function import Function
from lichen.stages.tables.spec import Table, keyed


def read_project(root: Path) -> Project:
    """Read a project folder; raises LichenError at the first mistake, with file and line."""
    settings = read_settings(root)
    nodes = _nodes(root)
    places = {name: node.where.path for name, node in nodes.items()}
    reads = {name: _reads(node, nodes, places) for name, node in nodes.items()}
    for name in _fed_by_services(nodes):
        reads[name] = ()  # predictions and feedback: read like sources, so they make no cycle
    _refuse_cycles(reads, nodes)
    refers = {name: _refers(node, places) for name, node in nodes.items()}
    rules = {name: rules_of(getattr(node, "contract", None)) for name, node in nodes.items()}
    schema = _Schema(nodes, places)
    prints: dict[Name, Print] = {}
    columns: dict[Name, tuple[str, ...]] = {}
    for name in graph.ordered(reads):
        if name in nodes:
            nodes[name] = node = _check(nodes[name], schema, columns)
            columns[name] = _columns(node)
            prints[name] = print_of(node, prints, nodes, root)
        else:
            columns[name] = _service_columns(name)
            prints[name] = leaf(name, dict.fromkeys(columns[name], ""), "")
        schema.columns[str(name)] = columns[name]
    feeds = {name: node for name, node in nodes.items() if isinstance(node, Source)}
    return Project(
        root, settings.name, settings.targets, nodes, reads, refers, rules, prints, columns, feeds
    )


def checked(node: Node, known: Project, places: Mapping[Name, Path]) -> Node:
    """Check a node of a project that was read before without a mistake, as then."""
    schema = _Schema(known.nodes, places, {str(n): c for n, c in known.columns.items()})
    return _check(node, schema, known.columns)


def _nodes(root: Path) -> dict[Name, Node]:
    nodes: dict[Name, Node] = {}
    for kind, suffixes in FOLDERS.items():
        folder = root / kind.value
        found = [p for suffix in suffixes for p in folder.rglob(f"*{suffix}")]
        for path in sorted(found):
            if path.name.startswith((".", "_")):
                continue
            for node in read_file(kind, path, root):
                if node.name in nodes:
                    raise _named_twice(path, nodes[node.name])
                nodes[node.name] = node
    _refuse_strays(root)
    return nodes


def _named_twice(path: Path, other: Node) -> ProjectError:
    if other.name.kind is Kind.table and path.parent.name == Kind.features.value:
        hint = f"a function's rows are a table of its name, and {other.where.path} is one already"
    else:
        hint = (
            f"the other one is {other.where.path}; the file's name is the node's name, whatever "
            "its subfolder"
        )
    return ProjectError(f"two files are named {path.stem!r}", where=Where(path), hint=hint)


def _refuse_strays(root: Path) -> None:
    for contract in sorted(root.glob("*/**/*.odcs.yaml")):
        suffixes = _PROMISING.get(contract.relative_to(root).parts[0])
        if suffixes is None:
            continue
        stem = contract.name.removesuffix(".odcs.yaml")
        if not any((contract.parent / f"{stem}{s}").is_file() for s in suffixes):
            beside = sorted({p.stem for p in contract.parent.iterdir() if p.suffix in suffixes})
            raise ProjectError(
                f"this contract stands beside no {' or '.join(f'{stem}{s}' for s in suffixes)}",
                where=Where(contract),
                allowed=beside,
                given=stem,
            )


# Which files of a folder a contract may stand beside.
_PROMISING: dict[str, tuple[str, ...]] = {
    "sources": (".yml",), "tables": (".sql", ".py"), "features": (".py",),
}  # fmt: skip


def _reads(node: Node, nodes: Mapping[Name, Node], places: Mapping[Name, Path]) -> tuple[Name, ...]:
    match node:
        case Source():
            return ()
        case Model():
            for name, what in ((node.target, "target"), *((f, "features") for f in node.features)):
                _refuse_missing(name, what, nodes, _at(node, what))
            return tuple(dict.fromkeys((node.target, *node.features)))
        case Service():
            _refuse_missing(node.model, "model", nodes, _at(node, "model"))
            return (node.model,)
        case Table(function=Function() as function):
            where = Where(function.path, function.line)
            return tuple(dict.fromkeys(_find(n, where, places) for n in function.inputs))
        case Table() | Features() | Outcome():
            found = (
                _find(
                    f"{t.db}.{t.name}" if t.db else t.name,
                    Where(node.where.path, line_in(t)),
                    places,
                )
                for t in tables_in(node.select)
                if not (isinstance(node, Features) and t.name == "request")
            )
            return tuple(dict.fromkeys(found))


def _refers(node: Node, nodes: Mapping[Name, Path]) -> tuple[Name, ...]:
    contract = getattr(node, "contract", None)
    if contract is None:
        return ()
    places = {rule.refers_to.name: rule.where for rule in contract.rules if rule.refers_to}
    names = names_read(contract)
    return tuple(_find(name, places.get(name, Where(contract.path)), nodes) for name in names)


def _fed_by_services(nodes: Mapping[Name, Node]) -> list[Name]:
    kinds = (Kind.predictions, Kind.feedback)
    return [Name(k, n.name) for k in kinds for n in nodes if n.kind is Kind.service]


def _find(written: str, where: Where, nodes: Mapping[Name, Path]) -> Name:
    kind, dot, rest = written.rpartition(".")
    if dot and kind in ("predictions", "feedback"):
        name = Name(Kind(kind), rest)
        if Name(Kind.service, rest) in nodes:
            return name
    elif dot:
        if kind in ("tables", "sources") and (name := Name(Kind(kind), rest)) in nodes:
            return name
    else:
        both = [Name(Kind.table, rest), Name(Kind.source, rest)]
        found = [n for n in both if n in nodes and where.path != nodes[n]]
        if len(found) > 1:
            raise ProjectError(
                f"{written!r} is a table and a source", where=where, allowed=map(str, found)
            )
        if found:
            return found[0]
        if Name(Kind.table, rest) in nodes:  # a table that reads itself: a cycle of one
            return Name(Kind.table, rest)
    allowed = sorted(n.name for n in nodes if n.kind in (Kind.table, Kind.source))
    raise ProjectError(
        f"there is no table or source {written!r}", where=where, allowed=allowed, given=rest
    )


def _refuse_missing(name: Name, what: str, nodes: Mapping[Name, Node], where: Where) -> None:
    if name not in nodes:
        raise ProjectError(
            f"{what}: there is no {name.kind.value}.{name.name}",
            where=where,
            allowed=sorted(n.name for n in nodes if n.kind == name.kind),
            given=name.name,
        )


def _refuse_cycles(reads: Mapping[Name, tuple[Name, ...]], nodes: Mapping[Name, Node]) -> None:
    if found := tuple(reversed(graph.cycle(reads))):  # each reads the next
        raise ProjectError(
            "these nodes read each other in a circle: " + " → ".join(map(str, found))
            if len(found) > 2
            else f"{found[0]} reads itself",
            where=_reading(nodes[found[0]], found[1]),
            hint="one of them must stop reading the next" if len(found) > 2 else None,
        )


def _reading(node: Node, read: Name) -> Where:
    """Return where a node's SELECT names another node."""
    if isinstance(node, Table | Features | Outcome) and not getattr(node, "function", None):
        for table in tables_in(node.select):
            if table.name == read.name:
                return Where(node.where.path, line_in(table))
    return node.where


def _at(node: Table | Features | Outcome | Model | Service, key: str) -> Where:
    """Return where a node's own settings say something."""
    return Where(node.where.path, line_of(node.lines, f"$.{key}"))


def _service_columns(name: Name) -> tuple[str, ...]:
    return tuple(columns_of(name.kind))


def _check(node: Node, schema: _Schema, columns: Mapping[Name, tuple[str, ...]]) -> Node:
    """Return the node with its SELECT resolved; raises for what its file cannot mean."""
    match node:
        case Source():
            return node
        case Table():
            select, function = node.select, node.function
            if function is None:
                select = _resolved(node, schema)
            else:
                inputs = (schema.find(name, node.where) for name in function.inputs)
                function = dataclasses.replace(function, inputs=tuple(inputs))
            refuse_columns(node.key, select.named_selects, "key", _at(node, "key"))
            if node.contract:
                check_columns(node.contract, select.named_selects)
            static = _static(node, select, schema)
            found = dataclasses.replace(node, select=select, function=function, static=static)
            return keyed(found)
        case Features():
            return _check_features(node, schema)
        case Outcome():
            return _check_outcome(node, schema)
        case Model():
            if node.metric not in METRICS:
                raise ProjectError(
                    f"there is no metric {node.metric!r}",
                    where=_at(node, "metric"),
                    allowed=METRICS,
                    given=node.metric,
                )
            refuse_columns(node.slices, columns[node.target], "slices", _at(node, "slices"))
            _check_model(node, schema.nodes, columns)
            return node
        case Service():
            return node


def _static(node: Table, select: exp.Select, schema: _Schema) -> frozenset[str]:
    """Return the ids of the inputs that are declared static; the first in FROM cannot be."""
    where, (_, *joined) = _at(node, "static"), (*relations(select).values(), "")
    found = {name: schema.find(name, where) for name in sorted(node.static)}
    for name, id_ in found.items():
        if id_ not in joined:
            raise ProjectError(
                f"static: {name!r} is not joined here",
                where=where,
                allowed=[id_.partition(".")[2] for id_ in joined if id_],
                given=name,
            )
    return frozenset(found.values())


def _check_outcome(node: Outcome, schema: _Schema) -> Outcome:
    select = _resolved(node, schema)
    outputs = select.named_selects
    for what in ("label", "predict_at", "known_at"):
        if (tree := getattr(node, what)) is not None:
            refuse_columns(sorted(columns_in(tree)), outputs, what, _at(node, what))
    refuse_columns(node.key, outputs, "key", _at(node, "key"))
    refuse_columns(node.entities, outputs, "entities", _at(node, "entities"))
    return dataclasses.replace(node, select=select)


def _check_features(node: Features, schema: _Schema) -> Features:
    if node.shape == "request":
        return node  # its columns are the outcome's: checked where a model brings the two together
    select = _resolved(node, schema)
    around = {c for id_ in relations(select).values() for c in schema.columns[id_]}
    available = sorted(around | set(select.named_selects))
    refuse_columns(node.entity, available, "entity", _at(node, "entity"))
    for what in ("event_time", "known_at"):
        if (tree := getattr(node, what)) is not None:
            refuse_columns(sorted(columns_in(tree)), available, what, _at(node, what))
    return dataclasses.replace(node, select=select)


def _check_model(
    node: Model, nodes: Mapping[Name, Node], columns: Mapping[Name, tuple[str, ...]]
) -> None:
    """Raise where the features that a model names do not fit the outcome's rows."""
    outcome = nodes[node.target]
    assert isinstance(outcome, Outcome)
    available = {"request": outcome.request_columns()}
    for name in node.features:
        features = nodes[name]
        assert isinstance(features, Features)
        if features.shape == "request":
            resolve(features.select, features.where.path, available, lambda n, _: n)
        else:
            what = f"entity of {name}, which model {node.name.name!r} reads"
            refuse_columns(features.entity, columns[node.target], what, _at(features, "entity"))


def _resolved(node: Table | Features | Outcome, schema: _Schema) -> exp.Select:
    return resolve(node.select, node.where.path, schema.columns, schema.find)


@dataclass(frozen=True)
class _Schema:
    """What the nodes read so far offer to those that come after them."""

    nodes: Mapping[Name, Node]
    places: Mapping[Name, Path]  # the files of all nodes
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, written: str, where: Where) -> str:
        return str(_find(written, where, self.places))


def _columns(node: Node) -> tuple[str, ...]:
    match node:
        case Source():
            return tuple(column.name for column in node.contract.columns)
        case Table() | Outcome() | Features():
            return tuple(node.select.named_selects)
        case Model() | Service():
            return ()
