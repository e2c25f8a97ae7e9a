"""A project in one look: what came in, what was held back, and how its models do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lichen.core.names import Kind, Name
from lichen.core.time import iso
from lichen.declared import Project
from lichen.ports.ledger import Record, State
from lichen.stages.models.spec import Model
from lichen.stages.services.spec import Service

if TYPE_CHECKING:
    from lichen.stages.services.live import Report

LiveOf = Callable[[Service, str], "Report"]  # a service and a metric to how it does
ExampleOf = Callable[[Service], str]  # a service to the id of one of its predictions


def summary(
    project: Project,
    records: Mapping[str, Record],
    state: State,
    live_of: LiveOf,
    example_of: ExampleOf,
) -> dict[str, Any]:
    """Return the project's name, its rows, findings, models, services, and what went wrong last."""
    told = {
        name: records[str(name)]
        for name in project.reads
        if str(name) in records and name.kind in (Kind.source, Kind.table)
    }
    return {
        "project": project.name,
        "now": iso(state.clock) if state.clock else None,
        "rows": {
            kind.value: {str(n): r.facts["rows"] for n, r in told.items() if n.kind is kind}
            for kind in (Kind.source, Kind.table)
        },
        "quarantine": _counted(told, "held_back"),
        "warnings": _counted(told, "warned"),
        "models": [
            _model(node, records[str(node.name)])
            for node in project.of(Model)
            if str(node.name) in records
        ],
        "services": [
            _service(node, project, records, live_of, example_of)
            for node in project.of(Service)
            if str(node.name) in records
        ],
        "trouble": {
            node: {"state": record.state, "error": record.error}
            for node, record in state.tried.items()
        },
    }


def _counted(told: Mapping[Name, Record], what: str) -> dict[str, dict[str, int]]:
    """Return rows by node and rule, of the nodes that have any."""
    counts = {str(name): dict(record.facts[what]) for name, record in told.items()}
    return {name: rules for name, rules in counts.items() if rules}


def _model(node: Model, record: Record) -> dict[str, Any]:
    facts = record.facts
    return {
        "node": str(node.name),
        "version": record.sequence,
        "metric": node.metric,
        "holdout": facts["metrics"][node.metric],
        "holdout_rows": facts["holdout"]["rows"],
        "baseline": facts["baseline"].get(node.metric),
        "plain": facts["plain"].get(node.metric),
        "log_loss": facts["metrics"].get("log_loss"),
        "baseline_log_loss": facts["baseline"].get("log_loss"),
        "family": facts["family"],
    }


def _service(
    node: Service,
    project: Project,
    records: Mapping[str, Record],
    live_of: LiveOf,
    example_of: ExampleOf,
) -> dict[str, Any]:
    record = records[str(node.name)]
    told = doing(node, project, records, live_of)
    return {
        "node": str(node.name),
        "serving": record.facts["serving"]["version"] if record.facts["serving"] else None,
        "reason": record.facts["reason"],
        **told,
        "example": example_of(node) if told["live"] else None,
    }


def doing(
    node: Service, project: Project, records: Mapping[str, Record], live_of: LiveOf
) -> dict[str, Any]:
    """Return how a service does live: by its model's metric, in all and by day."""
    model = project.nodes[node.model]
    predictions = str(Name(Kind.predictions, node.name.name))
    assert isinstance(model, Model)
    report = live_of(node, model.metric) if predictions in records else None
    return {
        "metric": model.metric,
        "predictions": report.predictions if report else 0,
        "labelled": report.labelled if report else 0,
        "live": {
            "value": report.measured.value,
            "low": report.measured.low,
            "high": report.measured.high,
        }
        if report
        else None,
        "days": [
            {"day": d.day, "predictions": d.predictions, "labelled": d.labelled, "value": d.value}
            for d in (report.days if report else ())
        ],
    }
