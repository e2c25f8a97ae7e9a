"""A stream whose mark is new at each look, and that has nothing, leaves no trace in the ledger."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from added_connector import Lines

from lichen import connectors
from lichen.core.steps import Mark
from lichen.testing.project import SmallProject

LOOKS = itertools.count(1)


class Restless(Lines):
    """Cannot tell what is new without reading, as with a broker that hands out messages."""

    def look(self, _cursor: str | None) -> Mark:
        return Mark(until=f"look {next(LOOKS)}", said="it may have more", passing=True)

    def read(self, cursor: str | None, _mark: Mark, limits: Any) -> Any:
        return super().read(cursor, super().look(cursor), limits)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallProject]:
    monkeypatch.setitem(connectors.OWN, "restless", "test_idle_stream:Restless")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", "connector: restless\npath: x.jsonl\nkey: n\n")
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    yield project


def put(project: SmallProject, number: int) -> None:
    with (project.root / "x.jsonl").open("a") as file:
        file.write(f'{{"n": {number}, "name": "a"}}\n')


def held(project: SmallProject) -> Counter[str]:
    tables = ("runs", "records", "publications")
    with closing(sqlite3.connect(project.root / ".lichen/dev/ledger.db")) as db:
        return Counter({t: db.execute(f"select count(*) from {t}").fetchone()[0] for t in tables})  # noqa: S608


def test_looks_that_find_nothing_leave_nothing(project: SmallProject) -> None:
    put(project, 1)
    assert len(project.run("2020-01-01")) == 2  # it landed, and was published
    before = held(project)
    for day in range(2, 12):
        (event,) = project.run(f"2020-01-{day:02}")
        assert event.step.node == "sources.s"
    assert held(project) == before
    put(project, 2)
    assert len(project.run("2020-01-12")) == 2
    assert held(project) == before + Counter(runs=1, records=1, publications=1)
    assert [row["n"] for row in project.current("sources.s", "2020-01-12")] == [1, 2]


def test_an_empty_stream_is_a_table_without_rows(project: SmallProject) -> None:
    assert len(project.run("2020-01-01")) == 2
    assert project.current("sources.s", "2020-01-02") == []
    assert len(project.run("2020-01-02")) == 1


def test_a_stream_that_is_well_again_says_so(project: SmallProject) -> None:
    put(project, 1)
    project.run("2020-01-01")
    (project.root / "x.jsonl").write_text('{"n": 1, "name": "a"}\nno json\n')
    project.run("2020-01-02")
    assert project.loop().show("sources.s")["state"] == "stale"
    (project.root / "x.jsonl").write_text('{"n": 1, "name": "a"}\n')
    project.run("2020-01-03")
    assert project.loop().show("sources.s")["state"] == "current"
