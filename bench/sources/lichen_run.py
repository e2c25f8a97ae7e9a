"""Run a project from nothing; prints the rows of its source, and the memory above the start."""

import json
import os
import resource
import shutil
import sys
from pathlib import Path

os.environ.setdefault("BENCH_PASSWORD", "only-on-loopback")
folder = Path(sys.argv[1])
shutil.rmtree(folder / ".lichen", ignore_errors=True)

from lichen.core.steps import Done  # noqa: E402
from lichen.loop import open_loop  # noqa: E402

loop = open_loop(folder)
loop.engine, loop.lake  # noqa: B018 - what every run loads counts as the start
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
events = loop.run()
wrong = [event for event in events if not isinstance(event.result, Done)]
if wrong:
    raise SystemExit(str(wrong))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = loop.published()["sources.orders"].facts["rows"]
print(json.dumps({"rows": rows, "above": peak - start}))
