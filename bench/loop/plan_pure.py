"""Time the planner alone on a project that was run: FOLDER. Prints the seconds of one call."""

from __future__ import annotations

import json
import sys
import time
from statistics import median

from lichen.core.time import instant
from lichen.loop import open_loop
from lichen.observe import observe
from lichen.planner import plan
from lichen.ports.facts import Facts

if __name__ == "__main__":
    loop, now = open_loop(sys.argv[1]), instant("2026-01-18")
    state = loop.state()
    world = observe(loop.project, state, now, loop.folder)
    facts = Facts(state, "", world.files, world.logs)
    took = []
    for _ in range(21):
        started = time.perf_counter()
        steps = plan(loop.project, facts, now)
        took.append(time.perf_counter() - started)
    print(
        json.dumps({"seconds": median(took), "nodes": len(loop.project.nodes), "due": len(steps)})
    )
