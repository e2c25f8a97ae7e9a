"""What is seen of the world before a plan: file listings and log sizes. The ledger is only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lichen.core.errors import LichenError, SourceError
from lichen.core.names import Name
from lichen.core.pyrun import call
from lichen.core.steps import Seen
from lichen.core.time import Instant
from lichen.ports.engine import Engine
from lichen.ports.facts import Observed
from lichen.ports.ledger import State
from lichen.project import Project
from lichen.stages.context import Shelf
from lichen.stages.models.spec import Model
from lichen.stages.services.log import log_sizes
from lichen.stages.services.spec import Service
from lichen.stages.sources.spec import Source
from lichen.wiring import open_connector

if TYPE_CHECKING:
    from lichen.stages.models.ask import Inquiry


@dataclass(frozen=True)
class World:
    """Listings by source and log sizes by service, as they were when the run looked."""

    files: dict[str, tuple[Seen, ...]] = field(default_factory=dict)
    logs: dict[str, dict[str, int]] = field(default_factory=dict)


def observe(
    project: Project, state: State, now: Instant, folder: Path, only: frozenset[Name] | None
) -> World:
    """Run what sources prepare, list what they hold, and measure the services' logs."""
    world = World()
    prepared: set[Path] = set()
    for source in project.of(Source):
        if only is not None and source.name not in only:
            continue
        if source.prepare is not None and source.prepare not in prepared:
            call(
                source.prepare,
                "prepare",
                project.root,
                [project.root, now],
                what="prepare",
                error=SourceError,
                hint="it is called as prepare(folder, now)",
            )
            prepared.add(source.prepare)
        known = state.files.get(str(source.name), {})
        try:
            connector = open_connector(source.connector)
            world.files[str(source.name)] = connector.list(project.root, source.path, known)
        except LichenError as error:
            raise SourceError(
                error.what,
                where=source.where,
                allowed=error.allowed,
                given=error.given,
                hint=error.hint,
            ) from error
    for service in project.of(Service):
        world.logs[str(service.name)] = log_sizes(folder, service.name.name)
    return world


@dataclass(frozen=True)
class Watch:
    """How trained models do, measured again only when their data went on."""

    _known: dict[str, tuple[object, Observed]] = field(default_factory=dict)

    def models(
        self,
        project: Project,
        shelf: Shelf,
        now: Instant,
        only: frozenset[Name] | None,
        inquiry: Callable[[Name], Inquiry],
        engine: Callable[[], Engine],
    ) -> dict[str, Observed]:
        """Measure the models whose retrain policy asks for labels or for a fall."""
        # What measures loads a numbers library; most plans have nothing to measure.
        from lichen.stages.models.labels import told_nodes
        from lichen.stages.services.live import observed

        found: dict[str, Observed] = {}
        for model in project.of(Model):
            node = str(model.name)
            if (
                not model.retrain.looks
                or node not in shelf.records
                or (only is not None and model.name not in only)
            ):
                continue
            about = inquiry(model.name)
            if any(below not in shelf.records for below in about.nodes):
                continue
            read = (node, *about.nodes, *told_nodes(about.feedback, shelf))
            ids = (now, *(shelf.records[n].id for n in read))
            if node not in self._known or self._known[node][0] != ids:
                made = observed(about, shelf.records[node], shelf, now, engine())
                self._known[node] = (ids, made)
            found[node] = self._known[node][1]
        return found
