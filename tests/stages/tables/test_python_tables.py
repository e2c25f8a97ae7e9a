"""Tables that a function gives: what it is given, what becomes of its rows, what builds it anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import Blocked, Build, Done, Failed, Result
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "g": "varchar", "v": "double", "at": "timestamptz"}
SOURCE = "key: k\nknown_at: at\nbackfill_until: 2020-03-01\n"
ROWS = [(1, "a", 1.5, "2020-01-01"), (2, "a", None, "2020-01-02"), (3, "b", 3, "2020-02-01")]
TOTALS = """
    import pandas as pd
    from lichen import table

    @table(key="g", columns={"g": "varchar", "n": "bigint", "v": "double"})
    def totals(s: pd.DataFrame):
        found = s.groupby("g").agg(n=("k", "count"), v=("v", "sum"), _known_at=("_known_at", "max"))
        return found.reset_index()
    """


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    small.source("s", COLUMNS, SOURCE)
    small.csv("feeds/s/a.csv", "k,g,v,at", ROWS)
    return small


def built(project: SmallProject, now: str, table: str) -> Result | None:
    """Run at a time; returns what came of a table's build, None where none was due."""
    found = [e.result for e in project.run(now) if e.step.node == f"tables.{table}"]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("imports", "annotation", "body"),
    [
        ("", "", 'return s.select(["k", "v", "_known_at"])'),
        ("", ": 'arro3.core.Table'", 'return s.select(["k", "v", "_known_at"])'),
        ("import pandas as pd", ": pd.DataFrame", 'return s[["k", "v", "_known_at"]]'),
        ("from pandas import DataFrame", ": DataFrame", 'return s[["k", "v", "_known_at"]]'),
        ("import polars as pl", ": pl.DataFrame", 'return s.select("k", "v", "_known_at").lazy()'),
    ],
)
def test_rows_are_given_as_the_annotation_says(
    project: SmallProject, imports: str, annotation: str, body: str
) -> None:
    if "polars" in imports:
        pytest.importorskip("polars")
    project.write(
        "tables/t.py",
        f"{imports}\nfrom lichen import table\n\n\n"
        '@table(key="k", columns={"k": "bigint", "v": "double"})\n'
        f"def t(s{annotation}):\n    {body}\n",
    )
    assert isinstance(built(project, "2020-03-01", "t"), Done)
    rows = [(r["k"], r["v"], f"{r['_known_at']:%m-%d}") for r in project.versions("tables.t")]
    assert rows == [(1, 1.5, "01-01"), (2, None, "01-02"), (3, 3.0, "02-01")]


def test_what_says_no_known_at_is_known_from_the_build_on(project: SmallProject) -> None:
    project.write("tables/t.py", TOTALS.replace(', _known_at=("_known_at", "max")', ""))
    project.write("tables/t.py", (project.root / "tables/t.py").read_text().replace("totals", "t"))
    built(project, "2020-03-01", "t")
    assert project.current("tables.t", "2020-02-29") == []
    assert len(project.current("tables.t", "2020-03-01")) == 2


_FILE = st.dictionaries(
    st.integers(0, 5), st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=6
)


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(runs=st.lists(_FILE, min_size=3, max_size=3))
def test_a_function_makes_the_versions_that_its_sql_twin_makes(
    tmp_path_factory: pytest.TempPathFactory, runs: list[dict[int, tuple[str, int]]]
) -> None:
    project = SmallProject(tmp_path_factory.mktemp("twins"))
    project.source("s", COLUMNS, SOURCE)
    project.write("tables/totals.py", TOTALS)
    project.write(
        "tables/twin.sql",
        "/* key: g */ select g, count(k) as n, coalesce(sum(v), 0) as v from s group by g",
    )
    for number, rows in enumerate(runs, start=1):
        lines = [(k, g, v, "2020-01-01") for k, (g, v) in rows.items()]
        project.csv("feeds/s/a.csv", "k,g,v,at", lines)
        for event in project.run(f"2020-03-{number:02}"):
            assert isinstance(event.result, Done)
    mine, twin = (
        [_bare(row) for row in project.versions(f"tables.{n}")] for n in ("totals", "twin")
    )
    assert mine == twin


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in row.items() if n != "_row"} | {"commit": row["_row"] >> 32}


