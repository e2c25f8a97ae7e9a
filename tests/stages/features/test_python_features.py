"""Features that a function gives answer as SQL features over the same rows do."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlglot import exp

from lichen.core.sql import col, lit
from lichen.core.time import instant
from lichen.stages.context import Shelf
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features
from lichen.testing.project import SmallProject

SQL = """
    /*
    entity: who
    event_time: at
    known_at: at + interval 1 hour
    max_age: 10 days
    */
    select who, at, v * 2 as twice from s
    """
PYTHON = """
    import pandas as pd
    from lichen import features

    @features(
        entity="who",
        event_time="at",
        known_at="at + interval 1 hour",
        max_age="10 days",
        columns={"who": "varchar", "at": "timestamptz", "twice": "double"},
    )
    def python(s: pd.DataFrame):
        return s.assign(twice=s["v"] * 2)[["who", "at", "twice", "_known_at"]]
    """


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    columns = {"k": "bigint", "who": "varchar", "at": "timestamptz", "v": "double"}
    small.source("s", columns, "key: k\nknown_at: at\nbackfill_until: 2020-02-01\n")
    rows = [(i, "ab"[i % 2], f"2020-01-{1 + i:02}", i) for i in range(12)]
    small.csv("feeds/s/a.csv", "k,who,at,v", rows)
    small.write("features/sql.sql", SQL)
    small.write("features/python.py", PYTHON)
    return small


def answers(project: SmallProject, name: str) -> list[float | None]:
    """Ask about each entity at many moments."""
    loop = project.loop()
    node = next(f for f in loop.project.of(Features) if f.name.name == name)
    reads = [str(read) for read in loop.project.reads[node.name]]
    shelf = Shelf(loop.published(), loop.lake)
    moments = [
        f"2020-{m:02}-{d:02}T{h}:00" for m in (1, 2) for d in (1, 6, 11, 20) for h in ("00", "01")
    ]
    asked = [
        exp.select(
            exp.alias_(lit(i), "_q"),
            exp.alias_(lit(instant(at)), "_at"),
            exp.alias_(lit(who), "who"),
        )
        for i, (at, who) in enumerate((at, who) for at in moments for who in "ab")
    ]
    query = answer(
        exp.select(*map(col, ("_q", "_at", "who"))).from_(exp.union(*asked).subquery("a")),
        [compiled(node, {read: shelf.versions(read) for read in reads})],
    )
    rows = loop.engine.rows(query.order_by(col("_q", "q")), shelf.relations(reads))
    return [row[f"{name}__twice"] for row in rows]


def test_a_function_answers_as_sql_does(project: SmallProject) -> None:
    project.run("2020-02-01")
    told = answers(project, "sql")
    assert answers(project, "python") == told
    assert 2 * 11.0 in told
    assert None in told


def test_what_arrives_later_is_known_from_its_arrival_on(project: SmallProject) -> None:
    project.run("2020-02-01")
    project.csv(
        "feeds/s/b.csv", "k,who,at,v", [(50, "a", "2020-02-05", 50), (51, "b", "2020-01-02", 0)]
    )
    project.run("2020-02-06")
    told = answers(project, "sql")
    assert answers(project, "python") == told
    assert 100.0 in told


def test_its_rows_are_a_table_of_its_name(project: SmallProject) -> None:
    project.run("2020-02-01")
    rows = project.loop().query("select count(*) as n from python").rows
    assert rows[0]["n"] == 12
    told = project.loop().show("features.python")
    assert [i["node"] for i in told["inputs"]] == ["tables.python"]


def test_a_run_warns_where_nothing_says_when_rows_were_known(project: SmallProject) -> None:
    project.write("features/undated.py", PYTHON.replace(', "_known_at"', ""))
    project.write("tables/plain.py", TABLE)

    def warned(now: str) -> dict[str, list[str]]:
        found = ((e.step.node, getattr(e.result, "findings", ())) for e in project.run(now))
        return {
            node: [f"{f.severity} {f.rule}: {f.message}" for f in fs] for node, fs in found if fs
        }

    since = "known only from this run on, and no question about an earlier time sees them"
    assert warned("2020-02-01") == {
        "tables.undated": [
            f"warn known_at: 12 rows count as {since}: python returns no column _known_at"
        ]
    }
    (shown,) = project.loop().show("tables.undated")["findings"]
    assert (shown["rule"], shown["count"]) == ("known_at", 12)
    rows = [(50, "a", "2020-02-05", 50)]
    project.csv("feeds/s/b.csv", "k,who,at,v", rows)
    (message,) = warned("2020-02-06")["tables.undated"]
    assert message.startswith("warn known_at: 1 row counts as known only from this run on")
    assert project.plan("2020-02-06") == ()


TABLE = """
    from lichen import table

    @table(key="who", columns={"who": "varchar"})
    def plain(s):
        return s.select(["who"]).slice(0, 1)
    """
