"""Tables that go on with their inputs, against what they would be if they were built anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import Blocked, Build, Done, Result
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "v": "bigint"}
RUNS, LANES = 4, 8
# What a table says at a moment, given the rows of its inputs at that moment.
TABLES = {
    "filtered": "/* key: k */ select k, v + 1 as v from s where v > 2",
    "keyless": "select k, v from s where v <> 1",
    "moving": "/* key: w */ select k * 10 + v as w, v from s",
    "joined": "/* key: k */ select a.k, a.v, b.v as w from s a left join r b using (k)",
    "met": "/* key: k */ select a.k, a.v + b.v as v from s a join r b using (k) where a.v <> b.v",
    "pairs": "select a.k, b.k as j from s a join r b on a.v = b.v and a.k // 10 = b.k // 10",
    "chain": "select a.k, b.v as w, c.v as x from s a "
    "left join r b on b.k = a.k // 10 * 10 + a.v % 4 "
    "left join q c on c.k = b.k // 10 * 10 + b.v % 4",
    "grouped": "select k // 10 as lane, v % 3 as g, count(*) as n from s group by 1, 2",
}
Rows = dict[int, int]
_FILE = st.dictionaries(st.integers(0, 3), st.integers(0, 5), max_size=4)
_LANE = st.lists(st.tuples(_FILE, _FILE, _FILE), min_size=RUNS, max_size=RUNS)


def expected(table: str, s: Rows, r: Rows, q: Rows) -> list[tuple[Any, ...]]:
    """Say in Python what a table's SELECT says."""
    then = {k: k // 10 * 10 + v % 4 for k, v in s.items()}
    last = {k: j // 10 * 10 + r[j] % 4 for k, j in then.items() if j in r}
    groups = [(k // 10, v % 3) for k, v in s.items()]
    said: dict[str, list[tuple[Any, ...]]] = {
        "filtered": [(k, v + 1) for k, v in s.items() if v > 2],
        "keyless": [(k, v) for k, v in s.items() if v != 1],
        "moving": [(k * 10 + v, v) for k, v in s.items()],
        "joined": [(k, v, r.get(k)) for k, v in s.items()],
        "met": [(k, v + r[k]) for k, v in s.items() if k in r and v != r[k]],
        "pairs": [
            (k, j) for k, v in s.items() for j, w in r.items() if v == w and k // 10 == j // 10
        ],
        "chain": [(k, r.get(then[k]), q.get(last.get(k, -1))) for k in s],
        "grouped": [(*group, groups.count(group)) for group in set(groups)],
    }
    return sorted(said[table], key=repr)


def rows(project: SmallProject, node: str, at: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(r.values()) for r in project.current(node, at)), key=repr)


def month(number: int, day: int = 1) -> str:
    return f"2020-{number:02}-{day:02}"


@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(lanes=st.lists(_LANE, min_size=LANES, max_size=LANES))
def test_what_is_appended_says_what_a_full_build_says_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, lanes: list[list[tuple[Rows, Rows, Rows]]]
) -> None:
    project = SmallProject(tmp_path_factory.mktemp("tables"))
    for name in "srq":
        project.source(name, COLUMNS, "key: k\n")
    for name, select in TABLES.items():
        project.write(f"tables/{name}.sql", select)
    history = []
    for run in range(RUNS):
        now = tuple(
            {lane * 10 + k: v for lane, runs in enumerate(lanes) for k, v in runs[run][i].items()}
            for i in (0, 1, 2)
        )
        for name, held in zip("srq", now, strict=True):
            project.csv(f"feeds/{name}/a.csv", "k,v", held.items())
        done = [e for e in project.run(month(run + 1)) if isinstance(e.step, Build)]
        assert all(isinstance(e.result, Done) for e in done)
        if run:
            appended = {
                e.step.node for e in done if isinstance(e.step, Build) and not e.step.replace
            }
            assert appended == {e.step.node for e in done}
        history.append(now)
    anew = [name for name in TABLES if name != "grouped"]  # that one reads the rows of its moment
    for name in anew:
        project.write(f"tables/{name}_anew.sql", TABLES[name])
    project.run(month(RUNS))
    for run, now in enumerate(history, start=1):
        for name in TABLES:
            said = expected(name, *now)
            assert rows(project, f"tables.{name}", month(run, 15)) == said, (name, run)
            if name in anew:
                assert rows(project, f"tables.{name}_anew", month(run, 15)) == said, (name, run)


_LATE = st.lists(  # (key, value, month in which it was known), as they land run by run
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=4),
    min_size=RUNS,
    max_size=RUNS,
)
JOINS = {
    "left": "select a.k, a.v, b.k as j, b.v as w from s a left join r b on a.v = b.v "
    "and a.lane = b.lane",
    "inner": "/* key: k */ select a.k, b.v as w from s a join r b on a.k = b.k and b.v > 0",
    "moves": "/* key: w */ select a.lane * 10 + b.v as w, a.k from s a join r b on a.k = b.k "
    "where a.v = 0 and a.k % 10 = 0",
    "chosen": "select a.k, b.v as w from s a left join r b on a.k = b.k where b.v <> 1 or a.v = 2",
}


@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(lanes=st.lists(st.tuples(_LATE, _LATE), min_size=2 * LANES, max_size=2 * LANES))
def test_a_join_heeds_what_lands_after_later_rows(
    tmp_path_factory: pytest.TempPathFactory, lanes: list[tuple[Any, Any]]
) -> None:
    """A back-fill brings rows that were known before others that are there already."""
    project = SmallProject(tmp_path_factory.mktemp("late"))
    columns = {**COLUMNS, "lane": "bigint", "at": "timestamptz"}
    for name in "sr":
        project.source(name, columns, "key: k\nknown_at: at\nbackfill_until: 2030-01-01\n")
    for name, select in JOINS.items():
        project.write(f"tables/{name}.sql", select)
    for run in range(RUNS):
        for i, name in enumerate("sr"):
            held = [
                (lane * 10 + k, v, lane, month(known))
                for lane, runs in enumerate(lanes)
                for k, (v, known) in runs[i][run].items()
            ]
            project.csv(f"feeds/{name}/{run}.csv", "k,v,lane,at", held)
        done = [e for e in project.run(month(run + 1)) if isinstance(e.step, Build)]
        assert {type(e.result) for e in done} <= {Done}
        assert not run or not any(e.step.replace for e in done if isinstance(e.step, Build))
    for name, select in JOINS.items():
        project.write(f"tables/{name}_anew.sql", select)
    project.run(month(RUNS))
    for day in (month(number, 15) for number in range(1, 12)):
        for name in JOINS:
            said, anew = (rows(project, f"tables.{n}", day) for n in (name, f"{name}_anew"))
            assert said == anew, (name, day)


def test_a_static_input_builds_nothing_and_is_joined_as_it_is(project: SmallProject) -> None:
    project.source("r", COLUMNS, "key: k\n")
    project.csv("feeds/r/a.csv", "k,v", [(1, 1), (2, 2)])
    project.write(
        "tables/t.sql",
        "/*\nkey: k\nstatic: [r]\n*/ select a.k, b.v as w from s a left join r b using (k)",
    )
    project.run(month(1))
    project.csv("feeds/r/a.csv", "k,v", [(1, 7), (2, 8)])
    assert {e.step.node for e in project.run(month(2))} == {"sources.r", "publication"}
    project.csv("feeds/s/a.csv", "k,v", [(1, 11), (2, 10), (3, 30)])
    project.run(month(3))
    assert rows(project, "tables.t", month(4)) == [(1, 7), (2, 2), (3, None)]


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    small.source("s", COLUMNS, "key: k\n")
    small.csv("feeds/s/a.csv", "k,v", [(1, 10), (2, 10), (3, 30)])
    return small


def built(project: SmallProject, now: str, table: str) -> Result:
    (found,) = (e.result for e in project.run(now) if e.step.node == f"tables.{table}")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("select", "count"),
    [
        ("/* key: v */ select v, k from s", 1),
        ("/* key: v */ select a.v, b.k from s a join s b on a.v = b.v and a.k <= b.k", 2),
        ("/* key: v */ select v, count(*) as n from s group by v, k", 1),
        ("/* key: [v, k] */ select v, k from s", 0),
    ],
    ids=["row by row", "by a join", "by groups", "no"],
)
def test_a_key_that_two_rows_have_at_once_blocks(
    project: SmallProject, select: str, count: int
) -> None:
    project.write("tables/t.sql", select)
    result = built(project, month(1), "t")
    if count:
        assert isinstance(result, Blocked)
        assert [(f.rule, f.count) for f in result.findings] == [("key", count)]
        assert "tables.t" not in project.loop().published()
    else:
        assert isinstance(result, Done)


