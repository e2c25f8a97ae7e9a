"""Facts: an immutable snapshot of the ledger and of what was seen of the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec

from lichen.core.steps import AnyStep, Mark, Request, Seen, signature
from lichen.ports.ledger import Record, State

S = TypeVar("S", bound=AnyStep)
Leaves = Mapping[str, int]  # a node's id to the sequence at which its rows last changed


class Live(NamedTuple):
    """A model's metric in service, over predictions whose outcome is known.

    `low` and `high` are the ends of its interval on the holdout.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None


class Observed(NamedTuple):
    """How a trained model does: labels that became known since, and its metric in service."""

    new_labels: int
    live: Live | None


@dataclass(frozen=True)
class Facts:
    """What a plan may know. `run` is the run in progress, "" when nothing runs.

    `files` are the listings of the sources that could be listed, `marks` how far those that are
    streams had come; `within` are, where a stretch of
    time was asked for, the paths whose rows lie in it; `trouble` says why a listing failed; `idle`
    are the marks up to which this run has read, and found nothing.
    """

    state: State
    run: str = ""
    files: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    logs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    observed: Mapping[str, Observed] = field(default_factory=dict)
    within: Mapping[str, frozenset[str]] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    idle: Mapping[str, str] = field(default_factory=dict)

    def done(self, node: str) -> Record | None:
        """Return the newest record of a node that came to something."""
        return self.state.done.get(node)

    def due_again(self, node: str) -> bool:
        """Return whether what is asked for again was not yet done, or tried, in this run."""
        done, tried = self.done(node), self.state.tried.get(node)
        return not any(record and record.run == self.run for record in (done, tried))

    def asked(self, node: str) -> tuple[Request, ...]:
        """Return what people asked of a node's quarantine and no step has answered yet."""
        return tuple(request for request in self.state.requests if request.node == node)

    def stuck(self, step: AnyStep, *, again: bool = False) -> bool:
        """Return whether just this was blocked before, or failed in this run.

        What is asked for `again` is tried again.
        """
        tried = self.state.tried.get(step.node)
        if tried is None or tried.body.get("signature") != signature(step):
            return False
        return (tried.state == "blocked" and not again) or tried.run == self.run

    def numbered(self, step: S) -> S:
        """Return the step with the sequence of its commit: the next one of its node.

        The number of an attempt that died is used again only for the very same work, since part
        of it may be in the lake already.
        """
        done, tried = self.done(step.node), self.state.tried.get(step.node)
        if tried is None:
            return msgspec.structs.replace(step, sequence=done.sequence + 1 if done else 1)
        same = tried.body.get("signature") == signature(step)
        return msgspec.structs.replace(step, sequence=tried.sequence + (0 if same else 1))


@dataclass(frozen=True)
class Upcoming:
    """What the plan has decided so far: each node's step, and the leaves its readers will see."""

    steps: dict[str, AnyStep] = field(default_factory=dict)
    leaves: dict[str, Leaves] = field(default_factory=dict)

    def leaves_of(self, nodes: tuple[str, ...]) -> dict[str, int]:
        """Return the union of the nodes' leaves."""
        return {leaf: at for node in nodes for leaf, at in self.leaves.get(node, {}).items()}

    def before(self, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the nodes that have a step in this plan."""
        return tuple(node for node in nodes if node in self.steps)
