"""The whole machine: observe once, then plan and apply until nothing is left that can go on."""

from __future__ import annotations

import os
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never, cast

from lichen.adoption import adopt
from lichen.core.errors import LedgerError, LichenError, ProjectError, Where
from lichen.core.names import Kind, Name
from lichen.core.secrets import resolved
from lichen.core.steps import (
    Adopt,
    AnyStep,
    Build,
    Done,
    Drain,
    Failed,
    Land,
    Promote,
    Publish,
    Result,
    Train,
)
from lichen.core.time import Instant, Span, instant, iso, wall
from lichen.declared import Project
from lichen.kept import keep, open_project
from lichen.noted import concluded, intended, landed
from lichen.observe import Watch, World, look_within, observe
from lichen.planner import below, plan, refuse_waiting
from lichen.ports.durable import disk_full
from lichen.ports.facts import Facts, Observed
from lichen.ports.ledger import Ledger, Record, State
from lichen.ports.source import Connector, Outside, Stream
from lichen.selection import Selection, select
from lichen.stages.models.spec import Model
from lichen.stages.services.spec import Service
from lichen.targets.branch import as_published, begin
from lichen.targets.place import Place, place_of, secret
from lichen.wiring import (
    open_connector,
    open_engine,
    open_lake,
    open_learners,
    open_ledger,
    read_state,
)

if TYPE_CHECKING:  # what looks at data or reads SQL is imported when it does: plans start fast
    from lichen.core.sql import Prepared
    from lichen.ports.engine import Engine
    from lichen.ports.lake import Lake
    from lichen.readers.quarantine import Asked
    from lichen.readers.query import Answer, Library
    from lichen.stages.context import Context, Shelf
    from lichen.stages.models.ask import Inquiry
    from lichen.stages.sources.spec import Feed
    from lichen.units.run import Verdict


@dataclass(frozen=True)
class Event:
    """What a watcher of a run is told: a step starts, gets on, or ends."""

    step: AnyStep
    result: Result | None = None
    note: str = ""
    seconds: float = 0.0
    run: str = ""


Report = Callable[[Event], None]


