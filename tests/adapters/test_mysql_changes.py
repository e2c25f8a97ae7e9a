"""What the binlog tells of a table, and what is done where it does not tell all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mysql import SECRET, ask, connected, settings
from servers import Place, running
from tests.services import frame, keeper
from tests.services import mariadb as mariadb_server

from lichen.adapters.sources.mysql.changes import snapshot
from lichen.adapters.sources.mysql.server import Server, Session
from lichen.core.errors import Where
from lichen.core.steps import Done, Failed, Land
from lichen.core.time import instant
from lichen.testing.project import SmallProject
from lichen.testing.source import numbers


def project_of(place: Place, root: Path, more: str = "", table: str = "t") -> SmallProject:
    os.environ[SECRET] = place.password
    project = SmallProject(root)
    text = settings(place, f"connector: mysql\ntable: {table}\nkey: n\nchanges: true\n{more}")
    project.write("sources/s.yml", text)
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    return project


def ran(project: SmallProject, day: int) -> list[Any]:
    """Run, and return the landings with what came of them."""
    return [
        (event.step, event.result)
        for event in project.run(f"2020-01-{day:02}")
        if isinstance(event.step, Land) and event.result is not None
    ]


def told(project: SmallProject) -> list[tuple[int, str, bool]]:
    return [(row["n"], row["name"], row["_deleted"]) for row in project.versions("sources.s")]


def current(project: SmallProject) -> list[tuple[int, str]]:
    return [(r["n"], r["name"]) for r in project.current("sources.s", "2020-02-01")]


@pytest.fixture
def place(mariadb_database: Place) -> Place:
    ask(
        mariadb_database,
        "create table t (n bigint primary key, name varchar(40))",
        "insert into t values (1, 'one'), (2, 'two'), (3, 'three')",
    )
    return mariadb_database


def test_inserts_updates_and_deletes_in_their_order(place: Place, tmp_path: Path) -> None:
    project = project_of(place, tmp_path)
    ran(project, 1)
    ask(
        place,
        "update t set name = concat(name, '!') where n < 3",
        "delete from t where n = 2",
        "insert into t values (2, 'new')",
        "insert into t values (4, 'four')",
        "update t set name = null where n = 4",
    )
    ran(project, 2)
    assert told(project)[3:] == [
        (1, "one!", False),
        (2, "two!", False),
        (2, "two!", True),
        (2, "new", False),
        (4, "four", False),
        (4, None, False),
    ]
    assert current(project) == [(1, "one!"), (2, "new"), (3, "three"), (4, None)]


def test_a_row_that_gets_another_key_leaves_its_former_one(place: Place, tmp_path: Path) -> None:
    project = project_of(place, tmp_path)
    ran(project, 1)
    ask(place, "update t set n = n + 10 order by n desc")
    ran(project, 2)
    assert current(project) == [(11, "one"), (12, "two"), (13, "three")]
    assert sum(deleted for _, _, deleted in told(project)) == 3


def test_what_is_rolled_back_and_other_tables_are_not_told(place: Place, tmp_path: Path) -> None:
    project = project_of(place, tmp_path)
    ran(project, 1)
    ask(place, "create table other (n int)", "insert into other values (9)")
    with connected(place) as connection, connection.cursor() as cursor:
        cursor.execute("insert into t values (8, 'never')")
        connection.rollback()
    (landed,) = ran(project, 2)
    assert isinstance(landed[1], Done)
    assert len(told(project)) == 3
    assert ran(project, 3) == [], "nothing is new"


def test_a_snapshot_and_the_log_fit_together(place: Place, tmp_path: Path) -> None:
    """Whatever is written while a snapshot is read comes by the log, once."""
    server = Server(
        place.host, place.port, place.name, place.user, 10, Where(tmp_path), place.password, None
    )
    for locking in (False, True):
        with closing(Session(server)) as session:
            file, position = snapshot(session, locking=locking)
            ask(place, f"insert into t values ({20 + locking}, 'later')")  # noqa: S608
            seen = session.ask("select count(*) from t")
            end = ask(place, "show master status")[0]
        assert int(seen[0][0]) == 3 + locking
        assert (file, position) < (end[0], int(end[1]))


def test_a_transaction_of_more_rows_than_a_landing_takes(place: Place, tmp_path: Path) -> None:
    project = project_of(place, tmp_path, "limits: {rows: 7}")
    ran(project, 1)
    ask(place, "insert into t select seq, concat('s', seq) from seq_100_to_149", "delete from t")
    landings = ran(project, 2)
    assert len(landings) > 10
    assert current(project) == []
    lines = [row["_line"] for row in project.versions("sources.s") if row["n"] >= 100]
    assert len(set(lines)) == len(lines) == 100, "50 came and 50 went, each with its place"


STATEMENTS = {
    "truncate": ["truncate table t"],
    "column added": ["alter table t add column x int default 5 first", "delete from t where n = 2"],
    "column dropped and made": [
        "alter table t drop column name",
        "alter table t add column name varchar(9) default 'x'",
    ],
    "columns swapped": [
        "alter table t add column two varchar(40) default '2'",
        "alter table t rename column name to one, rename column two to name",
        "insert into t values (7, 'a', 'b')",
    ],
    "renamed away and back": ["rename table t to u", "delete from u", "rename table u to t"],
    "dropped and made": [
        "drop table t",
        "create table t (name varchar(5), n int primary key)",
        "insert into t values ('x', 1)",
    ],
    "by words": ["set binlog_format = 'STATEMENT'", "update t set name = 'w' where n = 1"],
    "part of the columns": ["set binlog_row_image = MINIMAL", "update t set name = 'm'"],
    "untold": ["set sql_log_bin = 0", "alter table t add column more int"],
    "two phases": [
        "xa start 'a'", "insert into t values (5, 'xa')", "xa end 'a'", "xa prepare 'a'",
        "xa commit 'a'", "delete from t where n = 1",
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", STATEMENTS)
def test_what_no_rows_tell_is_seen_by_reading_the_table_again(
    place: Place, tmp_path: Path, case: str
) -> None:
    project = project_of(place, tmp_path)
    ran(project, 1)
    ask(place, "insert into t values (50, 'before')")
    ask(place, *STATEMENTS[case])
    assert all(isinstance(result, Done) for _, result in ran(project, 2))
    there = ask(place, "select n, name from t order by n")
    assert current(project) == sorted(map(tuple, there), key=repr)
    assert (50, "before", False) in told(project), "all before it was told by rows"
    ask(place, "insert into t (n, name) values (60, 'on')")
    (landed,) = ran(project, 3)
    assert "of binlog" in landed[0].reason
    assert (60, "on") in current(project)


def test_statements_about_other_tables_are_no_reason_to_read_again(
    place: Place, tmp_path: Path
) -> None:
    project = project_of(place, tmp_path)
    ran(project, 1)
    ask(place, "create table total (n int)", "alter table total add column at int")
    ask(place, "create index by_name on t (name)", "drop index by_name on t")
    ask(place, "grant select on t to lichen", "insert into t values (4, 'four')")
    assert len(ran(project, 2)) == 1
    assert len(current(project)) == 4


REFUSED = {
    "create table x (n bigint primary key, name varchar(9)) engine = MyISAM": "no transactions",
    "create view x as select * from t": "is a view",
    "create table x (n bigint primary key, name varchar(9), foreign key (n) references t (n) "
    "on delete cascade)": "without the binlog telling it",
    "create table x (k bigint primary key, name varchar(9))": "no column 'n'",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_tables_whose_changes_are_not_told_are_refused(
    place: Place, tmp_path: Path, statement: str
) -> None:
    ask(place, statement)
    ((_, result),) = ran(project_of(place, tmp_path, table="x"), 1)
    assert isinstance(result, Failed)
    assert REFUSED[statement] in result.error


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server of one's own, whose log may be cut."""
    running(mariadb_server)  # skips where it cannot run
    folder = tmp_path_factory.mktemp("mariadb")
    with keeper.private(mariadb_server, folder) as now:
        yield Place(now.room, frame.DATABASE)