def test_rows_that_break_a_rule_are_held_back_and_references_warn(project: SmallProject) -> None:
    project.source("r", {"v": "bigint"}, "key: v\n")
    project.csv("feeds/r/a.csv", "v", [(10,)])
    project.write("tables/t.sql", "/* key: k */ select k, v from s")
    project.write("tables/after.sql", "/* key: k */ select k from t")
    rules: dict[str, dict[str, Any]] = {
        "k": {"logicalTypeOptions": {"maximum": 2}},
        "v": {"relationships": [{"to": "r.v"}]},
    }
    project.contract("tables/t", COLUMNS, rules=rules)
    result = built(project, month(1), "t")
    assert isinstance(result, Done)
    assert [(f.rule, str(f.severity), f.count) for f in result.findings] == [
        ("k.range", "quarantine", 1),
        ("v.reference", "warn", 1),
    ]
    assert [(v["rule"], v["reason"]) for v in project.verdicts("tables.t")] == [
        ("k.range", "k is 3, not at most 2")
    ]
    assert rows(project, "tables.t", month(2)) == [(1, 10), (2, 10)]
    assert rows(project, "tables.after", month(2)) == [(1,), (2,)]


def test_a_block_leaves_the_last_good_version_and_its_readers(project: SmallProject) -> None:
    project.write("tables/t.sql", "/* key: k */ select k, v from s")
    project.write("tables/after.sql", "/* key: k */ select k, v + 1 as v from t")
    at_most = {"metric": "rowCount", "mustBeLessOrEqualTo": 3, "severity": "error"}
    project.contract("tables/t", COLUMNS, quality=[at_most])
    project.run(month(1))
    project.csv("feeds/s/a.csv", "k,v", [(1, 11), (2, 20), (3, 30), (4, 40)])
    events = project.run(month(2))
    assert {e.step.node: type(e.result).__name__ for e in events} == {
        "sources.s": "Done", "tables.t": "Blocked", "publication": "Done",
    }  # fmt: skip
    for table, first in (("t", 10), ("after", 11)):
        assert rows(project, f"tables.{table}", month(3))[0] == (1, first)
    assert project.plan(month(3)) == ()
    project.csv("feeds/s/a.csv", "k,v", [(1, 11), (2, 20), (3, 30)])
    project.run(month(3))
    assert rows(project, "tables.after", month(3, 2)) == [(1, 12), (2, 21), (3, 31)]


