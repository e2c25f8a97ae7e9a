"""Cassandra: the kit on a real node, whole tables by range, a column of time, and all types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Cluster  # type: ignore[import-untyped]
from faults import Proxy
from killed import killed
from servers import Place

from lichen.core.errors import LichenError
from lichen.core.steps import Done, Failed
from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, numbers, opened, read, record, small

TABLE = "create table history (part text, n int, name text, primary key (part, n))"
GROWING = "incremental: n\nallow_filtering: true\nkey: n\n"


@dataclass
class Rows:
    """One partition, `part`, in the order of `n`."""

    place: Place
    session: Any
    port: int | None = None
    more: str = GROWING
    connector: str = field(default="cassandra", init=False)
    keyed: bool = field(default=False, init=False)
    replays: bool = field(default=True, init=False)

    @property
    def settings(self) -> str:
        where = f"hosts: 127.0.0.1\nport: {self.port or self.place.port}\nsplits: 3\n"
        return f"{where}keyspace: {self.place.name}\ntable: history\n{self.more}"

    def put(self, numbers: Sequence[int], part: str = "one") -> None:
        insert = self.session.prepare("insert into history (part, n, name) values (?, ?, ?)")
        for n in numbers:
            self.session.execute(insert, (part, n, record(n)["name"]))

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, _: int) -> bool:
        return False


@contextmanager
def history(place: Place) -> Iterator[Rows]:
    with Cluster([place.host], port=place.port, protocol_version=5) as cluster:
        session = cluster.connect(place.name)
        session.execute(TABLE)
        yield Rows(place, session)


@pytest.fixture
def rows(cassandra_keyspace: Place) -> Iterator[Rows]:
    with history(cassandra_keyspace) as found:
        yield found


class TestCassandra(StreamKit):
    @pytest.fixture
    def ready(self, rows: Rows) -> Wire:
        return rows


def test_a_whole_table_is_compared_range_by_range(rows: Rows, tmp_path: Path) -> None:
    rows.more = "key: n\nlimits: {rows: 1}\npage: 3\n"
    project = small(rows, tmp_path / "p")
    for n in range(20):
        rows.put([n], part=f"part {n}")
    events = project.run("2020-01-01")
    assert all(isinstance(event.result, Done) for event in events)
    assert sum(event.step.node == "sources.s" for event in events) == 3, "a landing for each range"
    assert numbers(project, "2020-01-01") == list(range(20))
    rows.session.execute("delete from history where part = 'part 7'")
    rows.put([20], part="part 20")
    project.run("2020-01-02")
    assert numbers(project, "2020-01-02") == [n for n in range(21) if n != 7]
    assert len(project.versions("sources.s")) == 22
    assert len({row["_file"] for row in project.versions("sources.s")}) == 3


def test_rows_from_the_last_value_of_each_range_on(rows: Rows, tmp_path: Path) -> None:
    rows.session.execute(
        'create table "Sensor" (id int primary key, "at "" >= 0 --" timestamp, name text, n int)'
    )
    rows.more = (
        "table: Sensor\nincremental: 'at \" >= 0 --'\nallow_filtering: true\nkey: n\npage: 5\n"
        "limits: {rows: 7}\n"
    )
    settings = rows.settings.replace("table: history\n", "")
    project = small(rows, tmp_path / "p", text=f"connector: cassandra\n{settings}")
    insert = rows.session.prepare(
        'insert into "Sensor" (id, "at "" >= 0 --", name, n) values (?, ?, \'x\', ?)'
    )
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    for n in range(30):
        rows.session.execute(insert, (n, moment, n))
    project.run("2020-01-01")
    assert numbers(project, "2020-01-01") == list(range(30))
    rows.session.execute(insert, (30, moment, 30))  # at the same time as the last of its range
    rows.session.execute(insert, (31, moment.replace(year=2019), 31))  # before it
    project.run("2020-01-02")
    assert numbers(project, "2020-01-02") == list(range(31))
    versions = project.versions("sources.s")
    assert len(versions) == 31
    assert len({(row["_file"], row["_line"]) for row in versions}) == 31


TYPES = {
    "a": ("decimal", "1.10", "varchar", "1.10"),
    "b": ("varint", str(2**80), "varchar", str(2**80)),
    "c": ("uuid", "00000000-0000-0000-0000-000000000001", "varchar",
          "00000000-0000-0000-0000-000000000001"),
    "d": ("inet", "'::1'", "varchar", "::1"),
    "e": ("duration", "1mo2d", "varchar", "1mo2d0ns"),
    "f": ("timestamp", "'2020-01-01T00:00:00.123Z'", "timestamptz",
          datetime(2020, 1, 1, 0, 0, 0, 123000, UTC)),
    "g": ("date", "'2020-02-29'", "varchar", "2020-02-29"),
    "h": ("time", "'10:00:00.123456789'", "varchar", "10:00:00.123456789"),
    "i": ("blob", "0x00ff27", "blob", b"\x00\xff'"),
    "j": ("double", "NaN", "varchar", "NaN"),
    "k": ("bigint", str(-(2**63)), "bigint", -(2**63)),
    "l": ("map<text, int>", "{'x': 1}", "struct(x bigint)", {"x": 1}),
    "m": ("set<int>", "{3, 1}", "bigint[]", [1, 3]),
    "o": ("frozen<place>", "{street: 'S', spots: [(1, 'a')]}",
          "struct(street varchar, spots varchar[])", {"street": "S", "spots": ['[1,"a"]']}),
    "p": ("boolean", "true", "boolean", True),
    "q": ("text", "'it''s'", "varchar", "it's"),
    "r": ("ascii", "null", "varchar", None),
}  # fmt: skip


def test_each_type_is_exact_or_text(rows: Rows, tmp_path: Path) -> None:
    rows.session.execute("create type place (street text, spots list<frozen<tuple<int, text>>>)")
    columns = ", ".join(f"{name} {type_}" for name, (type_, *_) in TYPES.items())
    rows.session.execute(f"create table types (id int primary key, {columns})")
    values = ", ".join(value for _, value, *_ in TYPES.values())
    names = ", ".join(TYPES)
    rows.session.execute(f"insert into types (id, {names}) values (1, {values})")  # noqa: S608
    project = SmallProject(tmp_path / "p")
    rows.more = "key: id\n"
    settings = rows.settings.replace("table: history", "table: types")
    project.write("sources/s.yml", f"connector: cassandra\n{settings}")
    project.contract("sources/s", {"id": "bigint", **{n: t[2] for n, t in TYPES.items()}})
    for event in project.run("2020-01-01"):
        assert isinstance(event.result, Done), event.result
    (found,) = project.current("sources.s", "2020-01-01")
    assert {n: found[n] for n in TYPES} == {n: each[3] for n, each in TYPES.items()}


def test_a_table_that_was_made_again_is_another_one(rows: Rows, tmp_path: Path) -> None:
    project = small(rows, tmp_path / "p")
    rows.put([1])
    project.run("2020-01-01")
    rows.session.execute("drop table history")
    rows.session.execute(
        "create table history (part text, n int, name text, primary key (part, n))"
    )
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "somebody made it again" in event.result.error


def test_pages_begin_where_the_cursor_left_them(rows: Rows, tmp_path: Path) -> None:
    rows.more = GROWING + "page: 4\n"
    rows.put(range(30))
    with opened(rows, tmp_path) as stream:
        found = read(stream, None)
        assert found.numbers == list(range(30))
        rest = read(stream, found.cursors[3]).numbers
    assert 0 < len(rest) < 30
    assert rest == list(range(rest[0], 30))


def test_kills_lose_and_double_nothing(rows: Rows, tmp_path: Path) -> None:
    project = small(rows, tmp_path / "p", limits="{rows: 60}")
    tally = killed(project, rows.put, kills=10, piece=10, pause=0.1)
    assert tally.in_flight >= 3, tally
    found = project.versions("sources.s")
    assert sorted(row["n"] for row in found) == list(range(tally.written))


@pytest.mark.parametrize("fault", ["refused", "cut", "stalled"])
def test_a_network_fault_is_an_error_in_time_and_nothing_is_lost(
    fault: str, rows: Rows, tmp_path: Path
) -> None:
    with Proxy(rows.place.port) as proxy:
        rows.port = proxy.port
        rows.more += "timeout: 2 s\n"
        project = small(rows, tmp_path / "p")
        rows.put(range(10))
        project.run("2020-01-01")
        rows.put(range(10, 400))
        match fault:
            case "refused":
                proxy.refuse()
            case "cut":
                proxy.cut_after(4_000)
            case "stalled":
                proxy.stall()
        (event,) = project.run("2020-01-02")
        assert isinstance(event.result, Failed)
        assert f"127.0.0.1:{proxy.port}" in event.result.error
        proxy.heal()
        project.run("2020-01-03")
        assert numbers(project, "2020-01-03") == list(range(400))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("incremental: n\nallow_filtering: true\n", "takes a key"),
        ("incremental: n\nkey: n\n", "looks at all rows"),
        ("incremental: name\nallow_filtering: true\nkey: n\n", "is a text, which is no time"),
        ("incremental: x\nallow_filtering: true\nkey: n\n", "has no column 'x'"),
        ("table: other\n", "there is no table 'other'"),
        ("table: 'history; drop table history'\n", "there is no table 'history; drop"),
        ("hosts: 'u:hunter2@host'\n", "hosts: one of them is no name"),
        ("user: reader\n", "one without the other"),
        ("splits: 0\n", "there are 1 to 4096 ranges"),
    ],
)
def test_mistakes(more: str, said: str, rows: Rows, tmp_path: Path) -> None:
    rows.more = ""
    name = more.partition(":")[0]
    lines = [line for line in rows.settings.splitlines() if not line.startswith(f"{name}:")]
    project = small(rows, tmp_path / "p", text="\n".join(["connector: cassandra", *lines, more]))
    try:
        (event,) = project.run("2020-01-01")
        assert isinstance(event.result, Failed)
        error = event.result.error
    except LichenError as raised:
        error = str(raised)
    assert said in error
    assert "hunter2" not in error
