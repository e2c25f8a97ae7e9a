"""`lichen run`: do what `plan` shows, and say what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lichen.cli.mistakes import nearby
from lichen.cli.options import USUAL, From, Full, Node, Now, Options, To, moment, stretch
from lichen.cli.page import EMPTY, counted, emit
from lichen.cli.progress import progress

if TYPE_CHECKING:
    from lichen.core.findings import Finding
    from lichen.core.time import Instant
    from lichen.loop import Event, Loop

STATES = {"Done": "done", "Blocked": "blocked", "Failed": "failed"}


def run(
    *nodes: Node,
    full: Full = False,
    begin: From = None,
    end: To = None,
    now: Now = None,
    options: Options = USUAL,
) -> int:
    """Do what `plan` shows. Ends with 1 where a step failed or was blocked.

    --json: {"now", "run", "steps": [{"step", "node", "reason", "state", "seconds", "rows",
    "held_back", "released", "findings", "error"}], "stale": [node, …]}

    Parameters
    ----------
    nodes
        NODE, +NODE (with all that it is made of), NODE+ (with all that is made of it), +NODE+, or
        a pattern such as 'tables.*'; without any: everything.
    """
    loop = options.open()
    clock = loop.clock(moment(now))
    with progress(quiet=options.json) as report:
        events = loop.run(*nodes, now=clock, report=report, full=full, span=stretch(begin, end))
    left = stale(loop, events)
    if options.json:
        emit(_as_json(events, clock, left, options))
    else:
        _tell(events, clock, left, options) if loop.project.nodes else print(EMPTY)
    return 0 if all(state(event) == "done" for event in events) else 1


def state(event: Event) -> str:
    """Return done, blocked or failed."""
    return STATES[type(event.result).__name__]


def stale(loop: Loop, events: Sequence[Event]) -> list[str]:
    """Return the nodes that stay at their last good version because a step came to nothing."""
    stuck = [event.step for event in events if state(event) != "done"]
    affected = dict.fromkeys(n for step in stuck for n in (step.node, *step.downstream))
    made = loop.state().done
    return [node for node in affected if node in made]


def findings(event: Event) -> Sequence[Finding]:
    """Return what a step's look at its data found."""
    return getattr(event.result, "findings", ())


def _as_json(
    events: Sequence[Event], clock: Instant, left: list[str], options: Options
) -> dict[str, Any]:
    from lichen.core.time import iso

    return {
        "now": iso(clock),
        "run": events[0].run if events else None,
        "steps": [_step_json(event, options) for event in events],
        "stale": left,
    }


def _step_json(event: Event, options: Options) -> dict[str, Any]:
    from lichen.core.findings import as_json

    facts = getattr(event.result, "facts", {})
    return {
        "step": event.step.__struct_config__.tag,
        "node": event.step.node,
        "reason": event.step.reason,
        "state": state(event),
        "seconds": round(event.seconds, 3),
        "rows": facts.get("rows"),
        "held_back": sum(facts.get("held_back", {}).values()),
        "released": sum(told["rows"] for told in facts.get("released", ())),
        "findings": [as_json(f) for f in findings(event)],
        "error": _error(event, options),
    }


def _error(event: Event, options: Options) -> str | None:
    text: str | None = getattr(event.result, "error", None)
    if text is None:
        return None
    text, traceback, rest = nearby(text).partition("\nTraceback")
    if traceback and options.debug:
        return text + traceback + rest
    return text + "\n  next: run again with --debug to see where" if traceback else text


def _tell(events: Sequence[Event], clock: Instant, left: list[str], options: Options) -> None:
    from lichen.core.time import iso

    if not events:
        print(f"nothing to do as of {iso(clock)}")
        return
    _tell_findings(events)
    _tell_released(events)
    for event in events:
        if (error := _error(event, options)) is not None:
            print(f"\n{event.step.node} failed:\n{_indented(error)}")
    if left:
        print("\nat their last good version, and stale: " + ", ".join(left))
    counts = {name: sum(state(e) == name for e in events) for name in STATES.values()}
    words = [f"{count} {name}" for name, count in counts.items() if count]
    seconds = sum(e.seconds for e in events)
    print(f"\n{counted(len(events), 'step')}: {', '.join(words)}; {seconds:.1f} s of work")


def _tell_findings(events: Sequence[Event]) -> None:
    """The gravest last, where the eye ends up."""
    found = [finding for event in events for finding in findings(event)]
    for severity in ("warn", "quarantine", "block"):
        group = [f for f in found if f.severity.value == severity]
        if group:
            print(f"\n{_HEADS[severity]}")
        for finding in group:
            print(f"  {finding.node}  {finding.rule}: {finding.message}")


def _tell_released(events: Sequence[Event]) -> None:
    for event in events:
        for told in getattr(event.result, "facts", {}).get("released", ()):
            left = (
                f"; {told['left']:,} are still held by another rule, or a later row stands"
                if told["left"]
                else ""
            )
            print(
                f"\n{event.step.node}: {counted(told['rows'], 'row')} released by {told['who']}, "
                f"known from now on{left}"
            )


_HEADS = {
    "warn": "warnings (nothing was held back)",
    "quarantine": "in quarantine (the rows are kept, readers do not see them)",
    "block": "blocked (nothing of the step was committed)",
}


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
