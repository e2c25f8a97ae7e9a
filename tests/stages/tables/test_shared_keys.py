"""A declared key that two rows have at once: found where rows are appended as in a full build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import Blocked, Build, Done, Result
from lichen.core.time import instant
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "v": "bigint", "at": "timestamptz"}
RUNS = 4
TABLES = {
    "moving": "/* key: v */ select v, k from s",
    "chosen": "/* key: w */ select v % 4 as w, k from s where v > 3",
    "part": "/* key: [w, v] */ select k % 2 as w, v, k from s where v <> 1",
    "kept": "/* key: [k, v] */ select k, v from s",
    "joined": "/* key: j */ select a.k, b.k as j from s a join r b on a.v = b.v",
    "left": "/* key: w */ select a.k, coalesce(b.v, a.v) as w from s a left join r b using (k)",
    "doubled": "/* key: k */ select a.k, b.k as j from s a left join r b on a.v = b.v % 3 + 5",
}
# (key, value, month in which it was known), as they land run by run
_FEED = st.dictionaries(
    st.integers(0, 3), st.tuples(st.integers(0, 7), st.integers(1, 6)), max_size=2
)


Feed = dict[int, tuple[int, int]]


def begun(folder: Path) -> SmallProject:
    project = SmallProject(folder)
    for name in "sr":
        project.source(name, COLUMNS, "key: k\nknown_at: at\nbackfill_until: 2030-01-01\n")
        land(project, name, 0, {})
    return project


def month(number: int, day: int = 1) -> str:
    return f"2020-{number:02}-{day:02}"


def land(project: SmallProject, name: str, run: int, feed: Feed) -> None:
    rows = [(k, v, month(known)) for k, (v, known) in feed.items()]
    project.csv(f"feeds/{name}/{run}.csv", "k,v,at", rows)


def built(project: SmallProject, now: str, *nodes: str, full: bool = False) -> dict[str, Any]:
    """Run, and return what came of each table, with its step."""
    return {
        e.step.node.removeprefix("tables."): e
        for e in project.loop().run(*nodes, now=instant(now), full=full)
        if isinstance(e.step, Build)
    }


def in_words(result: Result | None) -> object:
    if not isinstance(result, Blocked):
        return type(result).__name__
    return [(f.rule, str(f.severity), f.count, f.message) for f in result.findings]


def rows(project: SmallProject, table: str, at: str) -> list[Any]:
    return [tuple(row.values()) for row in project.current(f"tables.{table}", at)]


@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    feeds=st.lists(st.tuples(_FEED, _FEED), min_size=RUNS, max_size=RUNS),
    later=st.lists(st.booleans(), min_size=RUNS, max_size=RUNS),
)
def test_what_is_appended_is_found_and_says_what_a_full_build_says(
    tmp_path_factory: pytest.TempPathFactory, feeds: list[Any], later: list[bool]
) -> None:
    """Also where rows land that were known earlier, or that correct what is not known yet."""
    project = begun(tmp_path_factory.mktemp("shared"))
    for name, select in TABLES.items():
        for each in (name, f"{name}_anew"):
            project.write(f"tables/{each}.sql", select)
    anew = [f"tables.{name}_anew" for name in TABLES]
    clock = 1
    for run, (s, r) in enumerate(feeds):
        clock += later[run]
        land(project, "s", run, s)
        land(project, "r", run, r)
        events = built(project, month(clock))
        whole = built(project, month(clock), *anew, full=True)
        for name in TABLES:
            if name in events:
                said = in_words(events[name].result)
                assert said == in_words(whole[f"{name}_anew"].result), (name, run)
    for name in TABLES:
        if isinstance(whole[f"{name}_anew"].result, Done):
            for number in range(1, 8):
                at = month(number, 15)
                assert rows(project, name, at) == rows(project, f"{name}_anew", at), (name, at)


# What landed first, what then, and how many rows share the key.
CASES: dict[str, tuple[str, list[Feed], int]] = {
    "a new row has the key of an old one": (
        "moving", [{1: (5, 1), 2: (6, 1)}, {3: (5, 2)}], 1,
    ),
    "a corrected row takes the key of another": (
        "moving", [{1: (5, 1), 2: (6, 1)}, {2: (5, 2)}], 1,
    ),
    "it takes a key that its row has left": (
        "moving", [{1: (5, 1), 2: (6, 1)}, {1: (7, 2), 2: (5, 2)}], 0,
    ),
    "it had it before the other one": (
        "moving", [{1: (5, 3)}, {2: (5, 1)}], 1,
    ),
    "a row that is left out shares nothing": (
        "chosen", [{1: (5, 1)}, {2: (1, 1)}], 0,
    ),
    "two new rows": (
        "moving", [{1: (5, 1)}, {2: (6, 1), 3: (6, 1)}], 1,
    ),
    "a key of several columns": (
        "part", [{1: (5, 1), 2: (5, 1)}, {3: (5, 1)}], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "feeds", "count"), CASES.values(), ids=CASES)
def test_a_key_that_an_appended_row_shares_blocks(
    tmp_path: Path, table: str, feeds: list[Feed], count: int
) -> None:
    project = begun(tmp_path)
    project.write("tables/t.sql", TABLES[table])
    for run, feed in enumerate(feeds):
        land(project, "s", run, feed)
        found = built(project, month(4 + run))["t"]
    assert not found.step.replace
    assert isinstance(found.result, Blocked if count else Done)
    assert [f.count for f in found.result.findings] == [count] * bool(count)


def test_a_joined_row_that_gives_two_drivers_one_key_blocks(tmp_path: Path) -> None:
    project = begun(tmp_path)
    project.write("tables/t.sql", TABLES["joined"])
    land(project, "s", 0, {1: (5, 1), 2: (6, 1)})
    land(project, "r", 0, {1: (5, 1), 2: (6, 1)})
    assert isinstance(built(project, month(3))["t"].result, Done)
    land(project, "s", 1, {3: (5, 1)})
    (finding,) = built(project, month(4))["t"].result.findings
    assert (finding.rule, finding.count) == ("key", 1)
    assert finding.message == "1 row repeats the key j at the same time"
    assert rows(project, "t", month(5)) == [(1, 1), (2, 2)]


def test_rows_of_a_source_that_lack_their_key_share_none(tmp_path: Path) -> None:
    """A source tells them apart by their place; a table that declares the key cannot."""
    project = begun(tmp_path)
    project.write("tables/t.sql", "/* key: k */ select k, v from s")
    project.csv("feeds/s/0.csv", "k,v,at", [(1, 1, month(1)), (None, 2, month(1))])
    assert isinstance(built(project, month(2))["t"].result, Done)
    project.csv("feeds/s/0.csv", "k,v,at", [(1, 1, month(1)), (None, 3, month(3))])
    changed = built(project, month(3))["t"]
    assert isinstance(changed.result, Done) and not changed.step.replace
    assert rows(project, "t", month(2)) == [(1, 1), (None, 2)]
    assert rows(project, "t", month(4)) == [(1, 1), (None, 3)]
    project.csv("feeds/s/1.csv", "k,v,at", [(None, 4, month(1))])
    said = in_words(built(project, month(4))["t"].result)
    full = built(project, month(4), "tables.t", full=True)["t"].result
    assert (
        said == in_words(full) == [("key", "block", 2, "2 rows repeat the key k at the same time")]
    )


@pytest.mark.parametrize("table", ["chosen", "kept", "moving"])
def test_a_row_that_is_corrected_before_it_is_known_is_never_there(
    tmp_path: Path, table: str
) -> None:
    """Both are known at one moment: what the table said of the first is taken back."""
    project = begun(tmp_path)
    project.write("tables/t.sql", TABLES[table])
    land(project, "s", 0, {1: (5, 6), 2: (6, 1)})
    built(project, month(2))
    land(project, "s", 0, {1: (2, 6), 2: (6, 1)})
    found = built(project, month(3))["t"]
    assert not found.step.replace
    said = {"chosen": [], "kept": [(1, 2)], "moving": [(2, 1)]}[table]
    other = {"chosen": (2, 2), "kept": (2, 6), "moving": (6, 2)}[table]
    assert rows(project, "t", month(7)) == sorted([*said, other])
