"""Tables and queries that are read whole or by a column: ties, late rows, drops, names, TLS."""

from __future__ import annotations

import os
import random
import string
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from arro3.core import Table
from faults import Proxy
from mysql import SECRET, ask, connected, settings
from servers import Place

from lichen.adapters.sources.mysql.connector import Mysql
from lichen.adapters.sources.mysql.server import literal, name
from lichen.adapters.sources.mysql.settings import MysqlSettings, checked
from lichen.core.errors import SourceAway, SourceError, Where
from lichen.core.steps import Done, Failed, Land
from lichen.ports.source import Limits, Outside, Tls
from lichen.testing.project import SmallProject
from lichen.testing.source import PLENTY, numbers

PEOPLE = "create table t (n bigint, name varchar(40), at datetime, primary key (n))"


def project_of(place: Place, root: Path, more: str) -> SmallProject:
    os.environ[SECRET] = place.password
    project = SmallProject(root)
    project.write("sources/s.yml", settings(place, f"connector: mysql\n{more}"))
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    return project


def opened(place: Place, timeout: float = 10.0, port: int = 0, **said: Any) -> Mysql:
    outside = Outside(
        node="sources.s",
        where=Where(Path("s.yml")),
        root=Path("/"),
        folder=Path("/"),
        target="dev",
        timeout=timeout,
        secret=lambda _: place.password,
    )
    about = {"host": place.host, "port": port or place.port, "user": place.user}
    words = {"database": place.name, "password": "env:X", **about, **said}
    return Mysql(MysqlSettings(**words), outside)


def values(stream: Mysql, cursor: str | None = None, limits: Limits = PLENTY) -> tuple[Any, Any]:
    """Return all rows from a cursor on, as lists, and the cursor after them."""
    found: list[Any] = []
    with closing(stream.read(cursor, stream.look(cursor), limits)) as reading:
        for batch in reading:
            table = Table.from_arrow(batch.rows)
            cells = [table.column(n).to_pylist() for n in table.column_names if n[0] != "_"]
            found += zip(*cells, strict=True)
            cursor = batch.cursor
    return found, cursor


def test_a_whole_table_is_compared_by_its_key(mariadb_database: Place, tmp_path: Path) -> None:
    ask(mariadb_database, PEOPLE, "insert into t values (1, 'a', null), (2, 'b', null)")
    project = project_of(mariadb_database, tmp_path, "table: t\nkey: n")
    project.run("2020-01-01")
    project.run("2020-01-02")
    assert len(project.versions("sources.s")) == 2
    ask(mariadb_database, "delete from t where n = 1", "update t set name = 'c'")
    project.run("2020-01-03")
    assert project.current("sources.s", "2020-01-02") == [
        {"n": 1, "name": "a"},
        {"n": 2, "name": "b"},
    ]
    assert project.current("sources.s", "2020-01-03") == [{"n": 2, "name": "c"}]
    ask(mariadb_database, "truncate t")
    project.run("2020-01-04")
    assert project.current("sources.s", "2020-01-04") == []


def test_what_a_query_gives(mariadb_database: Place, tmp_path: Path) -> None:
    ask(mariadb_database, PEOPLE, "insert into t values (1, 'a', null), (2, 'b', null)")
    query = "query: |\n  select n * 10 as n, upper(name) as name from t -- all of them\nkey: n"
    project = project_of(mariadb_database, tmp_path, query)
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [
        {"n": 10, "name": "A"},
        {"n": 20, "name": "B"},
    ]


