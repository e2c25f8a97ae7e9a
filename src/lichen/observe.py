"""What is seen of the world before a plan: file listings and log sizes. The ledger is only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lichen.core.errors import LichenError, SourceError
from lichen.core.names import Name
from lichen.core.pyrun import call
from lichen.core.steps import Mark, Seen
from lichen.core.time import Instant
from lichen.declared import Project
from lichen.ports.facts import Observed
from lichen.ports.ledger import State
from lichen.ports.source import Connector, Files
from lichen.selection import EVERYTHING, Selection
from lichen.stages.models.spec import Model
from lichen.stages.services.log import log_sizes
from lichen.stages.services.spec import Service
from lichen.stages.sources.retry import attempted
from lichen.stages.sources.spec import Feed, Source

if TYPE_CHECKING:
    from lichen.ports.engine import Engine
    from lichen.stages.context import Shelf
    from lichen.stages.models.ask import Inquiry


@dataclass(frozen=True)
class World:
    """Listings by source and log sizes by service, as they were when the run looked.

    `marks` are how far the sources that are streams had come. `within` are the files with rows of
    the time that was asked for; `trouble` says why a source could not be looked at.
    """

    files: dict[str, tuple[Seen, ...]] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    logs: dict[str, dict[str, int]] = field(default_factory=dict)
    within: dict[str, frozenset[str]] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    idle: dict[str, str] = field(default_factory=dict)  # the marks up to which nothing was found


def observe(
    project: Project,
    state: State,
    now: Instant,
    folder: Path,
    connect: Callable[[Feed], Connector],
    selection: Selection = EVERYTHING,
) -> World:
    """Run what sources prepare, look at what they hold, and measure the services' logs.

    A source that cannot be looked at does not stop the others.
    """
    world = World()
    prepared: dict[Path, str | None] = {}
    for name, feed in project.feeds.items():
        if not selection.takes(name):
            continue
        path = feed.prepare
        if path is not None and path not in prepared:
            prepared[path] = _trouble(partial(_prepare, feed, project.root, now))
        trouble = prepared.get(path) if path is not None else None
        trouble = trouble or _trouble(partial(_look, feed, connect, state, world))
        if trouble is not None:
            world.trouble[str(name)] = trouble
    for service in project.of(Service):
        world.logs[str(service.name)] = log_sizes(folder, service.name.name)
    return world


def look_within(
    project: Project, shelf: Shelf, selection: Selection, engine: Engine, world: World
) -> None:
    """Find the files with rows of the time that was asked for, by what they told before."""
    from lichen.stages.sources.within import files_within

    for source in project.of(Source):
        node = str(source.name)
        if selection.span is None or not selection.takes(source.name) or node not in shelf.records:
            continue
        query = files_within(source, selection.span.begin, selection.span.end)
        rows = engine.rows(query, shelf.relations([node]))
        world.within[node] = frozenset(row["_file"] for row in rows)


def _look(feed: Feed, connect: Callable[[Feed], Connector], state: State, world: World) -> None:
    node = str(feed.name)

    def look() -> None:
        match connect(feed):
            case Files() as files:
                world.files[node] = files.list(state.files.get(node, {}))
            case stream:
                done = state.done.get(node)
                world.marks[node] = stream.look(done.facts.get("cursor") if done else None)

    try:
        attempted(look, feed.retries, lambda _: True)
    except (LichenError, OSError) as error:
        if not isinstance(error, LichenError):
            raise SourceError(f"it cannot be looked at: {error}", where=feed.where) from error
        raise SourceError(
            error.what,
            where=error.where or feed.where,
            allowed=error.allowed,
            given=error.given,
            hint=error.hint,
        ) from error


def _trouble(what: Callable[[], None]) -> str | None:
    """Do it; returns the text of its error."""
    try:
        what()
    except LichenError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Watch:
    """How trained models do, measured again only when their data went on."""

    _known: dict[str, tuple[object, Observed]] = field(default_factory=dict)

    def models(
        self,
        project: Project,
        shelf: Shelf,
        now: Instant,
        selection: Selection,
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
            looks = model.retrain.looks and node in shelf.records
            if not looks or not selection.takes(model.name):
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


def _prepare(feed: Feed, root: Path, now: Instant) -> None:
    """Run a source's `prepare(folder, now)`; its module is read anew each time."""
    assert feed.prepare is not None
    attempted(
        partial(
            call,
            feed.prepare,
            "prepare",
            root,
            [root, now],
            what="prepare",
            error=SourceError,
            hint="it is called as prepare(folder, now)",
        ),
        feed.retries,
        lambda error: not isinstance(error.__cause__, SyntaxError | ImportError),
    )
