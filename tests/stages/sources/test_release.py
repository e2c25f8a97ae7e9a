"""Released rows: known from the release on, whatever is judged, read or built again later."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lichen.core.errors import QuarantineError
from lichen.core.time import Instant, instant
from lichen.testing.project import SmallProject

COLUMNS = {"k": "bigint", "v": "bigint"}
START = instant("2020-01-01")


def day(number: float) -> Instant:
    return START + timedelta(days=number)


def at(number: float) -> str:
    return f"{day(number):%Y-%m-%dT%H:%M:%SZ}"


def limit(project: SmallProject, most: int | None) -> None:
    rules = {"v": {"logicalTypeOptions": {"maximum": most}}} if most is not None else {}
    project.source("s", COLUMNS, "key: k\n", rules=rules)


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """A source of which one rule holds back every v above 10, and a table that reads it."""
    small = SmallProject(tmp_path)
    limit(small, 10)
    small.write("tables/t.sql", "select k, v + 0 as v from s")
    small.write("tables/total.sql", "/* key: one */ select 1 as one, sum(v)::bigint as v from t")
    small.csv("feeds/s/a.csv", "k,v", [(1, 1), (2, 20), (3, 30)])
    small.run(at(1))
    return small


def values(project: SmallProject, node: str, moment: float) -> list[Any]:
    return sorted(row["v"] for row in project.current(node, day(moment)))


def ask(project: SmallProject, rule: str | None = "v.range", rows: tuple[int, ...] = ()) -> int:
    return project.loop().release("s", rule, rows, who="anna", why="measured twice").rows


def test_released_rows_are_known_from_the_release_on(project: SmallProject) -> None:
    assert ask(project) == 2
    (land, *builds) = project.plan(at(2))
    assert (land.node, land.reason) == (
        "sources.s", "v.range: anna released what it holds back: measured twice",
    )  # fmt: skip
    assert [step.node for step in builds] == ["tables.t", "tables.total", "publication"]
    project.run(at(2))
    for node in ("sources.s", "tables.t"):
        assert values(project, node, 1.5) == [1]
        assert values(project, node, 2) == [1, 20, 30]
    assert values(project, "tables.total", 1.5) == [1]
    assert values(project, "tables.total", 2) == [51]
    written = [row for row in project.versions("sources.s") if row["_row"] >> 32 == 2]
    assert [(r["v"], r["_arrived_at"], r["_known_at"]) for r in written] == [
        (20, day(1), day(2)), (30, day(1), day(2)),
    ]  # fmt: skip
    assert project.plan(at(3)) == ()


def test_only_the_named_rows(project: SmallProject) -> None:
    row = next(r["_row"] for r in project.versions("sources.s") if r["v"] == 30)
    assert ask(project, None, (row,)) == 1
    project.run(at(2))
    assert values(project, "sources.s", 2) == [1, 30]
    (told,) = project.loop().quarantine("s")["nodes"]
    assert [(r["rule"], r["rows"], r["released"]) for r in told["rules"]] == [("v.range", 1, 1)]
    assert [e["values"]["v"] for e in told["rules"][0]["examples"]] == [20]
    (request,) = told["requests"]
    assert (request["who"], request["why"], request["rows"]) == ("anna", "measured twice", [row])
    assert request["answered_by"] is not None


def test_rows_that_come_after_the_request_are_not_meant(project: SmallProject) -> None:
    ask(project)
    project.csv("feeds/s/b.csv", "k,v", [(4, 40)])
    project.run(at(2))
    assert values(project, "sources.s", 2) == [1, 20, 30]


def test_a_release_does_not_bring_back_what_was_corrected_since(project: SmallProject) -> None:
    project.csv("feeds/s/b.csv", "k,v", [(2, 2)])
    project.run(at(2))
    ask(project)
    project.run(at(3))
    assert values(project, "sources.s", 3) == [1, 2, 30]
    assert values(project, "tables.t", 3) == [1, 2, 30]


def test_a_later_correction_replaces_a_released_row(project: SmallProject) -> None:
    ask(project)
    project.run(at(2))
    project.csv("feeds/s/b.csv", "k,v", [(2, 3)])
    project.run(at(3))
    assert values(project, "sources.s", 2.5) == [1, 20, 30]
    assert values(project, "sources.s", 3) == [1, 3, 30]


@pytest.mark.parametrize("most", [15, 5])
def test_it_outlives_another_judging_by_the_same_rule(project: SmallProject, most: int) -> None:
    """With 15 the rule still holds 20 and 30; with 5 too."""
    ask(project)
    project.run(at(2))
    limit(project, most)
    project.run(at(3))
    for node in ("sources.s", "tables.t"):
        assert values(project, node, 1.5) == [1]
        assert values(project, node, 3) == [1, 20, 30]


def test_another_rule_holds_it_back_again(project: SmallProject) -> None:
    ask(project)
    project.run(at(2))
    rules = {"v": {"logicalTypeOptions": {"maximum": 10, "multipleOf": 20}}}
    project.source("s", COLUMNS, "key: k\n", rules=rules)
    project.run(at(3))
    assert values(project, "sources.s", 3) == [20]


@pytest.mark.parametrize("full", [True, False])
def test_it_outlives_reading_everything_again(project: SmallProject, *, full: bool) -> None:
    ask(project)
    project.run(at(2))
    if not full:
        project.write("sources/s.yml", "path: feeds/*/*.csv\nkey: k\n")
    project.loop().run(now=day(3), full=full)
    assert values(project, "sources.s", 1.5) == [1]
    assert values(project, "sources.s", 2) == [1, 20, 30]
    assert values(project, "sources.s", 3) == [1, 20, 30]
    assert project.plan(at(4)) == ()


def test_rows_of_a_table_that_is_built_in_full(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("s", COLUMNS, "key: k\n")
    small.write("tables/t.sql", "select k, v from s")
    rules = {"v": {"logicalTypeOptions": {"maximum": 10}}}
    small.contract("tables/t", COLUMNS, rules=rules)
    small.csv("feeds/s/a.csv", "k,v", [(1, 1), (2, 20)])
    small.run(at(1))
    small.loop().release("t", "v.range", who="anna", why="it is so")
    small.run(at(2))
    assert (values(small, "tables.t", 1.5), values(small, "tables.t", 2)) == ([1], [1, 20])
    small.write("tables/t.sql", "select k, v from s where k > 0")
    small.csv("feeds/s/b.csv", "k,v", [(3, 3)])
    small.run(at(3))
    assert (values(small, "tables.t", 1.5), values(small, "tables.t", 3)) == ([1], [1, 3, 20])


def test_what_says_something_else_now_is_not_released(project: SmallProject) -> None:
    ask(project)
    project.run(at(2))
    project.csv("feeds/s/a.csv", "k,v", [(1, 1), (2, 21), (3, 30)])
    project.run(at(3))
    assert values(project, "sources.s", 3) == [1, 20, 30]  # 21 is held back, 20 stands
    project.loop().run(now=day(4), full=True)
    assert values(project, "sources.s", 4) == [1, 30]


def test_mistakes(project: SmallProject) -> None:
    loop = project.loop()
    for words, said in (
        (("s", "v.rang"), "did you mean 'v.range'"),
        (("t", "v.range"), "tables.t holds nothing back"),
        (("s", None), "say which rule's rows are good"),
        (("s", "unreadable"), "are no rows"),
    ):
        with pytest.raises(QuarantineError, match=said):
            loop.release(*words, who="anna", why="so")
    with pytest.raises(QuarantineError, match=r"row 7 of sources\.s is not held back"):
        loop.release("s", None, (7,), who="anna", why="so")
    with pytest.raises(QuarantineError, match="say why"):
        loop.release("s", "v.range", who="anna", why=" ")


def test_replay_reads_again_what_did_not_parse(project: SmallProject) -> None:
    """The file is as it was; only the record of it that now parses is new."""
    project.write("feeds/s/c.csv", "k,v\n5,5\n6\n")
    project.run(at(2))
    (told,) = project.loop().quarantine("s")["nodes"]
    assert [(u["file"], u["line"], u["raw"]) for u in told["unreadable"]] == [
        ("feeds/s/c.csv", 3, "6")
    ]
    project.loop().judge_again("s", who="anna", why="the parser was mended")
    (land, *_) = project.plan(at(3))
    assert [f.path for f in land.again] == ["feeds/s/c.csv"]  # type: ignore[union-attr]
    project.run(at(3))
    (told,) = project.loop().quarantine("s")["nodes"]
    assert len(told["unreadable"]) == 1
    assert values(project, "sources.s", 3) == [1, 5]
    assert project.plan(at(4)) == ()


@pytest.mark.parametrize("seed", range(8))
def test_random_days_against_a_plain_account(tmp_path: Path, seed: int) -> None:
    """Rules change, rows are corrected, deleted and released; each moment is as it should be."""
    rng, small, most = random.Random(seed), SmallProject(tmp_path), 10
    limit(small, most)
    small.write("tables/t.sql", "select k, v from s")
    log: list[Told] = []
    last: dict[int, int | None] = {}
    for number in range(1, 8):
        if number == 1 or rng.random() < 0.7:
            file = {k: rng.choice([1, 5, 12, 14, 30]) for k in range(5) if rng.random() < 0.6}
            small.csv("feeds/s/a.csv", "k,v", sorted(file.items()))
            changed = [k for k in range(5) if last.get(k) != file.get(k)]
            log += [Told(number, k, file.get(k)) for k in changed]
            last = dict(file)
        held = [t for t in log if t.day < number and t.value is not None and t.value > most]
        if rng.random() < 0.4 and any(t.released is None for t in held):
            small.loop().release("s", "v.range", who="anna", why="so")
            for told in held:
                told.released = told.released or number
        if rng.random() < 0.3:
            most = rng.choice([3, 10, 13, 25])
            limit(small, most)
        small.run(at(number))
        if rng.random() < 0.2:
            small.loop().run("tables.t", now=day(number), full=True)
        for moment in range(1, number + 1):
            expected = _account(log, most, moment)
            for node in ("sources.s", "tables.t"):
                assert values(small, node, moment + 0.5) == expected, (node, moment, number)


@dataclass
class Told:
    """What a file said of a key (None: it is gone), and when a person released it."""

    day: int
    key: int
    value: int | None
    released: int | None = None

    def since(self, most: int) -> int | None:
        """When readers see it first."""
        if self.value is None or self.value <= most:
            return self.day
        return self.released


def _account(log: list[Told], most: int, moment: int) -> list[int]:
    """The last that was said of each key, of all that is seen at a moment."""
    rows: dict[int, int | None] = {}
    for told in log:
        since = told.since(most)
        if since is not None and since <= moment:
            rows[told.key] = told.value
    return sorted(value for value in rows.values() if value is not None)