def test_rows_at_the_last_value_that_come_later(mariadb_database: Place, tmp_path: Path) -> None:
    """Seconds are coarse: a row may come with the very time up to which all was read."""
    ask(mariadb_database, PEOPLE, "insert into t values (5, 'a', '2024-01-01'), (6, 'b', null)")
    project = project_of(mariadb_database, tmp_path, "table: t\nkey: n\nincremental: at")
    project.run("2020-01-01")
    ask(mariadb_database, "insert into t values (1, 'tie', '2024-01-01')")
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == [1, 5]
    ask(mariadb_database, "update t set name = 'later', at = '2024-01-02' where n = 5")
    project.run("2020-01-03")
    assert project.current("sources.s", "2020-01-04") == [
        {"n": 1, "name": "tie"},
        {"n": 5, "name": "later"},
    ]
    assert len(project.versions("sources.s")) == 3
    assert [e for e in project.run("2020-01-04") if isinstance(e.step, Land)] == []


def test_more_ties_than_a_landing_takes(mariadb_database: Place, tmp_path: Path) -> None:
    """A landing ends among rows of one value; keys that only case tells apart are not lost."""
    ask(
        mariadb_database,
        "create table t (n varchar(9), m int, name varchar(9), at date)",
        "insert into t select concat('k', seq div 2), seq, 'x', '2024-01-01' from seq_1_to_40",
        "insert into t select upper(n), m + 100, name, at from t",
        "insert into t values (null, 1, 'no key', '2024-01-01'), ('z', 1, 'z', '2023-01-01')",
    )
    stream = opened(mariadb_database, table="t", key=["n", "m"], incremental="at")
    found, cursor = [], None
    for _ in range(60):
        rows, cursor = values(stream, cursor, Limits(3, 10**9, 60.0))
        found += rows
        if not rows:
            break
    assert len(found) == len(set(found)) == 82


def test_an_overlap_brings_what_was_committed_late(mariadb_database: Place, tmp_path: Path) -> None:
    ask(mariadb_database, PEOPLE, "insert into t values (5, 'a', '2024-01-01 12:00:00')")
    more = "table: t\nkey: n\nincremental: at\noverlap: 10 minutes"
    project = project_of(mariadb_database, tmp_path, more)
    project.run("2020-01-01")
    ask(
        mariadb_database,
        "insert into t values (6, 'late', '2024-01-01 11:55:00')",
        "insert into t values (7, 'new', '2024-01-01 12:01:00')",
    )
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == [5, 6, 7]
    assert len(project.versions("sources.s")) == 3


SORTED = {
    "bigint": ["-5", "9223372036854775806", "9223372036854775807"],
    "bigint unsigned": ["9223372036854775808", "18446744073709551614", "18446744073709551615"],
    "decimal(38,10)": ["-1.5", "0.0000000001", "12345678901234567890.1234567891"],
    "datetime(6)": ["0000-00-00 00:00:00", "2024-01-01 00:00:00", "2024-01-01 00:00:00.000001"],
    "timestamp(3) null": ["2024-01-01 00:00:00", "2024-01-01 00:00:00.001", "2024-10-27 01:30:00"],
    "date": ["0000-00-00", "2024-01-01", "9999-12-31"],
    "time(2)": ["-838:59:59", "00:00:00", "12:00:00.55"],
    "year": ["0000", "1999", "2024"],
    "varchar(40)": ["", "a'b\\", "é\U0001f419%s"],
    "varchar(40) character set latin1": ["", "a'b\\", "é"],
    "char(9) collate utf8mb4_bin": ["A", "a", "b"],
}


@pytest.mark.parametrize("type_", SORTED)
def test_columns_by_which_can_be_read(mariadb_database: Place, type_: str) -> None:
    ask(mariadb_database, f"create table t (n int primary key, at {type_})")
    stream = opened(mariadb_database, table="t", key="n", incremental="at")
    seen: list[Any] = []
    cursor = None
    for n, value in enumerate(SORTED[type_]):
        ask(mariadb_database, f"insert into t values ({n}, {literal(value)})")  # noqa: S608
        rows, cursor = values(stream, cursor)
        seen += [row[0] for row in rows if row[0] not in seen]
        assert len(rows) <= 2, "the last one comes again, no more"
        assert values(stream, cursor) == ([], cursor)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("type_", ["double", "float", "blob", "json", "enum('a')", "point"])