def test_a_new_column_is_there_for_all_rows_and_builds_nothing_else(project: SmallProject) -> None:
    project.write("tables/t.sql", "/* key: k */ select k, v from s")
    project.write("tables/after.sql", "/* key: k */ select k, v from t")
    project.run(month(1))
    project.csv("feeds/s/a.csv", "k,v", [(1, 11), (2, 10)])
    project.run(month(2))
    project.write("tables/t.sql", "/* key: k */ select k, v, v * 2 as twice from s")
    assert [e.step.node for e in project.run(month(3))] == ["tables.t", "publication"]
    assert rows(project, "tables.t", month(1, 2)) == [(1, 10, 20), (2, 10, 20), (3, 30, 60)]
    assert rows(project, "tables.t", month(3)) == [(1, 11, 22), (2, 10, 20)]
    # What was built from the rows that were replaced is built anew with the next data.
    project.csv("feeds/s/a.csv", "k,v", [(1, 12), (2, 10)])
    project.run(month(4))
    assert rows(project, "tables.after", month(5)) == [(1, 12), (2, 10)]
    assert rows(project, "tables.after", month(1, 2)) == [(1, 10), (2, 10), (3, 30)]


def test_a_changed_rule_reaches_the_tables_that_read_its_rows(project: SmallProject) -> None:
    project.write("tables/t.sql", "/* key: k */ select k, v from s")
    project.write("tables/after.sql", "/* key: k */ select k from t")
    project.write("tables/total.sql", "/* key: v */ select v, count(*) as n from t group by v")
    project.run(month(1))
    for number, (rules, held) in enumerate(
        [({"k": {"logicalTypeOptions": {"minimum": 2}}}, {"k.range": 1}), ({}, {})], start=2
    ):
        project.contract("tables/t", COLUMNS, rules=rules)
        result = built(project, month(number), "t")
        assert isinstance(result, Done)
        assert result.facts["held_back"] == held
        left = [(k,) for k in (1, 2, 3) if not held or k > 1]
        assert rows(project, "tables.after", month(number)) == left
        assert rows(project, "tables.after", month(1, 2)) == left
        assert rows(project, "tables.total", month(number)) == [(10, len(left) - 1), (30, 1)]
        assert project.plan(month(number)) == ()


