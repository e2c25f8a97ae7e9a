"""What a service's logs and its model's newest version ask for. Pure."""

from __future__ import annotations

from lichen.core.names import Name
from lichen.core.steps import Drain, Promote, Train
from lichen.ports.facts import Facts, Upcoming
from lichen.stages.services.log import of_table
from lichen.stages.services.spec import Service


def plan_drain(service: Service, table: Name, facts: Facts, so_far: Upcoming) -> None:
    """Add a Drain step where the service wrote log lines that `table` does not hold yet."""
    node = str(table)
    done = facts.done(node)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    cursor = done.facts["cursor"] if done else {}
    sizes = facts.logs.get(str(service.name), {})
    log = tuple(
        (path, int(cursor.get(path, 0)), size)
        for path, size in sorted(sizes.items())
        if of_table(path, table) and size > int(cursor.get(path, 0))
    )
    if not log:
        return
    step = Drain(
        node=node,
        reason=f"{sum(end - start for _, start, end in log):,} bytes of the service's log are new",
        sequence=0,
        log=log,
    )
    if facts.stuck(step):
        return
    numbered = so_far.steps[node] = facts.numbered(step)
    so_far.leaves[node] = {node: numbered.sequence}


def plan_promote(service: Service, facts: Facts, so_far: Upcoming, *, asked: bool = False) -> None:
    """Add a Promote step where the model has a version that this service never considered.

    A service whose promotion is `manual` considers a later one only where that is `asked` for.
    """
    model, node = str(service.model), str(service.name)
    if isinstance(so_far.steps.get(model), Train):
        return  # appears when the plan is made again after the training
    trained, done = facts.done(model), facts.done(node)
    if trained is None:
        return
    served = done is not None and done.facts["model"] == model
    considered = int(done.facts["considered"]) if done and served else 0
    if trained.sequence <= considered or (service.promote == "manual" and served and not asked):
        return
    step = Promote(
        node=node,
        reason=f"version {trained.sequence} of {model} was not yet put to the gate",
        sequence=0,
        model=model,
        version=trained.sequence,
    )
    if not facts.stuck(step):
        so_far.steps[node] = facts.numbered(step)