def test_columns_by_which_can_not_be_read(mariadb_database: Place, type_: str) -> None:
    ask(mariadb_database, f"create table t (n int primary key, at {type_})")
    stream = opened(mariadb_database, table="t", key="n", incremental="at")
    if type_ == "json":  # MariaDB's is a text
        return
    with pytest.raises(SourceError, match="cannot be compared exactly"):
        stream.look(None)


HOSTILE = [
    "`; drop table victim; --", "a`b", "``", "'; drop table victim; --", '"', "\\", "%s", "%(a)s",
    "a.b", "select", " lead", "a\nb", "a\tb", "/*", "*/", "-- ", "#", ";", "@@version", "{x}",
    "名前", "emoji ﷽", "a'b", "a\"b", "a\\'b", "0", "1e5", "null", "x'41'", "_utf8mb4",
    "`.`", "a``b``", "');--", "/*!50000 x */", "$1", ":x", "?", "\x7f", "\x01", "a\rb",
]  # fmt: skip


def hostile() -> list[str]:
    """A hundred names; the same ones each time."""
    chance = random.Random(7)
    letters = "`'\"\\;-#/*%{}$@?.,()= \n\t" + string.ascii_letters + "éß名"
    more = {"".join(chance.choices(letters, k=chance.randint(1, 40))).strip() for _ in range(200)}
    found = [n.strip() for n in [*HOSTILE, *sorted(more)]]
    names = [n for n in found if n and not n.startswith("_")]
    return [n for i, n in enumerate(names) if n.lower() not in [m.lower() for m in names[:i]]][:100]


def test_hostile_names_and_values_change_no_statement(mariadb_database: Place) -> None:
    """As table, as column, as value of a cursor and of a key."""
    place = mariadb_database
    ask(place, "create table victim (n int)", "insert into victim values (1)")
    names = hostile()
    assert len(names) == 100
    for text in names:
        table, column = name(text), name(text)
        with connected(place) as connection, connection.cursor() as cursor:
            cursor.execute(f"create table {table} ({column} varchar(60) primary key, b int)")
            cursor.execute(
                f"insert into {table} values ({literal(text)}, 1), ({literal(text + 'z')}, 2)"  # noqa: S608
            )
            connection.commit()
        stream = opened(place, table=text, key=text, incremental=text)
        first, at = values(stream, None, Limits(1, 10**9, 60.0))
        rest, at = values(stream, at)
        assert {*first, *rest} == {(text, 1), (text + "z", 2)}, text
    assert ask(place, "select count(*) from victim") == [(1,)]


@pytest.mark.parametrize("text", ["no such", "t; drop table t", "t` union select 1 -- "])
def test_a_table_that_is_not_there(mariadb_database: Place, text: str) -> None:
    ask(mariadb_database, "create table t (n int)")
    with pytest.raises(SourceError, match="there is no table"):
        values(opened(mariadb_database, table=text))
    assert ask(mariadb_database, "select count(*) from t") == [(0,)]


WRONG = [
    ({}, "what to read, once"),
    ({"table": "t", "query": "select 1"}, "what to read, once"),
    ({"query": "delete from t"}, "exactly one SELECT"),
    ({"query": "select 1; select 2"}, "exactly one SELECT"),
    ({"query": "selec t"}, "query:"),
    ({"table": "t", "incremental": "a"}, "needs a key"),
    ({"table": "t", "changes": True}, "needs a key"),
    ({"query": "select 1", "changes": True, "key": "a"}, "not of a query"),
    ({"table": "t", "changes": True, "incremental": "a", "key": "a"}, "besides"),
    ({"table": "t", "overlap": "1 hour"}, "overlap"),
    ({"table": "t", "incremental": "a", "key": "a", "overlap": "soon"}, "overlap"),
    ({"table": "", "key": "a"}, "no name"),
    ({"table": "t", "port": 0}, "port"),
]


