"""Steps: the few things that can happen, as values that a plan lists and a run executes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lichen.core.digest import digest
from lichen.core.findings import Finding
from lichen.core.time import Instant, Span


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was seen; `path` is relative to the project."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A point that a stream had reached when it was looked at; only its connector reads `until`.

    `said` tells a person what there is to read, `gone` what can never be read again, if anything.
    `passing` marks are other ones at each look, whether anything is new or not.
    """

    until: str
    said: str
    gone: str = ""
    passing: bool = False


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What a step reads of one node: a sequence that is there, or None for a predecessor's."""

    node: str
    sequence: int | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release", tag_field="asks"):
    """A person says that rows which are held back are good.

    Meant are the rows up to `last` that `rule` holds (None: any rule), or of these only `rows`.
    """

    id: int = 0
    node: str
    who: str
    why: str
    at: Instant  # by the clock of the wall
    last: int
    rule: str | None = None
    rows: tuple[int, ...] = ()


class Replay(msgspec.Struct, frozen=True, kw_only=True, tag="replay", tag_field="asks"):
    """A person asks that what is held back of a node be judged again, and read again."""

    id: int = 0
    node: str
    who: str
    why: str
    at: Instant


Request = Release | Replay


def said(request: Request) -> str:
    """Return a request in a few words, as the reason of a step."""
    if isinstance(request, Replay):
        return f"{request.who} asked to judge again what is held back: {request.why}"
    rows = f"{len(request.rows)} rows" if request.rows else "what it holds back"
    rule = f"{request.rule}: " if request.rule else ""
    return f"{rule}{request.who} released {rows}: {request.why}"


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    """One thing to do; `after` names the nodes whose steps in this plan come first."""

    node: str
    reason: str
    after: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()


class Land(Step, frozen=True, kw_only=True, tag="land"):
    """Take what is new in a source in, as row versions: files, or what a stream holds to a mark."""

    sequence: int
    fingerprint: str
    rules: str
    new: tuple[Seen, ...] = ()
    changed: tuple[Seen, ...] = ()
    since: str | None = None  # the cursor of a stream; None is its beginning
    mark: Mark | None = None  # how far to read a stream; None where it is a set of files
    again: tuple[Seen, ...] = ()  # landed before and as they were, but read again
    lost: tuple[str, ...] = ()  # landed before and gone: replacing would lose their rows
    replace: bool = False  # the definition changed: take every file in again
    rejudge: bool = False  # the rules changed: judge what is there again
    policy: str | None = None  # what to do where rows come in another shape
    requests: tuple[Request, ...] = ()  # what people asked of its quarantine
    unlisted: str | None = None  # why it could not be looked at: the step fails with it


class Build(Step, frozen=True, kw_only=True, tag="build"):
    """Compute a table's new versions: only what is new, or the whole table."""

    sequence: int
    fingerprint: str
    rules: str
    inputs: tuple[Input, ...]
    replace: bool
    rejudge: bool = False  # the rules changed: judge what is there again
    requests: tuple[Request, ...] = ()  # what people asked of its quarantine
    asked: bool = False  # asked for: its readers take it for new, whatever changed
    span: Span | None = None  # what input rows known in this time touch is computed again


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
    """The step's effect is there; `facts` is what later plans and `show` read of it.

    `idle` says that a stream was read and had nothing: there is nothing to note.
    """

    facts: Mapping[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    commits: Mapping[str, tuple[int, int]] = {}  # lake table: (sequence, version)
    idle: bool = False


class Blocked(msgspec.Struct, frozen=True, kw_only=True, tag="blocked"):
    """A policy stopped the step; what was there before still stands."""

    findings: tuple[Finding, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The step broke; what was there before still stands."""

    error: str


Result = Done | Blocked | Failed
