"""What a question names: a node, and of it a column, a row or a version."""

from __future__ import annotations

from dataclasses import dataclass

from lichen.core.names import Kind, Name
from lichen.declared import Project
from lichen.lineage.origin import LineageError
from lichen.stages.services.spec import Service

FORMS = (
    "predictions.SERVICE:ID",
    "models.NAME",
    "models.NAME@VERSION",
    "tables.NAME",
    "tables.NAME.COLUMN",
    "tables.NAME:KEY",
)


@dataclass(frozen=True)
class Address:
    """A node with at most one of a column, a row's key (a prediction's id) and a version."""

    name: Name
    column: str | None = None
    key: str | None = None
    version: int | None = None


def read_address(text: str, project: Project) -> Address:
    """Return what a text such as `tables.T.COLUMN` names; raises LineageError or ProjectError."""
    named, colon, key = text.partition(":")
    named, at, version = named.partition("@")
    parts = named.split(".")
    kinds = {kind.value for kind in Kind}
    size = 2 if parts[0] in kinds else 1
    if len(parts) > size + 1 or not all(parts) or (colon and not key):
        raise LineageError(f"{text!r} does not read", allowed=FORMS)
    if at and not version.isdigit():
        raise LineageError(f"{version!r} is no version: they are numbers", allowed=FORMS)
    name = _node(parts[:size], project)
    column = parts[size] if len(parts) > size else None
    if sum((column is not None, bool(colon), bool(at))) > 1:
        raise LineageError(f"{text!r} asks two things at once", allowed=FORMS)
    return Address(name, column, key or None, int(version) if at else None)


def _node(parts: list[str], project: Project) -> Name:
    """Return a node of the project, or one of the tables that its services feed."""
    if parts[0] not in (Kind.predictions, Kind.feedback):
        return project.node(".".join(parts))
    services = [service.name.name for service in project.of(Service)]
    if len(parts) == 2 and parts[1] in services:
        return Name(Kind(parts[0]), parts[1])
    given = ".".join(parts)
    allowed = [f"{parts[0]}.{name}" for name in services]
    raise LineageError(f"no service feeds {given!r}", allowed=allowed, given=given)