def test_a_corrected_row_repeats_nobodys_value(project: SmallProject) -> None:
    project.csv("feeds/s/a.csv", "k,v", [(1, 10), (2, 20), (3, 30)])
    project.write("tables/t.sql", "select k, v, v % 7 as w from s")
    project.contract("tables/t", COLUMNS | {"w": "bigint"}, rules={"v": {"unique": True}})
    project.run(month(1))
    project.csv("feeds/s/a.csv", "k,v", [(1, 11), (2, 20), (3, 31)])
    project.run(month(2))
    project.csv("feeds/s/a.csv", "k,v", [(1, 10), (2, 21), (3, 21)])
    project.run(month(3))
    assert [v["reason"] for v in project.verdicts("tables.t")] == [
        "v 21: an earlier row has the same"
    ]
    project.contract(
        "tables/t",
        COLUMNS | {"w": "bigint"},
        rules={"v": {"unique": True}, "w": {"required": True}},
    )
    project.run(month(3))
    assert [v["reason"] for v in project.verdicts("tables.t")] == [
        "v 21: an earlier row has the same"
    ]
    assert rows(project, "tables.t", month(4)) == [(1, 10, 3), (2, 21, 0), (3, 31, 3)]


def test_a_group_that_comes_back_counts_from_its_return(project: SmallProject) -> None:
    project.write("tables/t.sql", "select v, count(*) as n from s group by v")
    for number, held in enumerate(([(1, 10), (2, 20)], [(2, 20)], [(1, 10), (2, 20)]), start=1):
        project.csv("feeds/s/a.csv", "k,v", held)
        project.run(month(number))
        assert rows(project, "tables.t", month(number)) == [(v, 1) for _, v in held]
    assert rows(project, "tables.t", month(2, 15)) == [(20, 1)]


def test_rows_that_a_table_leaves_out_build_nothing_further(project: SmallProject) -> None:
    project.write("tables/t.sql", "/* key: k */ select k, v from s where v > 5")
    project.write("tables/after.sql", "/* key: k */ select k, v from t")
    project.run(month(1))
    project.csv("feeds/s/b.csv", "k,v", [(9, 1)])
    nodes = [e.step.node for e in project.run(month(2))]
    assert nodes == ["sources.s", "tables.t", "publication"]
    assert project.plan(month(2)) == ()