def test_nothing_new_builds_nothing(project: SmallProject) -> None:
    project.write("tables/totals.py", TOTALS)
    assert isinstance(built(project, "2020-03-01", "totals"), Done)
    assert built(project, "2020-03-02", "totals") is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def totals(s: pd.DataFrame):", 'def totals(s: pd.DataFrame):\n    "Sums."', None),
        ('key="g",', 'key="g", note="for people",', None),
        ("(k, 1)", "(k,   1)  # a remark", None),
        ("(k, 1)", "(k, 2)", "its code or what it reads changed"),
        ('"v": "double"', '"v": "float"', "v changed"),
    ],
)
def test_what_a_change_means_counts(
    project: SmallProject, old: str, new: str, reason: str | None
) -> None:
    project.write("parts.py", "def more(k):\n    return max(k, 1)\n")
    text = TOTALS.replace("import pandas", "from parts import more\n    import pandas")
    project.write("tables/totals.py", text.replace("return found", "return more(1) and found"))
    built(project, "2020-03-01", "totals")
    for file in ("parts.py", "tables/totals.py"):
        path = project.root / file
        path.write_text(path.read_text().replace(old, new))
    reasons = [s.reason for s in project.plan("2020-03-01") if isinstance(s, Build)]
    assert reasons == ([reason] if reason else [])


def test_the_contract_beside_it_gives_types_and_holds_rows_back(project: SmallProject) -> None:
    project.write(
        "tables/t.py",
        "from lichen import table\n\n\n"
        '@table(key="k")\ndef t(s):\n    return s.select(["k", "v"])\n',
    )
    project.contract("tables/t", {"k": "bigint", "v": "float"}, rules={"v": {"required": True}})
    assert isinstance(built(project, "2020-03-01", "t"), Done)
    assert [row["rule"] for row in project.verdicts("tables.t")] == ["v.not_null"]
    record = project.loop().published()["tables.t"]
    assert dict(record.facts["columns"])["v"] == "FLOAT"


def test_an_error_names_the_last_line_of_the_users_code(project: SmallProject) -> None:
    project.write("parts.py", "def half(x):\n    # not a number\n    return x / 0\n")
    project.write(
        "tables/t.py",
        "from lichen import table\nfrom parts import half\n\n\n"
        '@table(key="k", columns={"k": "bigint"})\ndef t(s):\n    return half(1)\n',
    )
    failed = built(project, "2020-03-01", "t")
    assert isinstance(failed, Failed)
    assert failed.error.startswith(
        f"{project.root}/parts.py:3: t did not finish: ZeroDivisionError"
    )


def test_a_repeated_key_blocks(project: SmallProject) -> None:
    project.write("tables/totals.py", TOTALS.replace('key="g"', 'key="n"').replace(
        "return found.reset_index()", "return found.reset_index().assign(n=1)"))  # fmt: skip
    blocked = built(project, "2020-03-01", "totals")
    assert isinstance(blocked, Blocked)
    assert "repeats the key n" in blocked.findings[0].message


def test_projects_do_not_see_each_others_modules(tmp_path: Path) -> None:
    for name, factor in (("one", 1), ("two", 2)):
        project = SmallProject(tmp_path / name)
        project.source("s", COLUMNS, SOURCE)
        project.csv("feeds/s/a.csv", "k,g,v,at", ROWS)
        project.write("lichen_test_parts.py", f"FACTOR = {factor}\n")
        project.write(
            "tables/t.py",
            "import pandas as pd\nfrom lichen import table\n"
            "from lichen_test_parts import FACTOR\n\n\n"
            '@table(key="k", columns={"k": "bigint"})\n'
            'def t(s: pd.DataFrame):\n    return (s[["k"]] * FACTOR)\n',
        )
        project.run("2020-03-01")
        keys = [row["k"] for row in project.versions("tables.t")]
        assert keys == [factor, 2 * factor, 3 * factor]
        assert not list(project.root.rglob("__pycache__"))
    assert "lichen_test_parts" not in sys.modules


def test_a_function_by_its_own_name_may_read_what_its_arguments_cannot_say(
    project: SmallProject,
) -> None:
    project.write(
        "tables/s.py",
        "from lichen import table\n\n\n"
        '@table(key="k", columns={"k": "bigint"}, inputs=["sources.s"])\n'
        'def rows(them, most=2):\n    return them.select(["k"]).slice(0, most)\n',
    )
    assert isinstance(built(project, "2020-03-01", "s"), Done)
    assert [row["k"] for row in project.current("tables.s", "2020-03-01")] == [1, 2]
