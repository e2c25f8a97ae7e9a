"""Of a hundred thousand records a thousand are poison: each is held back, with its bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from arro3.core import Table
from sqlglot import exp

from lichen.core.sql import rel
from lichen.stages.context import Shelf, verdict_table
from lichen.testing.project import SmallProject

ALL, EACH = 100_000, 100  # one of so many is poison
POISON = {
    "logs": (b"no json %d", b'{"n": %d', b'["n", %d]', b'{"n": "x%d"}', b"\xff\xfe%d"),
    "files": (b"%d,a,b", b"%d", b'"%d"x,a', b"%d,a,b,c"),
}


def good(connector: str, number: int) -> bytes:
    return b'{"n": %d, "name": "a"}' % number if connector == "logs" else b"%d,a" % number


@pytest.mark.parametrize("connector", POISON)
def test_each_is_held_back_with_its_reason_and_bytes(tmp_path: Path, connector: str) -> None:
    kinds = POISON[connector]
    lines = [
        kinds[n // EACH % len(kinds)] % n if n % EACH == 0 else good(connector, n)
        for n in range(ALL)
    ]
    project = SmallProject(tmp_path)
    project.source("s", {"n": "bigint", "name": "varchar"})
    header = b"" if connector == "logs" else b"n,name\n"
    path = tmp_path / "feeds/s" / ("a.log" if connector == "logs" else "a.csv")
    path.parent.mkdir(parents=True)
    path.write_bytes(header + b"\n".join(lines) + b"\n")
    if connector == "logs":
        project.write("sources/s.yml", f"connector: logs\npath: {path}\n")
    project.run("2020-01-01")

    rows = project.current("sources.s", "2020-01-02")
    assert Counter(row["n"] for row in rows) == Counter(n for n in range(ALL) if n % EACH)
    verdicts = held(project)
    assert len(verdicts) == len({(line, row) for _, _, _, line, row in verdicts}) == ALL // EACH
    assert all(rule and reason for rule, reason, *_ in verdicts)
    first = 1 if connector == "logs" else 2
    stored = {row["_row"]: row for row in project.versions("sources.s")}
    for rule, _, raw, line, row in verdicts:
        came = lines[(line if line is not None else stored[row]["_line"]) - first]
        if raw is not None:
            assert raw == came, rule
        else:  # it is a record, and a value of it is none: that is kept beside the row
            assert b"x" in came
            assert came.partition(b'"x')[2].strip(b'"}').decode() in stored[row]["_raw"]


def held(project: SmallProject) -> list[tuple[str, str, bytes | None, int | None, int]]:
    loop = project.loop()
    table = verdict_table("sources.s")
    relations = Shelf(loop.published(), loop.lake).relations(["sources.s"])
    found = Table.from_arrow(loop.engine.arrow(exp.select("*").from_(rel(table)), relations))
    names = ("rule", "reason", "raw", "_line", "_row")
    return list(zip(*(found.column(name).to_pylist() for name in names), strict=True))
