"""What was measured, kept as JSON for programs and as one page for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.cases import Area, Case, Row, Runs

HEAD = """# Figures

Made from `bench/results/*.json` by `make bench BENCH=AREA`; `make bench` alone writes this page
again without measuring. Values are medians, and the sides of a comparison took turns on one
machine. A ratio is Lichen's value through the peer's: below 1 Lichen needs less. CPU counts all
processes, peak memory is that of the largest one. [README.md](README.md) says how to measure more.
"""


def keep(results: Path, area: Area, case: Case, found: list[Row], about: dict[str, object]) -> None:
    """Write a case's rows into the area's JSON, in the order of the cases; others stay."""
    rows = [*found, *(r for r in read(results, area.name) if not of_case(r, case.name))]
    order = [c.name for c in area.cases]
    rows.sort(key=lambda row: order.index(case_of(row)) if case_of(row) in order else len(order))
    write(results / f"{area.name}.json", rows)
    path = results / "runs" / f"{area.name}.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    write(path, known | {case.name: about})


def about(runs: Runs, versions: Mapping[str, str], case: Case) -> dict[str, object]:
    """Return when, on what and with what a case was measured, and every run of it."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "what": case.what,
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "machine": f"{os.cpu_count()} cores, {pages * size / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": dict(versions),
        "warmup": case.warmup,
        "runs": runs,
    }


def read(results: Path, area: str) -> list[Row]:
    """Return the rows of an area that were written before."""
    path = results / f"{area}.json"
    return list(json.loads(path.read_text("utf-8"))) if path.is_file() else []


def write(path: Path, value: object) -> None:
    """Write JSON that a person can compare with what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def page(results: Path) -> str:
    """Return all areas' figures as Markdown."""
    parts = [HEAD]
    for path in sorted(results.glob("*.json")):
        rows, kept = read(results, path.stem), results / "runs" / path.name
        told = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
        parts.append(f"## {path.stem}\n")
        for name in dict.fromkeys(map(case_of, rows)):
            parts.append(_section(name, [r for r in rows if of_case(r, name)], told.get(name)))
    return "\n".join(parts)


def _section(name: str, rows: list[Row], told: Mapping[str, object] | None) -> str:
    lines = [f"### {name}\n"]
    if told:
        versions = ", ".join(f"{k} {v}" for k, v in dict(told["versions"]).items())  # type: ignore[call-overload]
        lines += [f"{told['what']}\n", f"{told['when']} UTC; {told['machine']}; {versions}.\n"]
    lines += [
        "| figure | Lichen | peer | its value | ratio | goal | |",
        "|---|--:|---|--:|--:|---|---|",
    ]
    for row in rows:
        holds = {True: "holds", False: "**does not hold**", None: ""}[row["holds"]]  # type: ignore[index]
        shown = [
            _with(row["value"], row["unit"]),
            row["peer"],
            _with(row["peer_value"], row["unit"]),
        ]
        cells = [str(row["name"]).partition(": ")[2], *shown, row["ratio"], row["goal"], holds]
        lines.append("| " + " | ".join("" if c is None else str(c) for c in cells) + " |")
    return "\n".join(lines) + "\n"


def _with(value: object, unit: object) -> str | None:
    return None if value is None else f"{value:,} {unit}"


def case_of(row: Row) -> str:
    """Return the case that a row belongs to."""
    return str(row["name"]).partition(": ")[0]


def of_case(row: Row, name: str) -> bool:
    """Return whether a row belongs to a case."""
    return case_of(row) == name
