"""Looking back: past runs, what they published, the SQL behind a node, two versions compared."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lichen.core.errors import LedgerError, QueryError
from lichen.core.time import instant
from lichen.readers.compiled import compiled_sql
from lichen.readers.diff_versions import diff_versions
from lichen.readers.runs import past, runs
from lichen.testing.project import SmallProject

DAY = [f"2020-01-0{n}" for n in range(10)]
COLUMNS = {"k": "bigint", "name": "varchar", "v": "double"}


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    small.source("s", COLUMNS, "key: k\n", rules={"v": {"logicalTypeOptions": {"maximum": 99}}})
    small.write("tables/t.sql", "select k, name, v from s")
    small.csv("feeds/s/a.csv", "k,name,v", [(1, "a", 1), (2, "b", 2), (3, "c", 3), (4, "d", 999)])
    small.run(DAY[1])
    small.csv("feeds/s/a.csv", "k,name,v", [(1, "a", 1), (2, "b", 20), (5, "e", 5), (4, "d", 999)])
    small.run(DAY[2])
    return small


def listed(project: SmallProject) -> list[dict[str, Any]]:
    return list(runs(project.loop())["runs"])


def test_runs_are_listed_newest_first(project: SmallProject) -> None:
    project.write("tables/bad.sql", "/* key: k */ select k, name::bigint as n from s")
    project.run(DAY[3])
    assert [
        (r["now"][:10], r["outcome"], r["publication"], r["steps"], set(r["nodes"]))
        for r in listed(project)
    ] == [
        (DAY[3], "failed", None, {"failed": 1}, {"tables.bad"}),
        (DAY[2], "done", 2, {"done": 2}, {"sources.s", "tables.t"}),
        (DAY[1], "done", 1, {"done": 2}, {"sources.s", "tables.t"}),
    ]


def test_a_query_of_a_past_run(project: SmallProject) -> None:
    new, old = listed(project)
    loop, sql = project.loop(), "select k, v from t order by k"
    then = [{"k": 1, "v": 1.0}, {"k": 2, "v": 2.0}, {"k": 3, "v": 3.0}]
    now = [{"k": 1, "v": 1.0}, {"k": 2, "v": 20.0}, {"k": 5, "v": 5.0}]
    for run, expected in ((old["id"], then), ("20200101", then), ("1", then), (new["id"], now)):
        assert list(loop.query(sql, run=run).rows) == expected
    # A definition of today over versions of then: a query reads what the run made.
    project.write("tables/t.sql", "select k, name, v * 2 as v from s")
    project.run(DAY[3])
    assert list(project.loop().query(sql, run=old["id"]).rows) == then


def test_a_run_that_published_nothing_means_what_stood_then(project: SmallProject) -> None:
    project.write("tables/bad.sql", "/* key: k */ select k, name::bigint as n from s")
    project.run(DAY[3])
    found = past(project.loop(), listed(project)[0]["id"])
    assert (found.now, found.records["tables.t"].sequence) == (instant(DAY[3]), 2)


def test_no_such_run(project: SmallProject, tmp_path: Path) -> None:
    for id_, said in (
        ("nope", "there was no run 'nope'"),
        ("2020", "'2020' begins the ids of several runs"),
        ("0", "there was no publication 0"),
        ("7", "allowed: 1, 2"),
    ):
        with pytest.raises(LedgerError, match=said):
            past(project.loop(), id_)
    with pytest.raises(LedgerError, match="there was no run 'nope'"):
        past(SmallProject(tmp_path / "empty").loop(), "nope")
    assert runs(SmallProject(tmp_path / "empty").loop()) == {"runs": []}


@pytest.mark.parametrize("node", ["s", "t", "one", "asked", "day"])
def test_the_sql_of_a_node_reads_and_names_what_it_reads(tmp_path: Path, node: str) -> None:
    """It is there before anything ran, too."""
    small = SmallProject(tmp_path)
    small.source("s", COLUMNS | {"at": "timestamptz"}, "key: k\nknown_at: at\n")
    small.write("tables/t.sql", "select k, name, v, at from s")
    small.write(
        "features/one.sql", "/*\nentity: name\nevent_time: at\n*/\nselect name, at, v from t"
    )
    small.write("features/day.sql", "/*\nat: request\n*/\nselect day(at) as day from request")
    small.write(
        "outcomes/asked.sql",
        "/*\nkey: k\nentities: [name]\npredict_at: at\nlabel: v > 1\nknown_at: at\n*/\n"
        "select k, name, at, v from t",
    )
    told = compiled_sql(small.loop(), node, instant(DAY[1]))
    import sqlglot

    assert sqlglot.parse_one(told["sql"], dialect="duckdb")
    read = {"s": '"the file"', "t": '"sources.s"', "day": '"questions"'}.get(node, '"tables.t"')
    assert read in told["sql"]
    assert not (tmp_path / ".lichen").exists()


def test_rows_by_key(project: SmallProject) -> None:
    found = diff_versions(project.loop(), "t@1", "t")
    assert (found.left, found.right, found.definition) == (1, 2, ())
    assert dict(found.rows) == {
        "left": 3, "right": 3, "added": 1, "removed": 1, "changed": 1, "same": 1,
    }  # fmt: skip
    assert dict(found.changed) == {"v": 1}
    assert list(found.examples) == [{"key": "2", "changes": {"v": [2.0, 20.0]}}]
    back = diff_versions(project.loop(), "tables.t@2", "tables.t@1")
    assert (back.rows["added"], back.rows["removed"]) == (1, 1)
    assert list(back.examples) == [{"key": "2", "changes": {"v": [20.0, 2.0]}}]


def test_a_version_and_itself(project: SmallProject) -> None:
    found = diff_versions(project.loop(), "s@2", "s@2")
    assert (found.rows["same"], found.rows["left"]) == (3, 3)
    assert not (found.changed or found.columns or found.examples or found.definition)
    assert {value["distance"] for value in found.values} == {0.0}


def test_columns_and_definition(project: SmallProject) -> None:
    project.write("tables/t.sql", "select k, v::varchar as v, upper(name) as big from s")
    project.run(DAY[3])
    found = diff_versions(project.loop(), "t@2", "t@3")
    assert dict(found.columns) == {
        "name": ("VARCHAR", None), "v": ("DOUBLE", "VARCHAR"), "big": (None, "VARCHAR"),
    }  # fmt: skip
    assert found.definition[1:] == (
        "-select k, name, v from s", "+select k, v::varchar as v, upper(name) as big from s",
    )  # fmt: skip
    assert found.rows["changed"] == 0
    assert found.as_json()["columns"]["big"] == [None, "VARCHAR"]


def test_how_values_lie(tmp_path: Path) -> None:
    """The distance is that of Kolmogorov and Smirnov, or half the sum of the gaps."""
    rng, small = random.Random(4), SmallProject(tmp_path)
    small.source("s", COLUMNS | {"yes": "boolean"}, "key: k\n")
    sides = []
    for number, spread in ((1, 10), (2, 14)):
        rows = [
            (k, rng.choice(["a", "b", "c", None]), rng.choice([None, *range(spread)]), k % 3 == 0)
            for k in range(60)
        ]
        small.csv("feeds/s/a.csv", "k,name,v,yes", rows)
        small.run(DAY[number])
        sides.append(rows)
    found = {value["column"]: value for value in diff_versions(small.loop(), "s@1", "s@2").values}
    numbers = [sorted(r[2] for r in side if r[2] is not None) for side in sides]
    gaps = [
        abs(sum(x <= v for x in numbers[0]) / len(numbers[0])
            - sum(x <= v for x in numbers[1]) / len(numbers[1]))
        for v in range(14)
    ]  # fmt: skip
    assert found["v"]["distance"] == pytest.approx(max(gaps))
    texts = [[r[1] for r in side if r[1] is not None] for side in sides]
    shares = [{c: side.count(c) / len(side) for c in "abc"} for side in texts]
    assert found["name"]["distance"] == pytest.approx(
        sum(abs(shares[0][c] - shares[1][c]) for c in "abc") / 2
    )
    assert found["yes"]["distance"] == found["k"]["distance"] == 0
    for side, rows in (("left", sides[0]), ("right", sides[1])):
        told, values = found["v"][side], sorted(r[2] for r in rows if r[2] is not None)
        assert told["nulls"] == 60 - len(values)
        assert (told["least"], told["greatest"]) == (values[0], values[-1])
        assert told["mean"] == pytest.approx(sum(values) / len(values))
        assert told["distinct"] == len(set(values))
    assert found["name"]["left"]["top"][0][1] == max(texts[0].count(c) for c in "abc")


def test_mistakes(project: SmallProject) -> None:
    project.write("features/f.sql", "/*\nentity: k\nevent_time: now()\n*/\nselect k, v from t")
    loop = project.loop()
    for left, right, said in (
        ("t@1", "s@1", "versions of different nodes"),
        ("t@9", "t@1", r"allowed: tables\.t@1, tables\.t@2"),
        ("t@x", "t@1", "there is no version 't@x'"),
        ("f", "f", "keeps no versions"),
    ):
        with pytest.raises(QueryError, match=said):
            diff_versions(loop, left, right)
