"""`lichen watch`: run again and again, as sources tell something new."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lichen.cli.options import USUAL, Node, Options
from lichen.cli.progress import words

if TYPE_CHECKING:
    from lichen.core.errors import LichenError
    from lichen.loop import Event


def watch(
    *nodes: Node,
    every: Annotated[str, Parameter(name="--every", help="How long to wait for news.")] = "5 s",
    options: Options = USUAL,
) -> int:
    """Do what `run` does, again and again, until it is told to end (Ctrl-C, or SIGTERM).

    Connections to sources stay open. What a run has begun it finishes before the end.

    --json: one line for each step that ended: {"run", "step", "node", "state", "rows", "added",
    "error"}

    Parameters
    ----------
    nodes
        As for `run`; without any: everything.
    """
    from lichen.core.time import duration
    from lichen.watch import landed
    from lichen.watch import watch as follow

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    known: set[str] = set()  # the trouble that was told already

    def told(events: Sequence[Event], trouble: LichenError | None) -> None:
        now = {str(trouble): None} if trouble is not None else {}
        for event in events:
            if type(event.result).__name__ != "Done":
                now[f"{event.step.node}: {event.result}"] = None
                if f"{event.step.node}: {event.result}" not in known:
                    _tell(event, options)
            elif landed(event):
                _tell(event, options)
        if trouble is not None and str(trouble) not in known:
            print(trouble, file=sys.stderr, flush=True)
        known.clear()
        known.update(now)

    if not options.json:
        print(f"watching; a look every {every}", flush=True)
    follow(options.open(), nodes, duration(every).total_seconds(), stop, lambda _: None, told)
    if not options.json:
        print("ended", flush=True)
    return 0


def _tell(event: Event, options: Options) -> None:
    facts = getattr(event.result, "facts", {})
    if not options.json:
        print("  ".join(words(event)), flush=True)
        return
    told = {
        "run": event.run,
        "step": event.step.__struct_config__.tag,
        "node": event.step.node,
        "state": type(event.result).__name__.lower(),
        "rows": facts.get("rows"),
        "added": facts.get("added"),
        "error": getattr(event.result, "error", None),
    }
    print(json.dumps(told, ensure_ascii=False), flush=True)
