"""Steps: the few things that can happen, as values that a plan lists and a run executes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lichen.core.findings import Finding
from lichen.core.fingerprint import digest


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was seen; `path` is relative to the project."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What a step reads of one node: a sequence that is there, or None for a predecessor's."""

    node: str
    sequence: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    """One thing to do; `after` names the nodes whose steps in this plan come first."""

    node: str
    reason: str
    after: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()


class Land(Step, frozen=True, kw_only=True, tag="land"):
    """Take new and changed files of a source in, as row versions."""

    sequence: int
    fingerprint: str
    rules: str
    new: tuple[Seen, ...] = ()
    changed: tuple[Seen, ...] = ()
    again: tuple[Seen, ...] = ()  # landed before and as they were: read again to replace
    lost: tuple[str, ...] = ()  # landed before and gone: replacing would lose their rows
    replace: bool = False  # the definition changed: take every file in again
    rejudge: bool = False  # the rules changed: judge what is there again


class Build(Step, frozen=True, kw_only=True, tag="build"):
    """Compute a table's new versions: only what is new, or the whole table."""

    sequence: int
    fingerprint: str
    rules: str
    inputs: tuple[Input, ...]
    replace: bool
    rejudge: bool = False  # the rules changed: judge what is there again


class Train(Step, frozen=True, kw_only=True, tag="train"):
    """Search, fit and judge a new version of a model."""

    sequence: int
    fingerprint: str
    inputs: tuple[Input, ...]


class Promote(Step, frozen=True, kw_only=True, tag="promote"):
    """Put a model version to the gate, and behind a service if it passes."""

    sequence: int
    model: str
    version: int


class Drain(Step, frozen=True, kw_only=True, tag="drain"):
    """Move a service's logs into its tables and measure how it does live."""

    sequence: int
    log: tuple[tuple[str, int, int], ...]  # file, from byte, to byte


class Adopt(Step, frozen=True, kw_only=True, tag="adopt"):
    """Finish what a dead run left between its commit and its record."""

    sequence: int
    record: int


class Publish(Step, frozen=True, kw_only=True, tag="publish"):
    """Let everybody see what this run made, at once."""

    nodes: tuple[str, ...]


AnyStep = Land | Build | Train | Promote | Drain | Adopt | Publish


def signature(step: AnyStep) -> str:
    """Return what identifies the work of a step, whatever its number and its reason."""
    told = msgspec.to_builtins(step)
    words = ("reason", "after", "downstream", "sequence")
    return digest(msgspec.json.encode({k: v for k, v in told.items() if k not in words}).decode())


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The step's effect is there; `facts` is what later plans and `show` read of it."""

    facts: Mapping[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    commits: Mapping[str, tuple[int, int]] = {}  # lake table: (sequence, version)


class Blocked(msgspec.Struct, frozen=True, kw_only=True, tag="blocked"):
    """A policy stopped the step; what was there before still stands."""

    findings: tuple[Finding, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The step broke; what was there before still stands."""

    error: str


Result = Done | Blocked | Failed
