"""Nodes at pinned versions and what they were made of, down to files; no single rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core import graph
from lichen.core.names import Kind, Name
from lichen.lineage.archive import Archive
from lichen.lineage.origin import LineageError, Origin
from lichen.lineage.rows import landed, prepared
from lichen.ports.ledger import Record
from lichen.stages.models.spec import Model
from lichen.stages.services.spec import Service


def pedigree(archive: Archive, record: Record) -> Origin:
    """Return what a recorded version was made of, each part at its version then."""
    name = Name.parse(record.node)
    match name.kind:
        case Kind.source:
            return _source(archive, record)
        case Kind.table:
            inputs = tuple(pedigree(archive, each) for each in archive.inputs(record).values())
            return Origin(record.node, record.sequence, inputs, _stored(record))
        case Kind.model:
            return _model(archive, name, record)
        case Kind.service:
            return _service(archive, name, record)
        case _:
            return Origin(record.node, record.sequence, (), _stored(record))


def defined(archive: Archive, name: Name, records: Mapping[str, Record]) -> Origin:
    """Return features or an outcome: a definition over tables at the versions in `records`."""
    project = archive.loop.project
    inputs = [
        pedigree(archive, records[str(read)])
        for read in project.reads.get(name, ())
        if str(read) in records
    ]
    return Origin(str(name), None, tuple(inputs), definition(archive, name))


def definition(archive: Archive, name: Name) -> dict[str, Any]:
    """Return where a node is defined and what its definition says."""
    project = archive.loop.project
    node = project.nodes.get(name)
    if node is None:
        return {}
    path = node.where.path.relative_to(project.root).as_posix()
    text = getattr(node, "text", None)
    told: dict[str, Any] = {"file": path, "fingerprint": project.prints[name].whole()}
    return {**told, "definition": text.strip()} if text else told


def downstream(archive: Archive, name: Name) -> list[str]:
    """Return the nodes that read a node, directly or not."""
    return [str(each) for each in graph.downstream(archive.loop.project.reads, name)]


def _stored(record: Record) -> dict[str, Any]:
    facts = record.facts
    told = {"now": record.now, "run": record.run, "reason": record.body.get("reason")}
    told |= {"rows_stored": facts.get("rows"), "rows_added": facts.get("added")}
    if function := record.body.get("function"):
        told |= {"lineage": "table", "function": function}
    if facts.get("held_back"):
        told["held_back"] = facts["held_back"]
    if record.node in record.commits:
        told["delta_version"] = record.commits[record.node][1]
    return told


def _source(archive: Archive, record: Record) -> Origin:
    """Return a source with every file that its rows may come from, once for each landing."""
    files: list[dict[str, Any]] = []
    first = record.facts.get("epoch", 0)
    for landing in archive.history(record.node):
        if landing.state == "done" and first <= landing.sequence <= record.sequence:
            for seen in landing.body.get("files", ()):
                told = {"path": seen["path"], "sha256": seen["sha256"]}
                files.append({**told, "landed": landed(landing)})
    files.sort(key=lambda file: (file["path"], file["landed"]["sequence"]))
    told = {**_stored(record), "files": files, **prepared(archive, record)}
    return Origin(record.node, record.sequence, (), told)


def _model(archive: Archive, name: Name, record: Record) -> Origin:
    project, facts = archive.loop.project, record.facts
    model = project.nodes.get(name)
    if not isinstance(model, Model):
        raise LineageError(f"{name} was trained, but is no longer part of this project")
    snapshot = {node: archive.loop.ledger.record(id_) for node, id_ in facts["snapshot"].items()}
    parts = [defined(archive, each, snapshot) for each in (model.target, *model.features)]
    back = [node for node in snapshot if Name.parse(node).kind is Kind.feedback]
    parts += [pedigree(archive, snapshot[node]) for node in back]
    same = project.prints[name].whole() == record.body.get("fingerprint")
    told = {
        **definition(archive, name),
        "fingerprint": record.body.get("fingerprint"),
        "definition_changed_since": not same,
        "trained_at": record.now,
        "run": record.run,
        "reason": record.body.get("reason"),
        **_learned(facts),
        "snapshot": {
            node: {"version": each.sequence, "record": each.id} for node, each in snapshot.items()
        },
        "gate": gate_of(archive, name, record.sequence),
    }
    return Origin(str(name), record.sequence, tuple(parts), told)


def _learned(facts: Mapping[str, Any]) -> dict[str, Any]:
    names = ("cutoff", "family", "metric", "training", "holdout", "left_out", "read", "held_out",
             "holdout_begins", "metrics", "sha256")  # fmt: skip
    return {name: facts[name] for name in names if name in facts}


def gate_of(archive: Archive, model: Name, version: int) -> list[dict[str, Any]]:
    """Return what the gates of the services said of a model version."""
    verdicts = []
    for service in archive.loop.project.of(Service):
        if service.model != model:
            continue
        for record in archive.history(str(service.name)):
            considered = record.facts.get("considered", record.body.get("considered"))
            if record.state == "done" and considered == version:
                names = ("decision", "reason", "challenger", "champion", "difference")
                verdict = {name: record.facts.get(name) for name in names}
                verdicts.append({"service": str(service.name), "now": record.now, **verdict})
    return verdicts


def _service(archive: Archive, name: Name, record: Record) -> Origin:
    service = archive.loop.project.nodes.get(name)
    serving = record.facts.get("serving")
    inputs = []
    if isinstance(service, Service) and serving:
        model = archive.record(str(service.model), serving["version"])
        inputs = [pedigree(archive, model)]
    names = ("decision", "reason", "considered", "serving")
    told = {n: record.facts[n] for n in names if n in record.facts}
    return Origin(str(name), record.sequence, tuple(inputs), {"now": record.now, **told})
