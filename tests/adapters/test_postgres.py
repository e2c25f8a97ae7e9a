"""PostgreSQL: the kit for streams, whole, by a column, and by its changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pgbase import Base

from lichen.core.steps import Done
from lichen.loop import Event
from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, record


@dataclass
class TableWire:
    """A table; `more` says how it is read."""

    base: Base
    more: str = ""
    replays: bool = True
    keyed: bool = True
    connector: str = "postgres"
    tells_removals: bool = True
    ticks: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.base.run("create table s (n int primary key, name text, tick int)")

    @property
    def settings(self) -> str:
        return f"{self.base.settings}table: public.s\n{self.more}"

    def put(self, numbers: Sequence[int]) -> None:
        rows = [(n, record(n)["name"], next(self.ticks)) for n in numbers]
        self.base.many("insert into s values (%s, %s, %s)", rows)

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, number: int) -> bool:
        if self.tells_removals:
            self.base.run("delete from s where n = %s", (number,))
        return self.tells_removals


def run(project: SmallProject, now: str) -> tuple[Event, ...]:
    """Run a project, of which nothing may fail."""
    events = project.run(now)
    for event in events:
        assert isinstance(event.result, Done), event
    return events


class TestWhole(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base)


class TestIncremental(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base, "incremental: tick\nkey: n\n", tells_removals=False, keyed=False)


class TestChanges(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base, "changes: true\nkey: n\n", replays=False, keyed=False)


COLUMNS = {"id": "bigint", "name": "varchar", "doc": "varchar"}


def followed(base: Base, root: Path, more: str = "changes: true\n") -> SmallProject:
    """Return a project that follows the table `d`."""
    base.run("create table d (id int primary key, name text, doc text)")
    base.run("alter table d alter doc set storage external")
    project = SmallProject(root)
    project.write("sources/d.yml", f"connector: postgres\n{base.settings}table: d\nkey: id\n{more}")
    project.contract("sources/d", COLUMNS)
    return project


def test_a_value_that_is_stored_apart_and_was_not_touched_stays(base: Base, tmp_path: Path) -> None:
    project, long = followed(base, tmp_path), "long " * 4000
    base.run("insert into d values (1, 'a', %s), (2, 'b', %s)", (long, long))
    run(project, "2020-01-01")
    base.run("update d set name = 'c' where id = 1")
    run(project, "2020-01-02")
    # The same in one landing: each keeps what the change before it told, NULL too.
    base.run("insert into d values (3, 'a', %s)", (long + "!",))
    base.run("update d set name = 'b'")
    base.run("update d set doc = null where id = 2")
    base.run("update d set name = 'c', doc = doc where id in (2, 3)")
    base.run("update d set id = 30 where id = 3")
    run(project, "2020-01-03")
    assert project.current("sources.d", "2020-01-02") == [
        {"id": 1, "name": "c", "doc": long},
        {"id": 2, "name": "b", "doc": long},
    ]
    assert project.current("sources.d", "2020-01-03") == [
        {"id": 1, "name": "b", "doc": long},
        {"id": 2, "name": "c", "doc": None},
        {"id": 30, "name": "c", "doc": long + "!"},
    ]
    names = [(row["id"], row["name"], row["doc"] == long + "!", row["_deleted"])
             for row in project.versions("sources.d") if row["id"] in (3, 30)]  # fmt: skip
    assert sorted(names) == [
        (3, "a", True, False), (3, "b", True, False), (3, "c", True, False),
        (3, "c", True, True), (30, "c", True, False),
    ]  # fmt: skip


def test_all_that_may_become_of_a_table(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    base.run("insert into d select i, 'n' || i from generate_series(1, 5) i")
    run(project, "2020-01-01")
    base.run(
        "delete from d where id = 2; update d set id = 6 where id = 3; insert into d values (2)"
    )
    run(project, "2020-01-02")
    base.run("update d set name = 'last'; truncate d; insert into d values (1, 'new'), (9, 'x')")
    base.run("insert into d values (4, 'y')")
    run(project, "2020-01-03")
    assert [row["id"] for row in project.current("sources.d", "2020-01-02")] == [1, 2, 4, 5, 6]
    assert project.current("sources.d", "2020-01-03") == [
        {"id": 1, "name": "new", "doc": None},
        {"id": 4, "name": "y", "doc": None},
        {"id": 9, "name": "x", "doc": None},
    ]
    rows = project.versions("sources.d")
    assert len({(row["_file"], row["_line"]) for row in rows if not row["_deleted"]}) == len(
        [row for row in rows if not row["_deleted"]]
    )
    assert project.plan("2020-01-04") == ()
