"""From a dbt manifest to a project: models, sources, seeds and tests; what is left out is told."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlglot import exp

from lichen.core.errors import LichenError
from lichen.core.sql import parse_select
from lichen.ports.engine import Engine
from lichen.starters import dbtrules, dbtsql
from lichen.starters.contract import contract
from lichen.starters.dbtrules import Promises
from lichen.starters.dbtsql import Relations, Unresolved
from lichen.starters.manifest import Manifest, Node, read
from lichen.starters.place import write
from lichen.starters.profile import profile
from lichen.starters.raw import look
from lichen.starters.words import column_names, node_name, scalar

_UNKNOWN = "nothing says what columns it has: write its contract, sources/{name}.odcs.yaml"


@dataclass
class Taken:
    """What became of a dbt project: new names by dbt's ids, what was left out and why, and what
    is still to be done by hand."""

    names: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    to_do: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return how many nodes of a dbt kind were taken over."""
        return sum(id_.startswith(f"{kind}.") for id_ in self.names)


def begin(dbt: Path, folder: Path, title: str, engine: Engine) -> Taken:
    """Write a project after a dbt project's manifest into an empty folder; returns what it holds.

    Raises ProjectError where there is no manifest. What cannot be taken over is told, not raised.
    """
    manifest = read(dbt)
    taken = Taken(left_out=dict(_left_out(manifest)))
    every = {**manifest.sources, **manifest.nodes}
    taken.names = _named(manifest, taken)
    promises = _promises(manifest, taken)
    tables = _tables(manifest, taken)
    files = {"lichen.yml": f"name: {scalar(title)}\n", ".gitignore": ".lichen/\n"}
    for id_, select in tables.items():
        node, name = manifest.nodes[id_], taken.names[id_]
        files |= _table(name, node, select, promises.get(id_, Promises()), taken)
    used = _columns_used(tables.values())
    for id_, name in taken.names.items():
        if every[id_].resource_type == "source":
            told = promises.get(id_, Promises())
            files |= _source(name, every[id_], told, used.get(name, ()), taken)
        elif every[id_].resource_type == "seed":
            files |= _seed(name, every[id_], promises.get(id_), dbt, folder, engine, taken)
    files["README.md"] = _readme(title, manifest, taken)
    write(folder, files)
    return taken


