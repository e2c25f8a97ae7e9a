"""Measure an area: `python -m bench loop`, or one case of it: `python -m bench loop plan`.

Without words the page of results is written again from what was measured before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import envs, measure, report
from bench.cases import Area, Case, rows

HERE = Path(__file__).parent
WORK = HERE.parent / ".bench"  # environments and data: never committed


def main(words: Sequence[str]) -> int:
    """Measure what the words name; returns how many goals do not hold."""
    missed = 0
    if words:
        area: Area = importlib.import_module(f"bench.{words[0]}.area").AREA
        named = [case for case in area.cases if not words[1:] or case.name in words[1:]]
        if not named:
            raise SystemExit(f"the cases of {area.name}: {', '.join(c.name for c in area.cases)}")
        for case in named:
            missed += measured(area, case, HERE / "peers", HERE / "results", WORK)
    (HERE / "RESULTS.md").write_text(report.page(HERE / "results"), "utf-8")
    return missed


def measured(area: Area, case: Case, peers: Path, results: Path, work: Path) -> int:
    """Run one case and keep its rows; returns how many of its goals do not hold."""
    print(f"{area.name}/{case.name}: {case.what}", flush=True)
    sides = (*case.setup, *case.sides)
    found = {env: envs.programs(env, peers, work) for env in dict.fromkeys(s.env for s in sides)}
    versions = {s.name: envs.version(s.shows or s.name, found[s.env]) for s in case.sides}
    print("  " + ", ".join(f"{name} {version}" for name, version in versions.items()), flush=True)
    data = work / "data" / area.name / case.name
    data.mkdir(parents=True, exist_ok=True)
    start = measure.starter(found, data, area.here)
    for side in case.setup:
        start(side)
    runs = measure.turns(case, start, lambda line: print(line, flush=True))
    made = rows(case, runs, versions)
    report.keep(results, area, case, made, report.about(runs, versions, case))
    missed = [row for row in made if row["holds"] is False]
    for row in missed:
        print(f"  does not hold: {row['name']}: {row['goal']} ({row['value']} {row['unit']}, "
              f"ratio {row['ratio']} to {row['peer']})")  # fmt: skip
    return len(missed)


if __name__ == "__main__":
    main(sys.argv[1:])
