"""Unit tests of nodes: what is given, what comes out, and what a difference says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lichen.testing.project import SmallProject
from lichen.units.run import Verdict

COLUMNS = {"k": "bigint", "g": "varchar", "v": "double", "at": "timestamptz"}
NODES = {
    "tables/big.sql": "/* key: k */ select k, g, v, at from s where v > 1",
    "tables/paired.sql": "/* key: k */\n"
    "select b.k, b.v, t.n from big b left join totals t using (g)",
    "tables/totals.sql": "/* key: g */ select g, count(*) as n, sum(v) as v from s group by g",
    "tables/given.py": """
        import pandas as pd
        from lichen import table

        @table(key="g", columns={"g": "varchar", "v": "double"})
        def given(s: pd.DataFrame):
            return s.groupby("g", as_index=False)["v"].max()
        """,
    "features/load.sql": "/*\nentity: g\nevent_time: at\nwindow: [2 hours]\n*/\n"
    "select sum(v) as v, count(*) as n from big",
    "features/newest.sql": "/*\nentity: g\nevent_time: at\nmax_age: 1 day\n*/\n"
    "select g, at, v from big",
    "features/asked.sql": "/* at: request */ select upper(g) as g, v + 1 as more from request",
    "features/last.py": """
        from lichen import features

        @features(entity="g", event_time="at",
                  columns={"g": "varchar", "at": "timestamptz", "v": "double"})
        def last(s):
            return s.select(["g", "at", "v", "_known_at"])
        """,
    "outcomes/high.sql": "/*\nkey: k\nentities: [g]\npredict_at: at - interval 1 hour\n"
    "label: n > 1\nknown_at: at + interval 1 day\n*/\n"
    "select b.k, b.g, b.v, b.at, t.n from big b left join totals t using (g)",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    small = SmallProject(Path(tmp_path_factory.mktemp("tested")))
    rules: dict[str, dict[str, Any]] = {
        "v": {"logicalTypeOptions": {"maximum": 100}},
        "g": {"required": True},
    }
    small.source("s", COLUMNS, "key: k\nknown_at: at + interval 1 hour\n", rules=rules)
    for path, text in NODES.items():
        small.write(path, text)
    small.contract("tables/big", {"k": "bigint", "v": "double"}, rules=rules | {"g": {}})
    return small


def verdict(project: SmallProject, node: str, case: str) -> Verdict:
    """Write one case of a node and run it."""
    project.write(f"tests/{node}.yml", f"cases:\n  it:\n{case}")
    (found,) = project.loop().test(node)
    (project.root / f"tests/{node}.yml").unlink()
    return found


PASSES: dict[str, tuple[str, str]] = {
    "row by row": (
        "tables.big",
        "    given: {s: [{k: 1, v: 1}, {k: 2, v: 2}]}\n    expect: [{k: 2, v: 2}]",
    ),
    "in any order, with any columns": (
        "tables.big",
        "    given: {s: [{k: 1, v: 5}, {k: 2, v: 6, g: a}]}\n    expect: [{g: a}, {k: 1}]",
    ),
    "nothing at all": ("tables.big", "    given: {s: []}\n    expect: []"),
    "CSV": (
        "tables.big",
        "    given:\n      s: |\n        k,v,at\n        1,5,2020-01-01\n        2,,\n"
        "    expect: |\n      k,v,at\n      1,5.0,2020-01-01T00:00Z",
    ),
    "a correction": (
        "tables.big",
        "    given:\n      s:\n        - {k: 1, v: 5, _known_at: 2020-01-01}\n"
        "        - {k: 1, v: 6, _known_at: 2020-01-02}\n"
        "    expect: [{v: 6, _known_at: 2020-01-02}]",
    ),
    "what was known before the correction": (
        "tables.big",
        "    now: 2020-01-01T23:00Z\n    given:\n      s:\n"
        "        - {k: 1, v: 5, _known_at: 2020-01-01}\n"
        "        - {k: 1, v: 6, _known_at: 2020-01-02}\n    expect: [{v: 5}]",
    ),
    "a deletion": (
        "tables.big",
        "    given:\n      s:\n        - {k: 1, v: 5, _known_at: 2020-01-01}\n"
        "        - {k: 1, v: 5, _known_at: 2020-01-02, _deleted: true}\n    expect: []",
    ),
    "the source's own known-at": (
        "tables.big",
        "    given: {s: [{k: 1, v: 5, at: 2020-01-01}]}\n"
        "    expect: [{_known_at: 2020-01-01T01:00Z}]",
    ),
    "a row that is not known yet": (
        "tables.big",
        "    given: {s: [{k: 1, v: 5, at: null}]}\n    expect: []",
    ),
    "an aggregate": (
        "tables.totals",
        "    given: {s: [{k: 1, g: a, v: 0.1}, {k: 2, g: a, v: 0.2}]}\n"
        "    expect: [{g: a, n: 2, v: 0.3}]",
    ),
    "a join of tables": (
        "tables.paired",
        "    given: {big: [{k: 1, g: a}, {k: 2, g: b}], totals: [{g: a, n: 7}]}\n"
        "    expect: [{k: 1, n: 7}, {k: 2, n: null}]",
    ),
    "a function": (
        "tables.given",
        "    given: {s: [{k: 1, g: a, v: 1}, {k: 2, g: a, v: 3}]}\n    expect: [{g: a, v: 3}]",
    ),
    "a rule of a table": (
        "tables.big",
        "    given: {s: [{k: 1, v: 101}, {k: 2, v: 100}]}\n    expect: [{k: 2}]\n"
        "    quarantine: {v.range: [{k: 1}]}",
    ),
    "rules of a source": (
        "sources.s",
        "    given: {s: [{k: 1, g: a, v: warm}, {k: 2, v: 500}, {k: 3, g: b, v: 1}]}\n"
        "    expect: [{k: 3}]\n"
        "    quarantine: {v.type: [{k: 1}], v.range: [{k: 2}], g.not_null: [{k: 2}]}",
    ),
    "a window": (
        "features.load",
        "    given: {big: [{k: 1, g: a, v: 1, at: 2020-01-01T10:00Z}, "
        "{k: 2, g: a, v: 2, at: 2020-01-01T11:00Z}]}\n    questions:\n"
        "      - {at: 2020-01-01T11:59Z, g: a, expect: {v_2h: 3, n_2h: 2}}\n"
        "      - {at: 2020-01-01T12:00Z, g: a, expect: {v_2h: 2}}\n"
        "      - {at: 2020-01-01T12:00Z, g: b, expect: {v_2h: null, n_2h: 0}}",
    ),
    "the newest row": (
        "features.newest",
        "    given: {big: [{k: 1, g: a, v: 1, at: 2020-01-01}]}\n    questions:\n"
        "      - {at: 2019-12-31, g: a, expect: null}\n"
        "      - {at: 2020-01-02, g: a, expect: {v: 1}}\n"
        "      - {at: 2020-01-02T00:01Z, g: a, expect: null}",
    ),
    "a row that comes late": (
        "features.newest",
        "    given: {big: [{k: 1, g: a, v: 1, at: 2020-01-01, _known_at: 2020-01-01T12:00Z}]}\n"
        "    questions:\n      - {at: 2020-01-01T11:59Z, g: a, expect: {v: null}}\n"
        "      - {at: 2020-01-01T12:00Z, g: a, expect: {v: 1}}",
    ),
    "a request": (
        "features.asked",
        "    questions:\n      - {g: a, v: 1, expect: {g: A, more: 2}}",
    ),
    "features of a function": (
        "features.last",
        "    given: {s: [{k: 1, g: a, v: 1, at: 2020-01-01}]}\n    questions:\n"
        "      - {at: 2020-01-01T00:59Z, g: a, expect: null}\n"
        "      - {at: 2020-01-01T01:00Z, g: a, expect: {v: 1}}",
    ),
    "an outcome": (
        "outcomes.high",
        "    now: 2020-01-02T12:00Z\n    given:\n"
        "      big: [{k: 1, g: a, at: 2020-01-01}, {k: 2, g: a, at: 2020-01-02}]\n"
        "      totals: [{g: a, n: 2}]\n    expect:\n"
        "      - {k: 1, label: true, predict_at: 2019-12-31T23:00Z, known_at: 2020-01-02}\n"
        "      - {k: 2, label: null, known_at: null}",
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_is_expected_passes(project: SmallProject, name: str) -> None:
    found = verdict(project, *PASSES[name])
    assert found.error is None
    assert found.differences == ()


_CHANGES: dict[str, tuple[str, str]] = {
    "row by row": ("expect: [{k: 2, v: 2}]", "expect: [{k: 2, v: 2.1}]"),
    "nothing at all": ("{s: []}", "{s: [{k: 1, v: 5}]}"),
    "CSV": ("1,5.0,2020-01-01T00:00Z", "1,5.0,2020-01-01T00:01Z"),
    "a correction": ("expect: [{v: 6", "expect: [{v: 5"),
    "a deletion": ("_deleted: true", "_deleted: false"),
    "a row that is not known yet": ("at: null", "at: 2020-01-01"),
    "a function": ("v: 3}]}\n", "v: 4}]}\n"),
    "an aggregate": ("n: 2", "n: 3"),
    "a join of tables": ("n: 7}, {k: 2", "n: 8}, {k: 2"),
    "a rule of a table": ("quarantine: {v.range: [{k: 1}]}", "quarantine: {v.range: [{k: 2}]}"),
    "rules of a source": ("v: warm", "v: 1"),
    "a window": ("n_2h: 2", "n_2h: 1"),
    "the newest row": ("2020-01-02T00:01Z", "2020-01-02T00:00Z"),
    "a row that comes late": ("T11:59Z", "T12:01Z"),
    "a request": ("more: 2", "more: 3"),
    "features of a function": ("T00:59Z", "T01:59Z"),
    "an outcome": ("label: true", "label: false"),
}


@pytest.mark.parametrize("name", _CHANGES)
def test_anything_else_fails(project: SmallProject, name: str) -> None:
    node, case = PASSES[name]
    old, new = _CHANGES[name]
    assert old in case
    found = verdict(project, node, case.replace(old, new))
    assert found.error is None
    assert found.differences


def test_no_ledger_and_no_lake_come_of_it(project: SmallProject) -> None:
    verdict(project, *PASSES["a join of tables"])
    assert not (project.root / ".lichen").exists()


def test_given_rows_say_what_landed_rows_say(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source(
        "s", COLUMNS, "key: k\nknown_at: at + interval 1 hour\nbackfill_until: 2020-02-01\n"
    )
    for path in ("tables/big.sql", "tables/totals.sql", "tables/paired.sql", "tables/given.py"):
        small.write(path, NODES[path])
    lines = [(1, "a", 5, "2020-01-01"), (2, "a", 0.5, "2020-01-02"), (3, "b", 7, "2020-01-03")]
    small.csv("feeds/s/a.csv", "k,g,v,at", lines)
    small.run("2020-02-01")
    text = (small.root / "feeds/s/a.csv").read_text()
    for node, read in (("big", "s"), ("totals", "s"), ("given", "s")):
        rows = [_plain(row) for row in small.current(f"tables.{node}", "2020-02-01")]
        given = f"{read}: |\n        " + text.replace("\n", "\n        ")
        found = verdict(small, node, f"    given:\n      {given}\n    expect: {rows}")
        assert found.passed, (node, found)
        assert rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {n: f"{v:%Y-%m-%dT%H:%M:%SZ}" if n == "at" else v for n, v in row.items()}


def test_an_error_of_one_case_leaves_the_others_going(project: SmallProject) -> None:
    project.write(
        "tests/big.yml",
        "cases:\n  broken:\n    given: {s: [{k: x}]}\n    expect: []\n"
        "  whole:\n    given: {s: []}\n    expect: []\n",
    )
    broken, whole = project.loop().test("big")
    (project.root / "tests/big.yml").unlink()
    assert (broken.passed, whole.passed) == (False, True)
    assert "tests/big.yml:3: k is a bigint, and 'x' is none" in str(broken.error)


def test_a_repeated_key_is_told(project: SmallProject) -> None:
    case = "    given: {s: [{k: 1, g: a}]}\n    expect: []"
    project.write("tables/each.sql", "/* key: g */ select g, k from s")
    found = verdict(project, "tables.each", case.replace("}]", "}, {k: 2, g: a}]"))
    (project.root / "tables/each.sql").unlink()
    assert "repeats the key g" in str(found.error)
