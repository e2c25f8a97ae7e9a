"""Parts of a project: what a selector names, and what is made again of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lichen.core.errors import ProjectError
from lichen.core.steps import Build, Land
from lichen.core.time import Span, instant
from lichen.selection import select
from lichen.testing.project import SmallProject

DAY = [f"2020-01-0{n}" for n in range(10)]
COLUMNS = {"k": "bigint", "at": "timestamptz", "v": "bigint"}


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """Two sources, a chain of two tables, and one table beside it."""
    small = SmallProject(tmp_path)
    settings = f"key: k\nknown_at: at\nbackfill_until: {DAY[1]}\n"
    small.source("s", COLUMNS, settings)
    small.source("other", COLUMNS, settings)
    small.write("tables/one.sql", "select k, v from s")
    small.write("tables/two.sql", "select k, v + 1 as v from one")
    small.write("tables/beside.sql", "select k, v from other")
    for number in (1, 2, 3):
        row = (number, f"2019-0{number}-05T00:00:00Z", number * 10)
        small.csv(f"feeds/s/{number}.csv", "k,at,v", [row])
    small.csv("feeds/other/1.csv", "k,at,v", [(1, "2019-01-05T00:00:00Z", 1)])
    return small


CHAIN = {"sources.s", "tables.one", "tables.two"}


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        (("one",), {"tables.one"}),
        (("tables.one",), {"tables.one"}),
        (("one+",), {"tables.one", "tables.two"}),
        (("+one",), {"sources.s", "tables.one"}),
        (("+one+",), CHAIN),
        (("sources.*",), {"sources.s", "sources.other"}),
        (("t*",), {"tables.one", "tables.two", "tables.beside"}),
        (("o[nt]*",), {"tables.one", "sources.other"}),
        (("+t*o",), CHAIN),
        (("one", "beside"), {"tables.one", "tables.beside"}),
    ],
)
def test_selectors(project: SmallProject, words: tuple[str, ...], nodes: set[str]) -> None:
    chosen = select(project.loop().project, words)
    assert chosen.only is not None
    assert set(map(str, chosen.only)) == nodes


def test_a_plus_takes_along_what_contracts_refer_to(project: SmallProject) -> None:
    to = {"relationships": [{"type": "foreignKey", "to": "other.k"}]}
    project.contract("tables/one", {"k": "bigint", "v": "bigint"}, rules={"k": to})
    assert "sources.other" in map(str, select(project.loop().project, ["+one"]).only or ())


def test_only_what_is_named_runs(project: SmallProject) -> None:
    with pytest.raises(ProjectError, match=r"made of sources\.s, which no run has made"):
        project.run(DAY[1], "one")
    done = [e.step.node for e in project.run(DAY[1], "+two")]
    assert done == ["sources.s", "tables.one", "tables.two", "publication"]
    project.csv("feeds/s/4.csv", "k,at,v", [(4, "2019-04-05T00:00:00Z", 40)])
    assert [s.node for s in project.plan(DAY[2], "one")] == []
    assert [e.step.node for e in project.run(DAY[2], "s")] == ["sources.s", "publication"]
    assert [s.node for s in project.plan(DAY[3], "two")] == []
    assert [s.node for s in project.plan(DAY[3], "one")] == ["tables.one", "publication"]
    assert [s.node for s in project.plan(DAY[3], "one+")] == [
        "tables.one", "tables.two", "publication",
    ]  # fmt: skip


def told(
    project: SmallProject, *nodes: str, full: bool = False, span: Span | None = None
) -> object:
    steps = project.loop().plan(*nodes, now=instant(DAY[2]), full=full, span=span)
    return [(s.node, s.replace, s.reason) for s in steps if isinstance(s, Land | Build)]


def test_full_makes_the_named_nodes_again_and_their_readers_see_it(project: SmallProject) -> None:
    project.run(DAY[1])
    why = "--full was asked for"
    assert told(project, "one", full=True) == [("tables.one", True, why)]
    assert told(project, "s", full=True) == [("sources.s", True, why)]
    assert told(project, "one+", full=True) == [
        ("tables.one", True, why),
        ("tables.two", True, why),
    ]
    project.loop().run("one", now=instant(DAY[2]), full=True)
    (two, *_) = project.plan(DAY[3])
    assert (two.node, two.reason) == ("tables.two", "new data in tables.one")
    before = project.current("tables.two", DAY[2])
    project.run(DAY[3])
    assert project.current("tables.two", DAY[3]) == before
    assert project.plan(DAY[4]) == ()


def test_full_does_not_touch_a_table_twice_in_one_run(project: SmallProject) -> None:
    project.run(DAY[1])
    events = project.loop().run(now=instant(DAY[2]), full=True)
    nodes = [event.step.node for event in events]
    assert sorted(nodes) == sorted({*nodes})
    assert len(nodes) == 6


@pytest.mark.parametrize("rows", [{"full": True}, {"span": Span(instant("2019-02-01"), None)}])
def test_what_was_changed_behind_the_back_is_found(
    project: SmallProject, rows: dict[str, object]
) -> None:
    """A copy that keeps size and time of a file hides a change from every listing."""
    project.run(DAY[1])
    path = project.root / "feeds/s/2.csv"
    before = path.stat()
    path.write_text(path.read_text().replace(",20\n", ",21\n"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.plan(DAY[2]) == ()
    project.loop().run("s+", now=instant(DAY[2]), **rows)  # type: ignore[arg-type]
    for node, expected in (("sources.s", [10, 21, 30]), ("tables.two", [11, 22, 31])):
        assert sorted(row["v"] for row in project.current(node, DAY[2])) == expected
    kept = [row["v"] for row in project.current("sources.s", "2020-01-01T12:00:00Z")]
    assert (20 in kept) is ("span" in rows)  # a correction of today, or as if it had always been


@pytest.mark.parametrize(
    ("begin", "end", "files"),
    [
        ("2019-02-01", "2019-03-01", ["2"]),
        (None, "2019-02-05", ["1"]),
        ("2019-02-05", None, ["2", "3"]),
        ("2019-02-06", "2019-03-05", []),
    ],
)
def test_a_stretch_of_time_means_the_files_with_its_rows(
    project: SmallProject, begin: str | None, end: str | None, files: list[str]
) -> None:
    project.run(DAY[1])
    span = Span(instant(begin) if begin else None, instant(end) if end else None)
    steps = project.loop().plan("s", now=instant(DAY[2]), span=span)
    again = [f.path for s in steps if isinstance(s, Land) for f in s.again]
    assert again == [f"feeds/s/{name}.csv" for name in files]
    project.loop().run("s", now=instant(DAY[2]), span=span)
    assert len(project.versions("sources.s")) == 3  # they said nothing new
    assert project.plan(DAY[3]) == ()


def test_a_table_is_built_in_part_and_the_plan_says_so(project: SmallProject) -> None:
    project.run(DAY[1])
    span = Span(instant("2019-02-01"), instant("2019-03-01"))
    assert told(project, "one", span=span) == [
        (
            "tables.one",
            False,
            "the time from 2019-02-01T00:00:00Z to 2019-03-01T00:00:00Z was asked for, and what "
            "rows of it touch is built again",
        )
    ]


def test_mistakes(project: SmallProject) -> None:
    loop = project.loop()
    for words, more, said in (
        (["x*"], {}, "no node of this project is named like"),
        (["one"], {"span": Span(instant(DAY[2]), instant(DAY[1]))}, "ends before it begins"),
        (["one"], {"span": Span(instant(DAY[1]), None), "full": True}, "add nothing"),
    ):
        with pytest.raises(ProjectError, match=said):
            loop.plan(*words, **more)
