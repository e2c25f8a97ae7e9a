"""The ledger: what was intended, what came of it, and what everybody may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from lichen.core.steps import Request, Seen
from lichen.core.time import Instant


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its outcome. `body` is what was intended (definition, inputs, cursor)."""

    id: int
    run: str
    step: str
    node: str
    sequence: int
    now: Instant
    state: str  # intended, done, blocked, failed
    body: dict[str, Any]
    facts: dict[str, Any] = {}
    findings: list[dict[str, Any]] = []
    commits: dict[str, tuple[int, int]] = {}
    error: str | None = None
    seconds: float = 0.0


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A set of pins: node id to the id of the record that everybody now reads."""

    id: int
    run: str
    now: Instant
    pins: dict[str, int]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable snapshot of the ledger.

    `done` is the newest done record of each node; `tried` the newest blocked or failed one where
    it is newer; `open` the intents without an outcome; `files` what each source has landed;
    `requests` what people asked for and no step has answered.
    """

    done: dict[str, Record] = {}
    tried: dict[str, Record] = {}
    open: tuple[Record, ...] = ()
    files: dict[str, dict[str, Seen]] = {}
    publication: Publication | None = None
    clock: Instant | None = None
    requests: tuple[Request, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run: its time, when it began and ended by the clock of the wall, and what it published."""

    id: str
    now: Instant
    started: Instant
    ended: Instant | None
    publication: int | None
    steps: dict[str, int]  # state → how many
    nodes: dict[str, str]  # node → the state of its last step
    writes: bool = False  # it holds the lease


Concluded = tuple[Record, Mapping[str, Seen]]  # a record, and which files its source has landed


class Ledger(Protocol):
    """One writer at a time; readers never wait."""

    def state(self) -> State:
        """Return everything that a plan needs, read in one transaction."""

    def begin(self, run: str, now: Instant) -> None:
        """Take the writer's lease for a run, or raise LedgerError naming who holds it."""

    def intend(self, run: str, step: str, node: str, sequence: int, body: Mapping[str, Any]) -> int:
        """Record durably what is about to be done; returns the record's id."""

    def conclude(self, record: Record, files: Mapping[str, Seen] | None = None) -> None:
        """Record durably what came of an intent, and which files a source has now landed."""

    def enter(self, run: str, records: Sequence[Record]) -> tuple[int, ...]:
        """Record durably, as intents of their own runs, what another ledger holds as done.

        Returns their ids here.
        """

    def publish(
        self, run: str, now: Instant, pins: Mapping[str, int], concluded: Sequence[Concluded] = ()
    ) -> Publication:
        """Make records visible to everybody, in one transaction with the last that came of them."""

    def end(self, run: str, *, forget: bool = False) -> None:
        """Give the lease back; `forget` a run that looked, and had nothing to note."""

    def record(self, id_: int) -> Record:
        """Return one record."""

    def publication(self, id_: int | None = None) -> Publication | None:
        """Return a set of pins, None where there is none.

        The newest one, which everybody reads, is cheap enough for every request of a service.
        """

    def published_by(self, now: Instant) -> Publication | None:
        """Return the set of pins that everybody read at a time, None before the first."""

    def history(self, node: str) -> tuple[Record, ...]:
        """Return every record of a node, oldest first."""

    def runs(self) -> tuple[Run, ...]:
        """Return every run, oldest first."""

    def ask(self, request: Request) -> int:
        """Record durably what a person asks for; a run may be writing meanwhile."""

    def asked(self, node: str) -> tuple[tuple[Request, int | None], ...]:
        """Return all that was asked of a node, each with the record that answered it."""