@pytest.fixture
def cut(alone: Place) -> Place:
    ask(alone, "create or replace table t (n bigint primary key, name varchar(40))")
    ask(alone, "insert into t values (1, 'one'), (2, 'two'), (3, 'three')")
    return alone


def test_a_log_that_was_purged(cut: Place, tmp_path: Path) -> None:
    project = project_of(cut, tmp_path)
    ran(project, 1)
    ask(cut, "update t set name = 'x' where n = 1", "delete from t where n = 2", "flush logs")
    ask(cut, "flush logs")
    last = ask(cut, "show master status")[0][0]
    ask(cut, f"purge binary logs to '{last}'")
    ((step, result),) = ran(project, 2)
    assert isinstance(result, Done)
    assert "was purged" in step.reason
    assert current(project) == [(1, "x"), (3, "three")]
    assert sum(row["_deleted"] for row in project.versions("sources.s")) == 1


def test_a_log_that_goes_on_in_other_files(cut: Place, tmp_path: Path) -> None:
    project = project_of(cut, tmp_path)
    ran(project, 1)
    for n in range(4, 8):
        ask(cut, f"insert into t values ({n}, 'f')", "flush logs")  # noqa: S608
    ((_, result),) = ran(project, 2)
    assert isinstance(result, Done), result
    assert numbers(project, "2020-01-03") == list(range(1, 8))
    assert ran(project, 3) == []


def test_a_log_that_was_begun_anew_is_refused_until_all_is_read_again(
    cut: Place, tmp_path: Path
) -> None:
    project = project_of(cut, tmp_path)
    ran(project, 1)
    ask(cut, "reset master", "insert into t values (4, 'four')")
    ask(cut, *[f"insert into t values ({n}, 'a longer text')" for n in range(10, 60)])  # noqa: S608
    ((_, result),) = ran(project, 2)
    assert isinstance(result, Failed)
    assert "begun anew" in result.error
    assert "--full" in result.error
    project.loop().run("sources.s", now=instant("2020-01-03"), full=True)
    assert len(current(project)) == 54


@pytest.mark.parametrize(
    ("setting", "good"),
    [("binlog_row_image = MINIMAL", "FULL"), ("binlog_format = MIXED", "ROW"),
     ("log_bin_compress = 1", "0")],
)  # fmt: skip
def test_a_server_that_does_not_log_enough(
    cut: Place, tmp_path: Path, setting: str, good: str
) -> None:
    project = project_of(cut, tmp_path)
    ask(cut, f"set global {setting}")
    try:
        ((_, result),) = ran(project, 1)
    finally:
        ask(cut, f"set global {setting.partition(' ')[0]} = {good}")
    assert isinstance(result, Failed)
    assert f"set global {setting.partition(' ')[0]}" in result.error
