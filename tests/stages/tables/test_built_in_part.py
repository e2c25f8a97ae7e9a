"""A stretch of time that is asked for: what its rows touch is computed again, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import Build, Done
from lichen.core.time import Span, instant
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "v": "bigint", "at": "timestamptz"}
SOURCE = "key: k\nknown_at: at\nbackfill_until: 2030-01-01\n"
JOINED = "select a.k, a.v, b.v as w from s a left join r b using (k)"
KEYS = 24
_TOLD = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=2)
_FEED = st.lists(_TOLD, min_size=KEYS, max_size=KEYS)
MOMENTS = [f"2020-{number:02}-15" for number in range(1, 11)]


def month(number: int) -> str:
    return f"2020-{number:02}-01"


def land(project: SmallProject, path: str, feed: list[list[tuple[int, int]]]) -> None:
    rows = [(k, v, month(known)) for k, told in enumerate(feed) for v, known in told[:1]]
    project.csv(f"feeds/{path}.csv", "k,v,at", rows)


def rows(project: SmallProject, table: str) -> dict[tuple[str, int], list[Any]]:
    """Return what a table says of each key at many moments."""
    found: dict[tuple[str, int], list[Any]] = {}
    for at in MOMENTS:
        for row in project.current(f"tables.{table}", at):
            found.setdefault((at, row["k"]), []).append(tuple(row.values()))
    return found


def again(
    project: SmallProject, now: str, *nodes: str, span: Span | None = None
) -> dict[str, Build]:
    """Run nodes again, for a time or in full; return the steps of the tables."""
    project.plan(now)
    events = project.loop().run(*nodes, now=instant(now), full=span is None, span=span)
    assert all(isinstance(e.result, Done) for e in events)
    return {e.step.node[7:]: e.step for e in events if isinstance(e.step, Build)}


@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    feeds=st.tuples(_FEED, _FEED, _FEED),
    ends=st.sampled_from([(2, 4), (3, 4), (None, 3), (5, None), (7, 9)]),
)
def test_rows_that_the_time_touches_are_as_in_a_full_build_and_others_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    feeds: tuple[Any, Any, Any],
    ends: tuple[int | None, int | None],
) -> None:
    project = SmallProject(tmp_path_factory.mktemp("part"))
    for name in "sr":
        project.source(name, COLUMNS, SOURCE)
    project.write("tables/t.sql", f"/*\nkey: k\nstatic: [r]\n*/ {JOINED}")
    project.write("tables/anew.sql", f"/* key: k */ {JOINED}")
    land(project, "s/0", feeds[0])
    land(project, "r/0", feeds[1])
    project.run(month(7))
    land(project, "r/1", feeds[2])
    project.run(month(8))
    before = rows(project, "t")
    begin, end = (instant(month(n)) if n else None for n in ends)
    steps = again(project, month(8), "t", span=Span(begin, end))
    assert [(s.node, s.replace) for s in steps.values()] == [("tables.t", False)]
    again(project, month(8), "anew")
    touched = {
        row["k"]
        for name in "sr"
        for row in project.versions(f"sources.{name}")
        if (begin is None or begin <= row["_known_at"]) and (end is None or row["_known_at"] < end)
    }
    found, full = rows(project, "t"), rows(project, "anew")
    for place in {*found, *full, *before}:
        expected = full if place[1] in touched else before
        assert found.get(place) == expected.get(place), (place, place[1] in touched)


TABLES = {
    "plain": "/* key: k */ select k, v + 1 as v from s where v <> 2",
    "joined": f"/* key: k */ {JOINED}",
    "met": "select a.k, b.k as j from s a join r b on a.v = b.v and a.k // 4 = b.k // 4",
    "twice": "select a.k, b.v as w from s a join s b on a.v = b.k",
    "grouped": "select v % 3 as k, count(*) as n from s group by 1",
}


def test_what_changed_behind_the_back_reaches_the_rows_as_in_a_full_build(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    for name in "sr":
        project.source(name, COLUMNS, SOURCE)
        for number in (1, 2, 3):
            held = [(4 * k + number, (k * number) % 6, month(number)) for k in range(6)]
            project.csv(f"feeds/{name}/{number}.csv", "k,v,at", held)
    for name, select in TABLES.items():
        project.write(f"tables/{name}.sql", select)
    project.run(month(4))
    path = project.root / "feeds/s/2.csv"
    stood = path.stat()
    path.write_text(path.read_text().replace(",4,", ",3,"), "utf-8")
    os.utime(path, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    span = Span(instant(month(2)), instant(month(3)))
    planned = {s.node: s.reason for s in project.loop().plan(now=instant(month(5)), span=span)}
    steps = again(project, month(5), span=span)
    part = {"plain", "joined", "met"}
    assert {name: step.replace for name, step in steps.items()} == {
        name: name not in part for name in TABLES
    }
    for name in TABLES:
        how = "what rows of it touch is built again" if name in part else (
            "this table is built in full"
        )  # fmt: skip
        assert planned[f"tables.{name}"] == f"the time {span.words()} was asked for, and {how}"
    found = {name: rows(project, name) for name in TABLES}
    again(project, month(6), *(f"tables.{name}" for name in TABLES))
    assert {name: rows(project, name) for name in part} == {n: found[n] for n in part}
    assert found["plain"]["2020-05-15", 10] == [(10, 4)]


def test_what_touches_nothing_moves_nothing(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.source("s", COLUMNS, SOURCE)
    project.csv("feeds/s/1.csv", "k,v,at", [(1, 1, month(1)), (2, 2, month(2))])
    project.write("tables/t.sql", TABLES["plain"])
    project.write("tables/after.sql", "select k from t")
    project.run(month(3))
    step = again(project, month(4), "t", span=Span(instant(month(1)), None))["t"]
    assert step.span == Span(instant(month(1)), None)
    assert project.versions("tables.t")[-1]["_row"] >> 32 == 1
    assert project.plan(month(4)) == ()
