"""Of what a function gives, `why` and `show` name the tables behind it, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from lichen.lineage.why import why
from lichen.testing.project import SmallProject


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    small = SmallProject(Path(tmp_path_factory.mktemp("by_function")))
    small.source("s", {"k": "bigint", "v": "double"}, "key: k\nbackfill_until: 2020-02-01\n")
    small.csv("feeds/s/a.csv", "k,v", [(1, 1), (2, 2)])
    small.write(
        "tables/t.py",
        "from lichen import table\n\n\n"
        '@table(key="k", columns={"k": "bigint", "v": "double"})\n'
        'def given(s):\n    return s.select(["k", "v"])\n',
    )
    small.write("tables/total.sql", "/* key: one */ select 1 as one, sum(v) as v from t")
    small.run("2020-02-01")
    small.csv("feeds/s/b.csv", "k,v", [(1, 9), (3, 3)])
    small.run("2020-02-02")
    small.csv("feeds/s/b.csv", "k,v", [(3, 3)])
    small.run("2020-02-03")
    return small


def test_a_row_names_the_tables_at_each_build(project: SmallProject) -> None:
    told = why(project.loop(), "tables.t:1").as_json()
    assert [v["rows"][0]["values"]["v"] for v in told["inputs"]][:2] == [1.0, 9.0]
    for version, at in zip(told["inputs"], (1, 2), strict=False):
        assert (version["lineage"], version["exact"]) == ("table", False)
        assert "given by the function given" in version["reason"]
        assert [(i["node"], i["version"]) for i in version["inputs"]] == [("sources.s", at)]


def test_a_row_of_a_reader_leads_to_the_rows_that_the_function_gave(project: SmallProject) -> None:
    told = why(project.loop(), "tables.total:1").as_json()
    (below,) = told["inputs"][0]["inputs"]
    assert (below["node"], len(below["rows"]), below["lineage"]) == ("tables.t", 2, "table")


def test_a_column_names_the_inputs(project: SmallProject) -> None:
    told = why(project.loop(), "tables.total.v").as_json()
    (column,) = told["inputs"]
    assert (column["node"], column["column"], column["lineage"]) == ("tables.t", "v", "table")
    assert [i["node"] for i in column["inputs"]] == ["sources.s"]


def test_the_table_itself_goes_down_to_files(project: SmallProject) -> None:
    told = why(project.loop(), "tables.t").as_json()
    assert (told["lineage"], told["function"]) == ("table", "given")
    assert {f["path"] for f in told["inputs"][0]["files"]} == {"feeds/s/a.csv", "feeds/s/b.csv"}


@pytest.mark.parametrize(("node", "says"), [("tables.t", "table"), ("tables.total", "row")])
def test_show_says_how_far_lineage_goes(project: SmallProject, node: str, says: str) -> None:
    assert project.loop().show(node)["lineage"] == says


def test_a_row_that_is_gone_came_from_nowhere(project: SmallProject) -> None:
    project.write("tables/each.sql", "/* key: v */ select v, count(*) as n from s group by v")
    project.run("2020-02-03")
    project.csv("feeds/s/b.csv", "k,v", [(3, 4)])
    project.run("2020-02-04")
    told = why(project.loop(), "tables.each:3.0").as_json()
    gone = told["inputs"][-1]["rows"][0]
    assert (gone["deleted"], gone["from"]) == (True, {"sources.s": []})
