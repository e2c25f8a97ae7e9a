"""What sources and tables record of their keys: whether each has one version, and what tells
rows apart. Readers trust it blindly, so each claim is also held against the stored rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from lichen.core.versions import apart, is_once
from lichen.stages.context import Shelf
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "at": "timestamptz", "v": "bigint"}
TABLES = {
    "kept": "/* key: [k, at] */ select * from s where v <> 1",
    "renamed": "/* key: [moment, j] */ select k as j, at as moment, v from s",
    "wider": "/* key: [k, at, v] */ select k, at, v from s",
    "keyless": "select k, s.at, v + 1 as v from s",
    "unnamed": "select at, v from s",
    "changed": "/* key: [k, at] */ select k + 0 as k, at, v from s",
    "without": "select * exclude (at) from s",
    "moved": "/* key: v */ select v, max(at) as at from s group by v",
    "paired": "select a.k, a.at, b.v from s a join s b on a.k = b.k and a.at = b.at",
    "further": "select j, moment, v from renamed",
}
Row = Sequence[object]
FIRST: list[Row] = [(1, "2020-01-01", 10), (1, "2020-01-02", 20), (2, "2020-01-01", 30)]


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    rules: dict[str, dict[str, Any]] = {
        "k": {"primaryKey": True, "primaryKeyPosition": 1},
        "at": {"primaryKey": True, "primaryKeyPosition": 2},
        "v": {"logicalTypeOptions": {"maximum": 99}},
    }
    small.source("s", COLUMNS, "key: [k, at]\n", rules=rules)
    return small


def feed(project: SmallProject, name: str, *rows: Row) -> None:
    project.csv(f"feeds/s/{name}.csv", "k,at,v", rows)


def said(project: SmallProject, node: str) -> list[str] | None:
    """Return what a node's versions say of themselves, which must be so of the stored rows."""
    loop = project.loop()
    versions = Shelf(loop.published(), loop.lake).versions(node)
    if not is_once(versions):
        return None
    rows = project.versions(node)
    assert len({row["_key"] for row in rows}) == len(rows)
    names = [column.name for part in apart(versions) for column in part.find_all(exp.Column)]
    if names:
        assert set(Counter(tuple(row[name] for name in names) for row in rows).values()) <= {1}
    return names


def test_tables_hand_on_what_their_input_says(project: SmallProject) -> None:
    for name, select in TABLES.items():
        project.write(f"tables/{name}.sql", select)
    feed(project, "a", *FIRST)
    expected = {
        "kept": ["k", "at"],
        "renamed": ["j", "moment"],
        "wider": ["k", "at"],
        "keyless": ["k", "at"],
        "unnamed": [],
        "changed": None,
        "without": [],
        "moved": None,
        "paired": None,
        "further": ["j", "moment"],
    }
    for month in (2, 3):  # built anew, and gone on with
        project.run(f"2020-0{month}-01")
        assert {name: said(project, f"tables.{name}") for name in TABLES} == expected
        feed(project, "b", (3, "2020-01-01", 30))


NEXT: dict[str, tuple[list[Row], list[str] | None]] = {
    "other keys": ([(2, "2020-01-02", 40)], ["k", "at"]),
    "the same row": ([FIRST[0]], ["k", "at"]),
    "a correction": ([(1, "2020-01-01", 11)], None),
    "a part of the key is missing": ([(None, "2020-01-02", 40)], []),
    "a row that repeats a key": ([(2, "2020-01-02", 40), (2, "2020-01-02", 41)], []),
}


@pytest.mark.parametrize("case", NEXT)
def test_a_source_says_it_while_it_is_so(project: SmallProject, case: str) -> None:
    project.write("tables/t.sql", "select k, at, v from s")
    feed(project, "a", *FIRST)
    project.run("2020-02-01")
    assert said(project, "sources.s") == said(project, "tables.t") == ["k", "at"]
    rows, expected = NEXT[case]
    feed(project, "b", *rows)
    project.run("2020-03-01")
    assert said(project, "sources.s") == expected
    assert said(project, "tables.t") == expected
    feed(project, "c", (9, "2020-01-02", 40))
    project.run("2020-04-01")
    assert said(project, "sources.s") == expected


def test_a_file_that_grows_brings_new_keys(project: SmallProject) -> None:
    feed(project, "a", *FIRST[:1])
    project.run("2020-02-01")
    feed(project, "a", *FIRST)
    project.run("2020-03-01")
    assert len(project.versions("sources.s")) == 3
    assert said(project, "sources.s") == ["k", "at"]


def test_a_file_that_loses_a_row_ends_a_version(project: SmallProject) -> None:
    feed(project, "a", *FIRST, (9, "2020-01-02", 40))
    project.run("2020-02-01")
    feed(project, "a", *FIRST)
    project.run("2020-03-01")
    assert said(project, "sources.s") is None


def test_two_files_of_one_landing_may_tell_of_a_key_twice(project: SmallProject) -> None:
    feed(project, "a", *FIRST)
    feed(project, "b", (1, "2020-01-01", 11))
    project.run("2020-02-01")
    assert said(project, "sources.s") is None


def test_a_row_that_vanishes_or_is_released_has_a_second_version(project: SmallProject) -> None:
    project.write("tables/t.sql", "select k, at, v from s")
    feed(project, "a", *FIRST, (5, "2020-01-01", 100))
    project.run("2020-02-01")
    assert said(project, "sources.s") == ["k", "at"]
    project.loop().release("s", "v.range", (), who="anna", why="measured twice")
    project.run("2020-03-01")
    assert said(project, "sources.s") is None
    assert said(project, "tables.t") is None


def test_a_source_that_is_read_again_may_say_it_again(project: SmallProject) -> None:
    feed(project, "a", *FIRST)
    project.run("2020-02-01")
    feed(project, "a", *FIRST[1:])
    project.run("2020-03-01")
    assert said(project, "sources.s") is None
    project.source("s", {**COLUMNS, "v": "double"}, "key: [k, at]\n")
    project.run("2020-04-01")
    assert said(project, "sources.s") == ["k", "at"]