@dataclass
class Loop:
    """A project opened at one of its targets. Lake, ledger and engine open when first needed."""

    project: Project
    target: str
    place: Place
    _parts: dict[str, Any] = field(default_factory=dict)
    _memo: dict[tuple[object, ...], Prepared] = field(default_factory=dict)
    _kept: dict[tuple[object, ...], Any] = field(default_factory=dict)
    _open: dict[str, Connector] = field(default_factory=dict)
    _staying: bool = False  # whoever is connected closes what is open
    _watch: Watch = field(default_factory=Watch)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """Where this target keeps its models and logs."""
        return self.place.folder

    @property
    def engine(self) -> Engine:
        """The engine of this target."""
        return cast("Engine", self._part("engine", lambda: open_engine(self.place)))

    @property
    def lake(self) -> Lake:
        """The lake of this target; until it begins, that which it begins from."""
        place = self.place.read_from()
        return cast("Lake", self._part(self._named("lake", place), lambda: open_lake(place)))

    @property
    def ledger(self) -> Ledger:
        """The ledger of this target; until it begins, that which it begins from: only read it."""
        place = self.place.read_from()
        make = partial(open_ledger, place, borrowed=place is not self.place)
        return cast("Ledger", self._part(self._named("ledger", place), make))

    def _named(self, what: str, place: Place) -> str:
        return what if place is self.place else f"{what} of {place.target}"

    def begin(self, at: Instant | None = None) -> None:
        """Let this target begin as a branch, where it has not; of its parent at a time, or now.

        Whoever writes calls this first: `run` does, and a service before it logs.
        """
        begin(self.place, at)

    def secret(self, name: str) -> str:
        """Return what a secret of this target refers to; it is kept nowhere."""
        return secret(name, self.target, self.project.targets, self.project.root)

    def plan(
        self,
        *nodes: str,
        now: Instant | None = None,
        full: bool = False,
        span: Span | None = None,
    ) -> tuple[AnyStep, ...]:
        """Return the steps that are due; looks at the world and writes nothing.

        `nodes` are selectors: NODE, NODE+ (with all below), +NODE (with all above), or a pattern.
        """
        chosen, state = select(self.project, nodes, full=full, span=span), self.state(now)
        now = _clock(state, now)
        with self.connected():
            world = self._world(state, now, chosen)
        steps = plan(self.project, self._facts(state, "", world, now, chosen), now, chosen)
        refuse_waiting(self.project, chosen, state, steps)
        return steps

    def run(
        self,
        *nodes: str,
        now: Instant | None = None,
        report: Report = lambda _: None,
        full: bool = False,
        span: Span | None = None,
    ) -> tuple[Event, ...]:
        """Do what `plan` shows; returns what came of each step, in the order of their ends."""
        with self.connected():
            return self._run(nodes, now, report, full=full, span=span)

    def _run(
        self,
        nodes: Sequence[str],
        now: Instant | None,
        report: Report,
        *,
        full: bool,
        span: Span | None,
    ) -> tuple[Event, ...]:
        chosen = select(self.project, nodes, full=full, span=span)
        self.begin(now)
        state = self.ledger.state()
        now = _clock(state, now)
        if state.clock is not None and now < state.clock:
            raise _too_early(now, state.clock)
        keep(self.project)
        run = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        world = self._world(state, now, chosen)
        steps = plan(self.project, self._facts(state, run, world, now, chosen), now, chosen)
        refuse_waiting(self.project, chosen, state, steps)
        if not steps:
            return ()
        self.ledger.begin(run, now)
        events: tuple[Event, ...] = ()
        try:
            events = self._until_done(run, now, world, chosen, report)
            return events
        finally:
            self.ledger.end(run, forget=bool(events) and all(map(_idle, events)))

    def query(self, sql: str, *, now: Instant | None = None, run: str | None = None) -> Answer:
        """Return the answer to one SELECT over published versions, as they were known at `now`.

        Without `now` it is the clock of the last run. `run` means what was published after it.
        """
        from lichen.readers.query import Library, query
        from lichen.readers.runs import past

        if run is not None:
            then = past(self, run)
            library = Library(self.project, self._shelf(then.records), self.engine, self.folder)
            return query(sql, library, instant(now) if now is not None else then.now)
        state = self.state()
        return query(sql, self._library(state), _known(state, now))

    def show(self, node: str, *, rows: int = 0, now: Instant | None = None) -> dict[str, Any]:
        """Return what is known of a node, with so many of its current rows."""
        from lichen.readers.show import show

        state, name = self.state(), self.project.node(node)
        at = _known(state, now)
        live_of = self._live_of(self._pinned(state), at)
        return show(name, self._library(state), state, at, live_of, rows=rows)

    def quarantine(self, node: str | None = None, *, examples: int = 3) -> dict[str, Any]:
        """Return what is held back of one node or of all, with examples and decisions."""
        from lichen.readers.quarantine import held

        return held(self, node, examples=examples)

    def release(
        self, node: str, rule: str | None = None, rows: Sequence[int] = (), *, who: str, why: str
    ) -> Asked:
        """Write down, for the next plan, that rows which are held back are good."""
        from lichen.readers.quarantine import release

        self.begin()
        return release(self, node, rule, rows, who, why)

    def judge_again(self, node: str, *, who: str, why: str) -> Asked:
        """Write down, for the next plan, that a quarantine is to be judged again."""
        from lichen.readers.quarantine import judge_again

        self.begin()
        return judge_again(self, node, who, why)

    def test(self, *nodes: str) -> tuple[Verdict, ...]:
        """Run the tests of nodes, or all, on the rows that they give; touches nothing else."""
        from lichen.units.cases import read_cases
        from lichen.units.run import run

        cases = read_cases(self.project)
        named = [self._tested(text, {case.subject.name for case in cases}) for text in nodes]
        chosen = (case for case in cases if not nodes or case.subject.name in named)
        return run(chosen, self.project, self.engine)

    def _tested(self, text: str, tested: Collection[Name]) -> Name:
        """Return the node with tests that a user names."""
        found = [n for n in tested if text in (str(n), n.name)]
        if len(found) == 1:
            return found[0]
        name = self.project.node(text)
        if name in tested:
            return name
        raise ProjectError(
            f"{name} has no tests",
            where=Where(self.project.root / "tests"),
            allowed=sorted(map(str, tested)),
            hint=f"write tests/{name}.yml",
        )

    def summary(self) -> dict[str, Any]:
        """Return the project in one look: rows, findings, models, and how its services do."""
        from lichen.readers.summary import summary

        state = self.state()
        records = self._pinned(state)

        def example_of(service: Service) -> str:
            from lichen.core.sql import col

            table = col(service.name.name).sql()
            answer = self.query(f"select prediction_id from predictions.{table} limit 1")  # noqa: S608
            return str(answer.rows[0]["prediction_id"])

        live_of = self._live_of(records, _known(state, None))
        return summary(self.project, records, state, live_of, example_of)

    def _live_of(self, records: Mapping[str, Record], now: Instant) -> Callable[..., Any]:
        """What tells how a service did by a time, by a metric."""
        from lichen.stages.services.live import live

        def live_of(service: Service, metric: str) -> Any:
            shelf, inquiry = self._shelf(records), self.inquiry(service.model)
            return live(inquiry, service.name.name, metric, shelf, now, self.engine)

        return live_of

    def clock(self, now: Instant | None = None) -> Instant:
        """Return the time at which a plan or a run made now would think that it is."""
        return _clock(self.state(now), now)

    def state(self, at: Instant | None = None) -> State:
        """Return the ledger's state; where nothing ever ran, what a branch would begin with.

        `at` is the time of what a branch would begin from.
        """
        place = self.place.read_from()
        if place is not self.place:
            return as_published(self.ledger, at)
        return self.ledger.state() if "ledger" in self._parts else read_state(place)

    def published(self) -> Mapping[str, Record]:
        """Return the records that everybody reads now, by node."""
        return self._pinned(self.state())

    def _world(self, state: State, now: Instant, chosen: Selection) -> World:
        world = observe(self.project, state, now, self.folder, self._connect, chosen)
        if chosen.span is not None:
            shelf = self._shelf(state.done)
            look_within(self.project, shelf, chosen, self.engine, world)
        return world

    def _connect(self, source: Feed) -> Connector:
        """Return what reads a source. It stays open, so that what it read can be acknowledged."""
        node = str(source.name)
        with self._lock:
            if node not in self._open:
                self._open[node] = open_connector(source, self._outside(source))
            return self._open[node]

    def _outside(self, source: Feed) -> Outside:
        named = self.project.targets[self.target].secrets
        return Outside(
            node=str(source.name),
            where=source.where,
            root=self.project.root,
            folder=self.folder,
            target=self.target,
            timeout=source.timeout,
            secret=lambda reference: resolved(reference, self.project.root, named),
        )

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Close, in the end, the sources that were opened meanwhile; within another, leave them."""
        outermost, self._staying = not self._staying, True
        try:
            yield
        finally:
            if outermost:
                self._staying = False
                while self._open:
                    self._open.popitem()[1].close()

    def _leave(self, node: str) -> None:
        """Close a source that failed: whoever stays connected begins anew with it."""
        with self._lock:
            connector = self._open.pop(node, None)
        if connector is not None:
            connector.close()

    def _pinned(self, state: State) -> dict[str, Record]:
        pins = state.publication.pins if state.publication else {}
        newest = {
            node: record for node, record in state.done.items() if record.id == pins.get(node)
        }
        older = {node: id_ for node, id_ in pins.items() if node not in newest}
        return newest | {node: self.ledger.record(id_) for node, id_ in older.items()}

    def _library(self, state: State) -> Library:
        from lichen.readers.query import Library

        shelf = self._shelf(self._pinned(state))
        return Library(self.project, shelf, self.engine, self.folder)

    def _shelf(self, records: Mapping[str, Record]) -> Shelf:
        from lichen.stages.context import Shelf

        return Shelf(records, self.lake)

    def _facts(
        self, state: State, run: str, world: World, now: Instant, chosen: Selection
    ) -> Facts:
        seen: dict[str, Observed] = {}
        if any(model.retrain.looks for model in self.project.of(Model)):
            shelf, engine = self._shelf(state.done), lambda: self.engine
            seen = self._watch.models(self.project, shelf, now, chosen, self.inquiry, engine)
        return Facts(
            state,
            run,
            world.files,
            world.logs,
            seen,
            world.within,
            world.trouble,
            world.marks,
            world.idle,
        )

    def _until_done(
        self, run: str, now: Instant, world: World, chosen: Selection, report: Report
    ) -> tuple[Event, ...]:
        events: list[Event] = []
        workers = self.place.threads or os.cpu_count() or 1
        with ThreadPoolExecutor(workers, thread_name_prefix="step") as pool:
            while True:
                state = self.ledger.state()
                facts = self._facts(state, run, world, now, chosen)
                steps = plan(self.project, facts, now, chosen)
                waiting = {step.node for step in steps}
                ready = [s for s in steps if not waiting.intersection(s.after)]
                if not ready:
                    return tuple(events)
                shelf = self._shelf(state.done)
                jobs = [
                    # What went wrong before is over now: that is noted, whatever came.
                    pool.submit(
                        self._apply, s, run, now, shelf, report, quiet=s.node not in state.tried
                    )
                    for s in ready
                ]
                for event in (job.result() for job in jobs):
                    events.append(event)
                    if _idle(event):
                        world.idle[event.step.node] = world.marks[event.step.node].until

    def _apply(
        self,
        step: AnyStep,
        run: str,
        now: Instant,
        shelf: Shelf,
        report: Report,
        *,
        quiet: bool,
    ) -> Event:
        from lichen.stages.context import Context

        report(Event(step))
        started = time.perf_counter()
        intents: list[Record] = []

        def intend(
            step: AnyStep, body: Mapping[str, Any], facts: Mapping[str, Any], tables: Sequence[str]
        ) -> None:
            intents.append(self._intend(run, step, shelf, body, facts, tables))

        context = Context(
            engine=self.engine,
            lake=self.lake,
            shelf=shelf,
            now=now,
            root=self.project.root,
            folder=self.folder,
            intend=intend,
            resolve=self._resolve,
            progress=lambda note: report(Event(step, note=note)),
            memo=self._memo,
            kept=self._kept,
            connect=self._connect,
            quiet=quiet,
        )
        if isinstance(step, Adopt | Publish):  # the ledger's own work: an error ends the run
            result = self._interpret(step, run, context)
            seconds = time.perf_counter() - started
        else:
            result = self._tried(step, run, context)
            seconds = time.perf_counter() - started
            if not (isinstance(result, Done) and result.idle):
                intent = intents[0] if intents else self._intend(run, step, shelf, {}, {}, ())
                record = concluded(intent, result, seconds)
                self.ledger.conclude(record, landed(record))
            if isinstance(step, Land) and step.mark is not None and isinstance(result, Done):
                self._acknowledge(step, result, report)
            if isinstance(step, Land) and isinstance(result, Failed):
                self._leave(step.node)
        event = Event(step, result, seconds=seconds, run=run)
        report(event)
        return event

    def _acknowledge(self, step: Land, landed: Done, report: Report) -> None:
        """Tell a stream that what it gave is safe. Where it cannot be told now, it is next time."""
        stream = self._open.get(step.node)
        if not isinstance(stream, Stream) or landed.facts.get("cursor") is None:
            return
        try:
            stream.acknowledge(landed.facts["cursor"])
        except (LichenError, OSError) as error:
            note = f"landed, but the source could not be told so: {error}"
            report(Event(step, note=note))

    def _tried(self, step: AnyStep, run: str, context: Context) -> Result:
        try:
            return self._interpret(step, run, context)
        except Exception as error:  # noqa: BLE001 - one step's surprise must not end the others
            places = (self.folder, self.place.lake, self.place.temp)
            if isinstance(known := disk_full(error, *places) or error, LichenError):
                return Failed(error=str(known))
            return Failed(error=f"{type(error).__name__}: {error}\n{traceback.format_exc()}")

    def _interpret(self, step: AnyStep, run: str, context: Context) -> Result:
        nodes = self.project.nodes
        match step:  # each stage's effects are imported when they are needed: plans start fast
            case Land():
                from lichen.stages.sources.run import land

                return land(step, nodes[Name.parse(step.node)], context)  # type: ignore[arg-type]
            case Build():
                from lichen.stages.tables.run import build

                name = Name.parse(step.node)
                return build(step, nodes[name], self.project.prints[name], context)  # type: ignore[arg-type]
            case Train():
                from lichen.stages.models.run import train

                return train(step, self.inquiry(Name.parse(step.node)), open_learners(), context)
            case Promote():
                from lichen.stages.services.run import promote

                inquiry = self.inquiry(Name.parse(step.model))
                return promote(step, inquiry, open_learners(), context)
            case Drain():
                from lichen.stages.services.run import drain

                return drain(step, context)
            case Adopt():
                return adopt(self.ledger.record(step.record), self.ledger, self.lake)
            case Publish():
                pins = {n: r.id for n, r in context.shelf.records.items() if n in step.nodes}
                self.ledger.publish(run, context.now, pins)
                return Done(facts={"nodes": len(pins)})
            case _:
                assert_never(step)

    def _intend(
        self,
        run: str,
        step: AnyStep,
        shelf: Shelf,
        body: Mapping[str, Any],
        facts: Mapping[str, Any],
        tables: Sequence[str],
    ) -> Record:
        before = shelf.records.get(step.node)
        whole = intended(step, before, body, facts, tables)
        sequence = int(getattr(step, "sequence", 0))
        kind = str(step.__struct_config__.tag)
        id_ = self.ledger.intend(run, kind, step.node, sequence, whole)
        return self.ledger.record(id_)

    def inquiry(self, name: Name) -> Inquiry:
        """Return a model with all that its training set is made of."""
        from lichen.stages.features.spec import Features
        from lichen.stages.models.ask import Inquiry
        from lichen.stages.outcomes.spec import Outcome

        model = self.project.nodes[name]
        assert isinstance(model, Model)
        outcome = self.project.nodes[model.target]
        assert isinstance(outcome, Outcome)
        features = [self.project.nodes[f] for f in model.features]
        services = [s for s in self.project.of(Service) if s.model == name]
        return Inquiry(
            model,
            outcome,
            tuple(f for f in features if isinstance(f, Features)),
            below(self.project, name),
            tuple(str(Name(Kind.feedback, s.name.name)) for s in services),
        )

    def _resolve(self, written: str) -> str:
        """Return the id of the table or source that a contract refers to."""
        kind, dot, _ = written.partition(".")
        names = [Name(Kind.table, written), Name(Kind.source, written)]
        if dot and kind in ("tables", "sources"):
            names = [Name.parse(written)]
        for name in names:
            if name in self.project.nodes:
                return str(name)
        allowed = [n.name for n in self.project.nodes if n.kind in (Kind.table, Kind.source)]
        raise ProjectError(
            f"a contract refers to {written!r}, which is no table or source",
            where=Where(self.project.root),
            allowed=sorted(allowed),
            given=written,
        )

    def _part(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:  # steps that run side by side must not open two of one part
            if name not in self._parts:
                self._parts[name] = make()
            return self._parts[name]


def _idle(event: Event) -> bool:
    return isinstance(event.result, Done) and event.result.idle


def open_loop(folder: str | Path = ".", target: str = "dev") -> Loop:
    """Open a project folder at a target; reads the folder, and touches nothing else."""
    project = open_project(Path(folder).absolute())
    return Loop(project, target, place_of(target, project.targets, project.root))


def _clock(state: State, now: Instant | None) -> Instant:
    """The time of a run: given, or that of a dead run to be finished, or the wall's."""
    if now is not None:
        return instant(now)
    given = state.open[0].now if state.open else wall()
    return max(given, state.clock) if state.clock else given


def _too_early(now: Instant, clock: Instant) -> LedgerError:
    return LedgerError(
        f"the time {iso(now)} is before this target's last run ({iso(clock)})",
        hint="leave --now away, or look back in a branch: a target that never ran and begins "
        "`from` this one begins as of its own --now",
    )


def _known(state: State, now: Instant | None) -> Instant:
    """The moment that a reader means: given, or the clock of the last run."""
    return instant(now) if now is not None else state.clock or wall()