def _left_out(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for id_, node in manifest.nodes.items():
        if node.resource_type == "model" and node.language != "sql":
            yield id_, "a model in Python: write it as SQL, or as a table in Python"
        elif node.resource_type == "snapshot":
            yield id_, "every version of a row is kept anyway: read its source instead"
        elif node.resource_type not in ("model", "seed", "test"):
            yield id_, "Lichen has no such noun"
    for what in ("exposures", "metrics", "semantic_models", "saved_queries", "unit_tests"):
        for id_ in getattr(manifest, what):
            yield id_, "Lichen has no such noun"
    own = manifest.metadata.project_name
    for id_ in manifest.macros:
        if id_.split(".")[1:2] == [own]:
            yield id_, "macros are resolved by `dbt compile`, and are not taken over"


def _named(manifest: Manifest, taken: Taken) -> dict[str, str]:
    """Return a name for each node that is taken over, each another one; models keep theirs."""
    names: dict[str, str] = {}
    for kind in ("model", "seed"):
        for id_, node in manifest.nodes.items():
            if node.resource_type == kind and id_ not in taken.left_out:
                beside = "seed" if kind == "seed" else node.package_name or "model"
                names[id_] = node_name(node.name, taken=names.values(), beside=beside)
    for id_, node in manifest.sources.items():
        name = node_name(node.name, beside="source")
        if name in names.values():
            name = node_name(f"{node.source_name}_{node.name}", taken=names.values())
        names[id_] = name
    return names


def _promises(manifest: Manifest, taken: Taken) -> dict[str, Promises]:
    names: dict[str, str] = {}
    for id_, name in taken.names.items():
        node = manifest.sources.get(id_)
        names[f"{node.source_name}.{node.name}" if node else manifest.nodes[id_].name] = name
    found: dict[str, Promises] = {}
    for id_, test in manifest.nodes.items():
        if test.resource_type != "test":
            continue
        about = test.attached_node or _about(test)
        if about not in taken.names:
            taken.left_out[id_] = "a test of what is left out, or of several nodes"
            continue
        why = dbtrules.add(found.setdefault(about, Promises()), test, names)
        if why is not None:
            taken.left_out[id_] = f"{why}: write it as a rule of the contract"
    return found


def _about(test: Node) -> str:
    """Return the node that a test is about: of a relationship the last one, else the only one."""
    told = test.test_metadata
    nodes = test.depends_on.nodes
    if told is not None and told.name == "relationships" and nodes:
        return nodes[-1]
    return nodes[0] if len(nodes) == 1 else ""


def _tables(manifest: Manifest, taken: Taken) -> dict[str, str]:
    """Return the SELECT of each model; those that cannot be resolved are left out, with readers."""
    adapter = manifest.metadata.adapter_type or "duckdb"
    models = [id_ for id_ in taken.names if id_ in manifest.nodes]
    models = [id_ for id_ in models if manifest.nodes[id_].resource_type == "model"]
    found: dict[str, str] = {}
    waiting = True
    while waiting:  # a model that is left out takes its readers with it
        waiting = False
        relations = _relations(manifest, taken)
        for id_ in [id_ for id_ in models if id_ in taken.names]:
            try:
                found[id_] = dbtsql.resolved(manifest.nodes[id_], relations, adapter)
            except Unresolved as why:
                found.pop(id_, None)
                del taken.names[id_]
                taken.left_out[id_] = str(why)
                waiting = True
    return found


def _relations(manifest: Manifest, taken: Taken) -> Relations:
    refs: dict[str, str] = {}
    sources: dict[tuple[str, str], str] = {}
    stored: dict[tuple[str, str], tuple[str, str]] = {}
    for id_, name in taken.names.items():
        node = manifest.sources.get(id_) or manifest.nodes[id_]
        if id_ in manifest.sources:
            sources[node.source_name or "", node.name] = name
        else:
            refs[node.name] = name
        stored[(node.schema_ or "").lower(), node.called.lower()] = (name, node.called)
    return Relations(refs, sources, stored)


def _table(name: str, node: Node, select: str, promises: Promises, taken: Taken) -> dict[str, str]:
    key = _key(node, promises)
    told = [f"# From dbt: {node.original_file_path or node.name}"]
    if isinstance(key, str):
        told.append(f"key: {scalar(key)}")
    elif key:
        told.append(f"key: [{', '.join(map(scalar, key))}]")
    if node.config.get("materialized") == "incremental":
        taken.left_out[f"config.{node.package_name}.{node.name}.incremental"] = (
            "what is new is found by Lichen itself: the whole SELECT was taken"
        )
    files = {f"tables/{name}.sql": "/*\n" + "\n".join(told) + f"\n*/\n{select}"}
    shown = parse_select(select, Path(f"{name}.sql"))
    outputs = {column.lower() for column in shown.named_selects}
    known = [c for c in promises.columns if c.lower() in outputs or "*" in outputs]
    for column in promises.columns:
        if column not in known:
            taken.to_do.append(f"tables/{name}.sql: dbt tests {column}, which is not selected")
    if known:
        files[f"tables/{name}.odcs.yaml"] = dbtrules.contract(name, node, promises, known)
    return files


def _key(node: Node, promises: Promises) -> str | list[str] | None:
    said = node.config.get("unique_key")
    if isinstance(said, str) and said.isidentifier():
        return said
    if isinstance(said, list) and said and all(isinstance(each, str) for each in said):
        return said
    return promises.key()


def _columns_used(selects: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns of each relation that some SELECT reads from it alone."""
    found: dict[str, dict[str, None]] = {}
    for text in selects:
        for select in parse_select(text, Path("model.sql")).find_all(exp.Select):
            tables = [select.args["from_"].this] if select.args.get("from_") else []
            if len(tables) != 1 or select.args.get("joins") or not isinstance(tables[0], exp.Table):
                continue
            named = {column.name: None for column in select.find_all(exp.Column)}
            named.pop("*", None)
            found.setdefault(tables[0].name, {}).update(named)
    return {name: list(columns) for name, columns in found.items()}


def _source(
    name: str, node: Node, promises: Promises, used: Sequence[str], taken: Taken
) -> dict[str, str]:
    columns = list(dict.fromkeys([*(c.name for c in node.columns.values()), *promises.columns]))
    lower = {column.lower() for column in columns}
    columns += [column for column in used if column.lower() not in lower]
    what = f"{node.source_name}.{node.name}" if node.source_name else node.name
    taken.to_do.append(f"feeds/{name}/: put the rows of {what} here, as CSV")
    if not columns:
        taken.to_do.append(f"sources/{name}.yml: {_UNKNOWN.format(name=name)}")
    key = promises.key()
    text = f"# From dbt: the source {what}\npath: feeds/{name}/*.csv\n"
    return {
        f"sources/{name}.yml": text + (f"key: {scalar(key)}\n" if key else ""),
        f"sources/{name}.odcs.yaml": dbtrules.contract(name, node, promises, columns),
    }


def _seed(
    name: str,
    node: Node,
    promises: Promises | None,
    dbt: Path,
    folder: Path,
    engine: Engine,
    taken: Taken,
) -> dict[str, str]:
    path = f"feeds/{name}.csv"
    key = promises.key() if promises else None
    (folder / "feeds").mkdir(exist_ok=True)
    try:
        raw = look(dbt / node.original_file_path)
        shutil.copyfile(raw.path, folder / path)
        rows = engine.csv(folder / path).rows
    except LichenError as error:
        taken.to_do.append(f"sources/{name}.yml: its file does not read: {error.what}")
        return _source(name, node, promises or Promises(), (), taken)
    clean = column_names(raw.header)
    called = {c: (c, n) for c, n in zip(raw.header, clean, strict=True)}
    columns = profile(engine, rows, called)
    text = f"# From dbt: the seed {node.original_file_path}\npath: {path}\n"
    return {
        f"sources/{name}.yml": text + (f"key: {scalar(key)}\n" if key else ""),
        f"sources/{name}.odcs.yaml": contract(name, path, columns, key, ""),
    }


def _readme(title: str, manifest: Manifest, taken: Taken) -> str:
    lines = [
        f"# {title}\n",
        f"Made from the dbt project {manifest.metadata.project_name or ''}: "
        f"{taken.count('model')} models are tables, {taken.count('source')} sources and "
        f"{taken.count('seed')} seeds are sources, and their tests are rules of contracts.\n",
    ]
    if taken.to_do:
        lines += ["To be done by hand:\n", *(f"- {what}" for what in taken.to_do), ""]
    if taken.left_out:
        lines.append("Left out:\n")
        lines += [f"- {what}: {why}" for what, why in sorted(taken.left_out.items())]
    return "\n".join(lines).rstrip() + "\n"


def kinds(left_out: Mapping[str, str]) -> dict[str, int]:
    """Return how many of each kind were left out.

    >>> kinds({"macro.shop.cents": "…", "macro.shop.day": "…", "snapshot.shop.s": "…"})
    {'macro': 2, 'snapshot': 1}
    """
    return dict(Counter(id_.split(".")[0] for id_ in left_out))
