"""What `lichen.open` gives: the loop, and what a data scientist asks of it in a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from lichen.core.names import Kind, Name
from lichen.core.time import Instant, instant, wall
from lichen.kept import open_project
from lichen.loop import Loop, open_loop
from lichen.notebook.relation import NotebookError, Relation
from lichen.notebook.rows import READABLE, Asked, Rows, refuse_unreadable
from lichen.planner import below
from lichen.ports.ledger import Record
from lichen.readers.query import Answer
from lichen.stages.context import Shelf
from lichen.stages.models.spec import Model
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.spec import Service
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table

if TYPE_CHECKING:
    from lichen.notebook.model import ModelVersion
    from lichen.notebook.training import TrainingSet
    from lichen.notebook.trial import Trial

Stamp = dict[Path, tuple[int, int]]
P = ParamSpec("P")
R = TypeVar("R")
Moment = Instant | str | None  # "2013-11-01" and the like are read as ISO 8601 in UTC


def _afresh(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let a method begin by reading the project's files again where they have changed."""

    @wraps(method)
    def does(self: Any, /, *args: P.args, **named: P.kwargs) -> R:
        self.refresh()
        return method(self, *args, **named)

    return does


def _related(
    method: Callable[Concatenate[Any, P], Answer],
) -> Callable[Concatenate[Any, P], Relation]:
    @wraps(method)
    def does(self: Any, /, *args: P.args, **named: P.kwargs) -> Relation:
        self.refresh()
        return Relation(method(self, *args, **named).table, self.engine)

    return does


