"""A run as it happens: moving bars in a terminal, one line per finished step elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from lichen.cli.page import counted

if TYPE_CHECKING:
    from rich.console import Console

    from lichen.core.steps import AnyStep, Result
    from lichen.loop import Event

    Report = Callable[[Event], None]


@contextmanager
def progress(*, quiet: bool) -> Iterator[Report]:
    """Give what is told of every step; `quiet` tells nothing."""
    from lichen.cli.page import console

    if quiet:
        yield lambda _: None
    elif (page := console()).is_terminal:
        with _moving(page) as report:
            yield report
    else:
        lock = Lock()

        def line(event: Event) -> None:
            if event.result is not None:
                with lock:
                    print("  ".join(words(event)), flush=True)

        yield line


def words(event: Event) -> tuple[str, ...]:
    """Return a finished step in words: its state, node, what it made, and the time it took."""
    assert event.result is not None
    state = type(event.result).__name__.lower()
    made = came_of(event.step, event.result)
    return tuple(
        w for w in (f"{state:<7}", f"{event.step.node:<24}", made, f"{event.seconds:.1f} s") if w
    )


def came_of(step: AnyStep, result: Result) -> str:
    """Return what came of a step in a few words; "" where there is nothing to say."""
    from lichen.core.steps import Blocked, Done, Failed, Promote, Publish, Train

    match result, step:
        case Blocked(), _:
            return "; ".join(f.rule for f in result.findings if f.severity.value == "block")
        case Failed(), _:
            return re.sub(r"^\S+: ", "", result.error.partition("\n")[0])
        case Done(), Publish():
            return counted(int(result.facts.get("nodes", len(step.nodes))), "node")
        case Done(), Train():
            return _metric(result.facts)
        case Done(), Promote():
            return str(result.facts.get("reason", result.facts.get("decision", "")))
        case Done(), _:
            return _rows(result.facts)
    return ""


def _metric(facts: Any) -> str:
    name = facts.get("metric", "")
    found = facts.get("metrics", {}).get(name)
    if not found:
        return ""
    value, low, high = (found.get(key) for key in ("value", "low", "high"))
    between = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"version {facts.get('version')}, {name} {value:.3f}{between}"


def _rows(facts: Any) -> str:
    if "rows" not in facts:
        return ""
    rows, added = int(facts["rows"]), int(facts.get("added", facts["rows"]))
    held = sum(facts.get("held_back", {}).values())
    text = counted(rows, "row") if added == rows else f"+{added:,} of {counted(rows, 'row')}"
    return text + (f" ({held:,} held back)" if held else "")


@contextmanager
def _moving(page: Console) -> Iterator[Report]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    colours = {"done": "green", "blocked": "red", "failed": "red"}
    running: dict[str, Any] = {}
    lock = Lock()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[step]:<8}{task.description}", markup=False),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=page, transient=True) as bars:

        def report(event: Event) -> None:
            node = event.step.node
            with lock:
                if event.result is not None:
                    bars.remove_task(running.pop(node))
                    state, *rest = words(event)
                    line = Text("  ".join(["", *rest]))
                    line.no_wrap, line.overflow = True, "ellipsis"
                    bars.print(Text(state, style=colours[state.strip()]) + line)
                elif node in running:
                    bars.update(running[node], note=event.note)
                else:
                    step = event.step.__struct_config__.tag
                    running[node] = bars.add_task(node, total=None, step=step, note=event.note)

        yield report
