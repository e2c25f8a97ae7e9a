"""Values of MySQL's types: exact, or the text that the server prints, by SELECT and by the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arro3.core import Table
from mysql import Rows, ask, connected
from servers import Place

from lichen.testing.source import PLENTY, opened

COLUMNS = {
    "u8": "bigint unsigned", "i8": "tinyint", "flag": "tinyint(1)", "m": "mediumint",
    "um": "mediumint unsigned", "i": "int", "big": "bigint", "z": "int(6) zerofill",
    "dz": "decimal(6,2) zerofill", "d": "decimal(30,10)", "d0": "decimal(20,0)",
    "f": "float", "dbl": "double", "b1": "bit(1)", "b64": "bit(64)", "y": "year",
    "da": "date", "dt": "datetime", "dt6": "datetime(6)", "dt3": "datetime(3)",
    "ts": "timestamp null", "ts6": "timestamp(6) null", "t": "time", "t6": "time(6)",
    "t1": "time(1)", "c": "char(10)", "v": "varchar(300)", "tx": "text",
    "l1": "varchar(20) character set latin1", "koi": "varchar(20) character set koi8r",
    "u2": "varchar(20) character set ucs2", "u16": "text character set utf16",
    "ltx": "longtext character set latin1", "e": "enum('a','b''c','ü','d\\\\e')",
    "s": "set('x','y','z z')", "bin": "binary(6)", "vb": "varbinary(300)", "bl": "blob",
    "js": "json", "gen": "int as (i + 1) stored", "virt": "int as (i + 2) virtual",
}  # fmt: skip
VALUES: list[dict[str, Any]] = [
    {"u8": 2**64 - 1, "i8": -128, "flag": 2, "m": -(2**23), "um": 2**24 - 1, "i": -(2**31),
     "big": -(2**63), "z": 42, "dz": "1.5", "d": "-12345678901234567890.0123456789",
     "d0": "-99999999999999999999", "f": 16777217.25, "dbl": 1e300, "b1": 1, "b64": 2**64 - 1,
     "y": 2155, "da": "9999-12-31", "dt": "9999-12-31 23:59:59",
     "dt6": "2024-02-29 12:34:56.000001", "dt3": "2024-02-29 12:34:56.078",
     "ts": "2038-01-19 03:14:07", "ts6": "1970-01-01 00:00:01.999999", "t": "838:59:59",
     "t6": "-838:59:58.000001", "t1": "-00:00:00.5", "c": "two  ", "v": "x" * 300, "tx": "🐙 ü",
     "l1": "€ü\x81", "koi": "Привет", "u2": "→", "u16": "🐙", "ltx": "é" * 300, "e": "b'c",
     "s": "x,z z", "bin": b"a\0b\0\0\0", "vb": b"\0\xff", "bl": b"\xff\xfe\0",
     "js": '{"a": [1, 2.5, null, "ü"]}'},
    {"u8": 0, "i8": 127, "flag": 0, "m": 2**23 - 1, "um": 0, "i": 2**31 - 1, "big": 2**63 - 1,
     "z": 1234567, "dz": "0", "d": "0.0000000001", "d0": "0", "f": 0.1, "dbl": -1.5e-10, "b1": 0,
     "b64": 0, "y": 0, "da": "0000-00-00", "dt": "0000-00-00 00:00:00",
     "dt6": "2024-00-00 00:00:00.000000", "dt3": "0000-00-00 00:00:00.000",
     "ts": "0000-00-00 00:00:00", "ts6": "0000-00-00 00:00:00", "t": "00:00:00",
     "t6": "00:00:00.1", "t1": "-838:59:59.0", "c": "", "v": "", "tx": "a\0b\n\\\"'", "l1": "",
     "koi": "", "u2": "", "u16": "", "ltx": "", "e": "ü", "s": "", "bin": b"", "vb": b"",
     "bl": b"", "js": "[]"},
    {"e": "d\\e", "f": -3.4028235e38, "dbl": 1 / 3, "t6": "-00:00:01.25"},
    {},
]  # fmt: skip


def made(place: Place) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
    ask(place, f"create table odd (id int primary key, {columns})")


def fill(place: Place) -> None:
    with connected(place) as connection, connection.cursor() as cursor:
        for number, values in enumerate(VALUES):
            names = ["id", *values]
            marks = ", ".join(["%s"] * len(names))
            sql = f"insert into odd ({', '.join(names)}) values ({marks})"  # noqa: S608
            cursor.execute(sql, [number, *values.values()])
        connection.commit()


def read(place: Place, root: Path, more: str, cursor: str | None = None) -> tuple[list[Any], str]:
    wire = Rows(place, more, name="odd")
    with opened(wire, root) as stream:
        reading = stream.read(cursor, stream.look(cursor), PLENTY)
        batches = list(reading)
        reading.close()
    rows: list[Any] = []
    for batch in batches:
        table = Table.from_arrow(batch.rows)
        names = [name for name in table.column_names if not name.startswith("_")]
        cells = [table.column(name).to_pylist() for name in names]
        rows += [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    return sorted(rows, key=lambda row: int(row["id"])), batches[-1].cursor


@pytest.fixture
def told(mariadb_database: Place, tmp_path: Path) -> list[Any]:
    made(mariadb_database)
    fill(mariadb_database)
    return read(mariadb_database, tmp_path, "")[0]


EXACT: dict[str, list[Any]] = {
    "u8": ["18446744073709551615", "0"], "i8": [-128, 127], "flag": [2, 0],
    "m": [-(2**23), 2**23 - 1], "um": [2**24 - 1, 0], "i": [-(2**31), 2**31 - 1],
    "big": [-(2**63), 2**63 - 1], "z": ["000042", "1234567"], "dz": ["0001.50", "0000.00"],
    "d": ["-12345678901234567890.0123456789", "0.0000000001"],
    "d0": ["-99999999999999999999", "0"], "f": [16777218.0, 0.10000000149011612],
    "dbl": [1e300, -1.5e-10], "b1": ["1", "0"], "b64": ["18446744073709551615", "0"],
    "y": ["2155", "0000"], "da": ["9999-12-31", "0000-00-00"],
    "dt": ["9999-12-31 23:59:59", "0000-00-00 00:00:00"],
    "dt6": ["2024-02-29 12:34:56.000001", "2024-00-00 00:00:00.000000"],
    "ts": ["2038-01-19 03:14:07", "0000-00-00 00:00:00"],
    "ts6": ["1970-01-01 00:00:01.999999", "0000-00-00 00:00:00.000000"],
    "t": ["838:59:59", "00:00:00"], "t6": ["-838:59:58.000001", "00:00:00.100000"],
    "t1": ["-00:00:00.5", "-838:59:59.0"], "c": ["two", ""], "v": ["x" * 300, ""],
    "tx": ["🐙 ü", "a\0b\n\\\"'"], "l1": ["€ü\x81", ""], "koi": ["Привет", ""], "u2": ["→", ""],
    "u16": ["🐙", ""], "ltx": ["é" * 300, ""], "e": ["b'c", "ü", "d\\e"], "s": ["x,z z", ""],
    "bin": [b"a\0b\0\0\0", b"\0" * 6], "vb": [b"\0\xff", b""], "bl": [b"\xff\xfe\0", b""],
    "js": ['{"a": [1, 2.5, null, "ü"]}', "[]"],
}  # fmt: skip


def test_a_select_changes_no_value(told: list[Any]) -> None:
    for name, values in EXACT.items():
        assert [row[name] for row in told[: len(values)]] == values, name


def test_the_log_tells_the_same_as_a_select(mariadb_database: Place, tmp_path: Path) -> None:
    made(mariadb_database)
    more = "changes: true\nkey: id"
    nothing, cursor = read(mariadb_database, tmp_path, more)
    assert nothing == []
    fill(mariadb_database)
    by_log, _ = read(mariadb_database, tmp_path, more, cursor)
    by_select, _ = read(mariadb_database, tmp_path, "")
    for logged, selected in zip(by_log, by_select, strict=True):
        for name, value in selected.items():
            assert logged[name] == value, name


NARROW = (
    "cp850", "dec8", "hp8", "koi8r", "koi8u", "latin1", "latin2", "swe7", "hebrew", "tis620",
    "greek", "cp1250", "latin5", "armscii8", "cp866", "keybcs2", "macce", "macroman", "cp852",
    "latin7", "cp1251", "cp1256", "cp1257", "geostd8", "ascii", "utf8mb3",
)  # fmt: skip


def test_texts_of_every_character_set(mariadb_database: Place, tmp_path: Path) -> None:
    """All 256 bytes of each set that has a byte a character."""
    columns = ", ".join(f"{name} varchar(300) character set {name}" for name in NARROW)
    ask(mariadb_database, f"create table odd (id int primary key, {columns})")
    more = "changes: true\nkey: id"
    _, cursor = read(mariadb_database, tmp_path, more)
    every = {name: 127 if name in ("ascii", "utf8mb3", "swe7") else 256 for name in NARROW}
    with connected(mariadb_database) as connection, connection.cursor() as cursor_:
        cells = ", ".join(f"_{name} x'{bytes(range(every[name])).hex()}'" for name in NARROW)
        cursor_.execute(f"insert into odd values (1, {cells})")  # noqa: S608
        connection.commit()
    by_log, _ = read(mariadb_database, tmp_path, more, cursor)
    by_select, _ = read(mariadb_database, tmp_path, "")
    assert by_log == by_select
    assert all(len(by_log[0][name]) == every[name] for name in NARROW)


@pytest.mark.parametrize(
    "column",
    ["x inet6", "x uuid", "x varchar(9) character set sjis", "x text compressed", "x inet4"],
)
def test_a_column_that_the_log_tells_otherwise_is_refused(
    mariadb_database: Place, tmp_path: Path, column: str
) -> None:
    ask(mariadb_database, f"create table odd (id int primary key, {column})")
    with pytest.raises(Exception, match="not understood: x"):
        read(mariadb_database, tmp_path, "changes: true\nkey: id")
    assert read(mariadb_database, tmp_path, "")[0] == []


def test_a_row_longer_than_a_packet(mariadb_database: Place, tmp_path: Path) -> None:
    """16 MiB are the most of one packet; the server takes 16 MiB at most, so several columns."""
    ask(mariadb_database, "create table odd (id int primary key, a longblob, b longblob)")
    ask(
        mariadb_database,
        "insert into odd values (1, repeat('a', 9000000), repeat('b', 9000000)), (2, 'x', null)",
        "insert into odd values (3, repeat('c', 100), repeat('b', 300))",
    )
    rows, _ = read(mariadb_database, tmp_path, "")
    assert [len(row["a"]) for row in rows] == [9000000, 1, 100]
    assert rows[0]["b"] == b"b" * 9000000
    assert rows[1]["b"] is None
    assert rows[2]["b"] == b"b" * 300
