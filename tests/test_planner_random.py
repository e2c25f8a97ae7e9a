"""Random projects and random edits: runs come to rest, and tables say what plain SQL says."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import AnyStep, Build, Publish
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "v": "bigint"}
# SELECTs over one or two relations; each has the key k and the number v.
SHAPES = (
    "/* key: k */ select k, v + {n} as v from {a}",
    "/* key: k */ select k, v * 2 as v from {a} where v % 4 <> {n}",
    "/* key: k */ select k % {n1} as k, sum(v)::bigint as v from {a} group by 1",
    "/* key: k */ select a.k, a.v + coalesce(b.v, {n}) as v from {a} a left join {b} b using (k)",
    "/* key: k */ select a.k, a.v - b.v as v from {a} a join {b} b on a.k = b.k where b.v > {n}",
)
Node = tuple[int, int, int, int]  # shape, first input, second input (counted back), number
_NODES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)),
    min_size=3,
    max_size=4,
)
_FEEDS = st.dictionaries(st.integers(0, 7), st.integers(0, 9), max_size=8)
_EDIT = st.one_of(
    st.tuples(st.just("feed"), st.integers(0, 1), _FEEDS),
    st.tuples(st.just("node"), st.integers(0, 4), st.integers(0, 2)),
)


class Random:
    """Two sources s0 and s1, then tables t0, t1, … that read any of what comes before them."""

    def __init__(self, root: Path, nodes: list[Node], feeds: list[dict[int, int]]) -> None:
        self.project = SmallProject(root)
        self.nodes, self.feeds = nodes, feeds
        for index in (0, 1):
            self.project.source(f"s{index}", COLUMNS, "key: k\n")
            self.write_feed(index)
        for index in range(len(nodes)):
            self.write_node(index)

    def write_feed(self, index: int) -> None:
        self.project.csv(f"feeds/s{index}/a.csv", "k,v", self.feeds[index].items())

    def write_node(self, index: int) -> None:
        self.project.write(f"tables/t{index}.sql", self.select(index))

    def select(self, index: int) -> str:
        shape, _, _, n = self.nodes[index]
        a, b = self.inputs(index)
        return SHAPES[shape].format(a=a, b=b, n=n, n1=n + 1)

    def inputs(self, index: int) -> tuple[str, str]:
        before = ["s0", "s1", *(f"t{i}" for i in range(index))]
        _, a, b, _ = self.nodes[index]
        return before[-min(a, len(before))], before[-min(b, len(before))]

    def read(self, index: int) -> tuple[str, ...]:
        return self.inputs(index) if self.nodes[index][0] > 2 else self.inputs(index)[:1]

    def expected(self) -> dict[str, list[tuple[int, int]]]:
        """Return what DuckDB itself says, from the feeds and the SELECTs."""
        found = {}
        with duckdb.connect() as db:
            for index, feed in enumerate(self.feeds):
                db.execute(f"create table s{index} (k bigint, v bigint)")
                db.executemany(f"insert into s{index} values (?, ?)", [[-1, 0], *feed.items()])  # noqa: S608
                db.execute(f"delete from s{index} where k < 0")  # noqa: S608
            for index in range(len(self.nodes)):
                db.execute(f"create table t{index} as {self.select(index)}")
                rows = db.execute(f"select k, v from t{index}").fetchall()  # noqa: S608
                found[f"t{index}"] = sorted(rows)
        return found

    def downstream(self, node: str) -> set[str]:
        reads = {f"t{i}": set(self.read(i)) for i in range(len(self.nodes))}
        found: set[str] = set()
        while more := {t for t, read in reads.items() if read & ({node} | found)} - found:
            found |= more
        return found


def _short(node: str) -> str:
    return node.partition(".")[2]


def _check_order(steps: tuple[AnyStep, ...], random: Random) -> None:
    places = {step.node: place for place, step in enumerate(steps)}
    for step in steps:
        assert all(places[node] < places[step.node] for node in step.after)
        if not isinstance(step, Publish):
            assert {_short(n) for n in step.downstream} == random.downstream(_short(step.node))
        if isinstance(step, Build):
            upcoming = {i.node for i in step.inputs if i.node in places}
            assert upcoming == set(step.after)
            assert all((i.sequence is None) == (i.node in places) for i in step.inputs)


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(nodes=_NODES, feeds=st.tuples(_FEEDS, _FEEDS), edits=st.lists(_EDIT, min_size=1, max_size=3))
def test_runs_come_to_rest_and_say_what_plain_sql_says(
    tmp_path_factory: pytest.TempPathFactory,
    nodes: list[Node],
    feeds: tuple[dict[int, int], dict[int, int]],
    edits: list[tuple[str, int, object]],
) -> None:
    random = Random(tmp_path_factory.mktemp("random"), nodes, list(feeds))
    _run(random, "2020-01-01")
    for month, (what, index, value) in enumerate(edits, start=2):
        if what == "feed":
            assert isinstance(value, dict)
            random.feeds[index] = value
            random.write_feed(index)
        else:
            index %= len(nodes)
            shape, a, b, _ = random.nodes[index]
            assert isinstance(value, int)
            random.nodes[index] = (shape, a, b, value)
            random.write_node(index)
        _run(random, f"2020-{month:02}-01")


def _run(random: Random, now: str) -> None:
    _check_order(random.project.plan(now), random)
    events = random.project.run(now)
    assert not [e for e in events if not hasattr(e.result, "facts")], events
    assert random.project.plan(now) == ()
    for table, rows in random.expected().items():
        found = random.project.current(f"tables.{table}", now)
        assert sorted((row["k"], row["v"]) for row in found) == rows, table
