"""The one rule: what follows from a project, the facts and the time. Pure; nothing else decides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from lichen.core import graph
from lichen.core.errors import ProjectError
from lichen.core.names import Kind, Name
from lichen.core.steps import Adopt, AnyStep, Publish
from lichen.core.time import Instant
from lichen.declared import Project
from lichen.ports.facts import Facts, Upcoming
from lichen.ports.ledger import State
from lichen.selection import EVERYTHING, Selection
from lichen.stages.models.plan import plan_model
from lichen.stages.models.spec import Model
from lichen.stages.services.plan import plan_drain, plan_promote
from lichen.stages.services.spec import Service
from lichen.stages.sources.plan import plan_source
from lichen.stages.tables.plan import plan_table

if TYPE_CHECKING:
    from lichen.stages.tables.spec import Table

DATA = (Kind.source, Kind.table, Kind.predictions, Kind.feedback)


def plan(
    project: Project, facts: Facts, now: Instant, selection: Selection = EVERYTHING
) -> tuple[AnyStep, ...]:
    """Return the steps that are due, each after the steps that it needs.

    `selection` restricts the plan to some nodes, and says what of them is made again. What
    depends on a gate (a contract, a guard, a policy) appears when the plan is made again after it.
    """
    adopt = _adoptions(facts)
    if adopt:
        return adopt
    so_far = Upcoming()
    for service in project.of(Service):
        for kind in (Kind.predictions, Kind.feedback):
            table = Name(kind, service.name.name)
            if selection.takes(service.name) or selection.takes(table):
                plan_drain(service, table, facts, so_far)
            else:
                _keep(table, facts, so_far)
    for name in in_order(project):
        if name not in project.nodes:
            continue  # predictions and feedback: drained above
        if selection.takes(name):
            _plan_node(project, name, facts, now, selection, so_far)
        else:
            _keep(name, facts, so_far)
    steps = [_placed(project, step, so_far) for step in so_far.steps.values()]
    return (*steps, *_publication(facts, so_far))


def refuse_waiting(
    project: Project, chosen: Selection, state: State, steps: Iterable[AnyStep]
) -> None:
    """Say so where a named node has nothing to be made of: "nothing to do" would mislead."""
    steps = tuple(steps)
    if any(isinstance(step, Adopt) for step in steps):
        return  # a dead run is concluded first
    there = {*state.done, *(step.node for step in steps)}
    for name in sorted(chosen.named):
        lacking = [n for n in below(project, name) if n not in there]
        if str(name) not in there and lacking and name.kind in (Kind.table, Kind.model):
            raise ProjectError(
                f"{name} is made of {', '.join(lacking)}, which no run has made yet",
                hint=f"take along all that it needs: lichen run +{name}",
            )


def below(project: Project, name: Name) -> tuple[str, ...]:
    """Return the nearest nodes below one that hold data; features and outcomes hold none."""
    found: dict[str, None] = {}
    for read in project.reads[name]:
        nearest = (str(read),) if read.kind in DATA else below(project, read)
        found.update(dict.fromkeys(nearest))
    return tuple(found)


def _plan_node(
    project: Project,
    name: Name,
    facts: Facts,
    now: Instant,
    selection: Selection,
    so_far: Upcoming,
) -> None:
    """Plan what one node needs. Its file is read only where it matters: see `kept.Nodes`."""
    print_, reads, rules = project.prints[name], below(project, name), project.rules[name]
    again = selection.again(name) if facts.due_again(str(name)) else None
    match name.kind:
        case Kind.source:
            policy = project.feeds[name].settings.on_drift
            plan_source(str(name), print_.whole(), rules, policy, again, facts, so_far)
        case Kind.table:
            plan_table(
                str(name),
                reads,
                print_,
                rules,
                lambda: _table(project, name),
                again,
                selection.span,
                facts,
                so_far,
            )
        case Kind.model:
            model, observed = project.nodes[name], facts.observed.get(str(name))
            assert isinstance(model, Model)
            plan_model(model, reads, print_.whole(), observed, now, again, facts, so_far)
        case Kind.service:
            service = project.nodes[name]
            assert isinstance(service, Service)
            asked = selection.full and name in selection.named
            plan_promote(service, facts, so_far, asked=asked)
        case _:
            pass  # features and outcomes are questions, not data: nothing to do for them


def _table(project: Project, name: Name) -> Table:
    return cast("Table", project.nodes[name])


def _adoptions(facts: Facts) -> tuple[AnyStep, ...]:
    """A dead run's intents come first: each is either in the lake or it is not."""
    return tuple(
        Adopt(
            node=record.node,
            reason=f"run {record.run} died at sequence {record.sequence}",
            sequence=record.sequence,
            record=record.id,
        )
        for record in facts.state.open
        if record.run != facts.run
    )


def _keep(name: Name, facts: Facts, so_far: Upcoming) -> None:
    done = facts.done(str(name))
    so_far.leaves[str(name)] = dict(done.facts.get("leaves", {})) if done else {}


def _publication(facts: Facts, so_far: Upcoming) -> Iterable[AnyStep]:
    pins = facts.state.publication.pins if facts.state.publication else {}
    made = {node for node, record in facts.state.done.items() if pins.get(node) != record.id}
    nodes = sorted(made | set(so_far.steps))
    if nodes:
        yield Publish(
            node="publication",
            reason=f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} went on",
            after=tuple(so_far.steps),
            nodes=tuple(nodes),
        )


def in_order(project: Project) -> tuple[Name, ...]:
    """Return the nodes so that each comes after what it reads and, if it can, refers to."""
    both = {n: (*project.reads[n], *project.refers.get(n, ())) for n in project.reads}
    return graph.ordered(project.reads if graph.cycle(both) else both)


def _placed(project: Project, step: AnyStep, so_far: Upcoming) -> AnyStep:
    """Return the step after those that its contract refers to, with all that depends on it."""
    name = Name.parse(step.node)
    earlier = list(so_far.steps)[: list(so_far.steps).index(step.node)]
    refers = [str(n) for n in project.refers.get(name, ()) if str(n) in earlier]
    found = graph.downstream(project.reads, name)
    after = tuple(dict.fromkeys((*step.after, *refers)))
    return msgspec.structs.replace(step, after=after, downstream=tuple(map(str, found)))