@pytest.mark.parametrize(("said", "why"), WRONG)
def test_settings_that_cannot_be_meant(said: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceError, match=why):
        checked(MysqlSettings(database="d", user="u", **said))


def test_tls(mariadb_database: Place) -> None:
    ask(mariadb_database, "create table t (n int)", "insert into t values (1)")
    status = "information_schema.session_status where variable_name = 'Ssl_cipher'"
    query = f"select variable_value as v from {status}"  # noqa: S608
    trusted = Tls(ca=str(mariadb_database.certificate))
    for tls, secure in ((None, False), (trusted, True), (Tls(verify=False), True)):
        rows, _ = values(opened(mariadb_database, query=query, tls=tls))
        assert bool(rows[0][0]) == secure
    with pytest.raises(SourceError, match="certificate verify failed"):
        values(opened(mariadb_database, query=query, tls=Tls()))
    with pytest.raises(SourceError, match="tls:"):
        opened(mariadb_database, query=query, tls=Tls(ca="no/such")).look(None)
        values(opened(mariadb_database, query=query, tls=Tls(ca="no/such")))


def test_a_wrong_password_is_not_told(mariadb_database: Place) -> None:
    stream = opened(mariadb_database, table="t")
    object.__setattr__(stream._outside, "secret", lambda _: "hunter2")
    with pytest.raises(SourceError, match="Access denied") as caught:
        values(stream)
    assert not isinstance(caught.value, SourceAway)
    assert "hunter2" not in str(caught.value)
    assert f"{mariadb_database.host}:{mariadb_database.port}" in str(caught.value)


MODES = {"whole": "", "by a column": "incremental: n", "changes": "changes: true"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["refuse", "cut", "stall"])
def test_a_network_that_fails_and_comes_back(
    mariadb_database: Place, tmp_path: Path, mode: str, fault: str
) -> None:
    place = mariadb_database
    ask(place, "create table t (n int primary key, name varchar(200))")
    with Proxy(place.port) as proxy:
        via = Place(
            type(place.room)("mariadb", place.room.folder, {"main": proxy.port}), place.name
        )
        more = f"table: t\nkey: n\ntimeout: 1 s\n{MODES[mode]}"
        project = project_of(via, tmp_path, more)
        assert all(isinstance(e.result, Done) for e in project.run("2020-01-01") if e.result)
        ask(place, "insert into t select seq, repeat('x', 190) from seq_1_to_30000")
        if fault == "refuse":
            proxy.refuse()
            proxy.cut()
        elif fault == "cut":
            proxy.cut_after(400_000)
        else:
            proxy.stall()
        (result,) = [e.result for e in project.run("2020-01-02") if e.result and land(e)]
        assert isinstance(result, Failed)
        assert f"{via.host}:{proxy.port}" in result.error
        proxy.heal()
        for event in project.run("2020-01-03"):
            assert event.result is None or isinstance(event.result, Done), event.result
        assert numbers(project, "2020-01-04") == list(range(1, 30001))
        assert len(project.versions("sources.s")) == 30000


def land(event: Any) -> bool:
    return isinstance(event.step, Land)


def test_a_server_that_falls_silent_in_the_middle(mariadb_database: Place) -> None:
    ask(mariadb_database, "create table t (n int primary key, name varchar(200))")
    ask(mariadb_database, "insert into t select seq, repeat('x', 190) from seq_1_to_60000")
    with Proxy(mariadb_database.port) as proxy:
        stream = opened(mariadb_database, timeout=0.5, port=proxy.port, table="t", key="n")
        with closing(stream.read(None, stream.look(None), PLENTY)) as reading:
            rows = iter(reading)
            next(rows)
            proxy.stall()
            with pytest.raises(SourceAway, match=r"no word came for 0\.5 s"):
                list(rows)
