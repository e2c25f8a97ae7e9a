"""`lichen plan`: the steps that are due, as the run would take them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from lichen.cli.mistakes import nearby
from lichen.cli.options import USUAL, From, Full, Node, Now, Options, To, moment, stretch
from lichen.cli.page import EMPTY, counted, emit, some, table

if TYPE_CHECKING:
    from lichen.core.steps import AnyStep

FIRST = ("models", "services")  # what a change touches that costs most, named before the rest


def plan(
    *nodes: Node,
    full: Full = False,
    begin: From = None,
    end: To = None,
    now: Now = None,
    options: Options = USUAL,
) -> int:
    """Show what is due, why, and what is downstream of it; touches nothing.

    --json: {"now", "steps": [{"step", "node", "reason", "after", "downstream", …}]}

    Parameters
    ----------
    nodes
        NODE, +NODE (with all that it is made of), NODE+ (with all that is made of it), +NODE+, or
        a pattern such as 'tables.*'; without any: everything.
    """
    from lichen.core.time import iso

    loop = options.open()
    clock = loop.clock(moment(now))
    steps = loop.plan(*nodes, now=clock, full=full, span=stretch(begin, end))
    if options.json:
        emit({"now": iso(clock), "steps": [as_json(step) for step in steps]})
        return 0
    if not steps:
        print(f"nothing to do as of {iso(clock)}" if loop.project.nodes else EMPTY)
        return 0
    print(f"{counted(len(steps), 'step')} due as of {iso(clock)}\n")
    rows = [(s.__struct_config__.tag, s.node, nearby(s.reason), touched(s)) for s in steps]
    table(("step", "node", "why", "downstream"), [tuple(map(str, r)) for r in rows], wide="why")
    words = [*nodes, *(["--full"] if full else [])]
    words += ["--from", begin] if begin else []
    words += ["--to", end] if end else []
    print(f"\nnext: lichen run {shlex.join(words)}".rstrip())
    return 0


def as_json(step: AnyStep) -> dict[str, Any]:
    """Return the stable shape of a step; keys beyond the first five depend on its kind."""
    import msgspec

    told = msgspec.to_builtins(step)
    for files in ("new", "changed", "again"):
        if files in told:
            told[files] = [seen["path"] for seen in told[files]]
    first = ("step", "node", "reason", "after", "downstream")
    kept = {key: told[key] for key in first}
    internal = ("fingerprint", "rules")
    return kept | {k: v for k, v in told.items() if k not in kept and k not in internal}


def touched(step: AnyStep) -> str:
    """Return what is downstream of a step in few words, models and services first."""
    names = sorted(step.downstream, key=lambda name: name.split(".")[0] not in FIRST)
    return some(names, 2) if names else ""