@dataclasses.dataclass(repr=False)
class Workspace(Loop):
    """A project opened at a target: the verbs, its rows, its training sets and its models.

    Definitions are read again when their files change, so that an editor and a notebook can be
    open side by side.
    """

    _stamp: Stamp = dataclasses.field(default_factory=dict)
    _read: dict[tuple[object, ...], TrainingSet] = dataclasses.field(default_factory=dict)

    plan = _afresh(Loop.plan)
    run = _afresh(Loop.run)
    show = _afresh(Loop.show)
    test = _afresh(Loop.test)
    summary = _afresh(Loop.summary)
    quarantine = _afresh(Loop.quarantine)
    release = _afresh(Loop.release)
    judge_again = _afresh(Loop.judge_again)
    query = _related(Loop.query)

    def table(self, node: str, *, at: Moment = None, publication: int | None = None) -> Rows:
        """Return the rows of a source, table, predictions, feedback or outcome.

        `at` looks back: the rows as they were known then. `publication` reads the versions that
        everybody read after an earlier run, by default as known at that run's `now`.
        """
        self.refresh()
        name = self._node(node, READABLE)
        refuse_unreadable(name)
        shelf, now, id_ = self._pins(publication)
        moment = instant(at) if at is not None else now
        spec = self.project.nodes.get(name)
        if isinstance(spec, Outcome):
            return Rows(str(name), moment, id_, self._asked(spec, shelf), shelf, self.engine)
        self._refuse_unpublished([str(name)], shelf)
        declared = spec if isinstance(spec, Source | Table) else None
        return Rows(str(name), moment, id_, declared, shelf, self.engine)

    def __getitem__(self, node: str) -> Rows:
        """Return the rows of a node: `project["tables.departed"]`."""
        return self.table(node)

    def training_set(
        self, model: str, *, now: Moment = None, publication: int | None = None
    ) -> TrainingSet:
        """Return the rows that a model learns from, as a training at `now` would read them.

        Without `now` that is the clock of the last run.
        """
        from lichen.notebook.training import read_training_set

        self.refresh()
        name = self._node(model, (Kind.model,))
        shelf, clock, id_ = self._pins(publication)
        inquiry = self.inquiry(name)
        self._refuse_unpublished(inquiry.nodes, shelf)
        moment = instant(now) if now is not None else clock
        key = (name, self.project.prints[name].whole(), moment, id_)
        if key not in self._read:  # only the last one is kept: it may be large
            found = read_training_set(self.project, inquiry, shelf, self.engine, moment, id_)
            self._read = {key: found}
        return self._read[key]

    def trial(
        self,
        model: str,
        estimator: Any = None,
        *,
        now: Moment = None,
        publication: int | None = None,
    ) -> Trial:
        """Train an estimator in place of a model's own and judge it on validation rows.

        It is split, fitted and judged as a training does it, but within the training rows: the
        holdout is not read. Nothing is stored. Without an estimator the model's own definition is
        tried; `auto(…)` does too. `Trial.keep` makes it the definition.
        """
        from lichen.notebook.trial import try_out

        rows = self.training_set(model, now=now, publication=publication)
        return try_out(rows, estimator, self)

    def model(self, model: str, version: int | None = None) -> ModelVersion:
        """Return a trained version of a model, by default the published one."""
        from lichen.notebook.model import read_model_version

        self.refresh()
        name = self._node(model, (Kind.model,))
        return read_model_version(name, self._model_record(name, version), self.folder)

    def refresh(self) -> None:
        """Read the project's files again if any has changed since they were read."""
        stamp = _stamp_of(self.project.root)
        if stamp != self._stamp:
            self.project, self._stamp = open_project(self.project.root), stamp
            self._memo.clear()
            self._kept.clear()

    def __repr__(self) -> str:
        """Return the project's name, target and nodes as text."""
        from lichen.notebook.overview import text_of

        self.refresh()
        return text_of(self)

    def _repr_html_(self) -> str:
        from lichen.notebook.overview import html_of

        self.refresh()
        return html_of(self)

    def _ipython_key_completions_(self) -> list[str]:
        return [str(name) for name in self.project.reads if name.kind in READABLE]

    def _node(self, written: str, kinds: tuple[Kind, ...]) -> Name:
        """Return the node that is named; a bare name means one of the kinds if only one fits."""
        fits = [n for n in self.project.reads if n.kind in kinds and n.name == written]
        if len(fits) > 1:  # `departed` is a table before it is a source of that name
            fits = [n for n in fits if n.kind is Kind.table] or fits
        if len(fits) == 1:
            return fits[0]
        named = {str(name): name for name in self.project.reads}
        if written not in named:
            near = [n for n in self.project.reads if n.kind in kinds]
            short = [str(n) if "." in written else n.name for n in near]
            what = "model" if kinds == (Kind.model,) else "node with rows"
            raise NotebookError(
                f"this project has no {what} {written!r}",
                allowed=sorted(set(short)),
                given=written,
            )
        if kinds == (Kind.model,) and named[written].kind is not Kind.model:
            allowed = [str(node.name) for node in self.project.of(Model)]
            raise NotebookError(f"{written} is no model", allowed=allowed, given=written)
        return named[written]

    def _pins(self, publication: int | None) -> tuple[Shelf, Instant, int]:
        """Return what was published, the clock of it, and its id (0 where nothing ever was)."""
        state = self.state()
        if publication is None:
            id_ = state.publication.id if state.publication else 0
            return Shelf(self._pinned(state), self.lake), state.clock or wall(), id_
        found = self.ledger.publication(publication) if state.publication else None
        if found is None:
            newest = state.publication.id if state.publication else 0
            raise NotebookError(
                f"there is no publication {publication}",
                hint=f"they are numbered from 1 to {newest}" if newest else "run the project first",
            )
        records = {node: self.ledger.record(id_) for node, id_ in found.pins.items()}
        return Shelf(records, self.lake), found.now, found.id

    def _asked(self, outcome: Outcome, shelf: Shelf) -> Asked:
        nodes = below(self.project, outcome.name)
        self._refuse_unpublished(nodes, shelf)
        models = {m.name for m in self.project.of(Model) if m.target == outcome.name}
        services = (s.name.name for s in self.project.of(Service) if s.model in models)
        return Asked(outcome, nodes, tuple(str(Name(Kind.feedback, s)) for s in services))

    def _refuse_unpublished(self, nodes: tuple[str, ...] | list[str], shelf: Shelf) -> None:
        for node in nodes:
            if node not in shelf.records:
                raise NotebookError(
                    f"{node} has no published version yet", hint=f"project.run({node!r})"
                )

    def _model_record(self, name: Name, version: int | None) -> Record:
        published = self.published().get(str(name))
        if published is not None and version in (None, published.sequence):
            return published
        done = [r for r in self.ledger.history(str(name)) if r.state == "done"] if published else []
        for record in reversed(done):
            if record.sequence == version:
                return record
        raise NotebookError(
            f"{name} has no version {version}" if done else f"{name} was never trained",
            allowed=[str(sequence) for sequence in dict.fromkeys(r.sequence for r in done)],
            hint=None if done else f"project.run({str(name)!r})",
        )


def open_workspace(folder: str | Path = ".", target: str = "dev") -> Workspace:
    """Open a project folder at a target; reads the folder, and touches nothing else.

    `project.plan()`, `run`, `query` and `show` are the verbs. `project.table("departed")` gives
    rows, `project.training_set("late")` what a model learns from, `project.trial("late", …)` tries
    an estimator on it, and `project.model("late")` is the trained model.
    """
    stamp = _stamp_of(Path(folder).absolute())
    loop = open_loop(folder, target)
    parts = {f.name: getattr(loop, f.name) for f in dataclasses.fields(loop)}
    return Workspace(**parts, _stamp=stamp)


def _stamp_of(root: Path) -> Stamp:
    """Return when each file that may be part of the definitions was written, and its size."""
    folders = [root / kind.value for kind in Kind]
    files = [root / "lichen.yml", *root.glob("*.py")]
    files += [path for folder in folders if folder.is_dir() for path in folder.rglob("*.*")]
    files += [path for path in root.glob("*/**/*.py") if path.parts[len(root.parts)][0] != "."]
    stats = {
        path: path.stat() for path in files if path.is_file() and "__pycache__" not in path.parts
    }
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}
