"""Values of PostgreSQL: the same whether a table is read whole, by a column, or by its changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pgbase import Base, run

from lichen.testing.project import LOGICAL, SmallProject

WAYS = ("", "incremental: id\n", "changes: true\n")

# A column, its type in PostgreSQL, values of it; the contract's type, and what is then stored.
TYPES = (
    ("small", "smallint", "-32768", "bigint", -32768),
    ("big", "bigint", "9223372036854775807", "bigint", 2**63 - 1),
    ("exact", "numeric", "'123456789012345678901234567890.123456789'", "varchar",
     "123456789012345678901234567890.123456789"),
    ("money", "numeric(12,2)", "1.50", "decimal(12,2)", "1.50"),
    ("none", "numeric", "'NaN'", "varchar", "NaN"),
    ("endless", "numeric", "'-Infinity'", "varchar", "-Infinity"),
    ("float", "double precision", "0.1", "double", 0.1),
    ("short", "real", "0.1", "varchar", "0.1"),
    ("truth", "boolean", "true", "varchar", "true"),
    ("flag", "boolean", "false", "boolean", False),
    ("text", "text", r"""e'q\'"\\ \t🦠 \x01'""", "varchar", "q'\"\\ \t🦠 \x01"),
    ("padded", "char(5)", "'ab'", "varchar", "ab   "),
    ("bytes", "bytea", "'\\x00ff27'", "blob", b"\x00\xff\x27"),
    ("id_", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "varchar",
     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("doc", "jsonb", """'{"b": [1, null], "a": "ü"}'""", "varchar", '{"a": "ü", "b": [1, null]}'),
    ("raw", "json", """'{"b":1 }'""", "varchar", '{"b":1 }'),
    ("mood", "mood", "'so so'", "varchar", "so so"),
    ("domain", "positive", "7", "bigint", 7),
    ("numbers", "int[]", "'{1,NULL,3}'", "bigint[]", [1, None, 3]),
    ("texts", "text[]", """'{"a, b","c\\"d",NULL,""}'""", "varchar[]", ["a, b", 'c"d', None, ""]),
    ("nested", "int[][]", "'{{1,2},{3,4}}'", "varchar", '[["1","2"],["3","4"]]'),
    ("lasts", "interval", "'1 year 2 days 03:04:05.6'", "varchar", "1 year 2 days 03:04:05.6"),
    ("clock", "time", "'10:20:30.5'", "varchar", "10:20:30.5"),
    ("address", "inet", "'192.168.1.1'", "varchar", "192.168.1.1"),
    ("range", "int4range", "'[1,5)'", "varchar", "[1,5)"),
    ("pair", "pair", "row(1, 'x y')", "varchar", '(1,"x y")'),
    ("day", "date", "'2024-02-29'", "varchar", "2024-02-29"),
    ("early", "date", "'0044-03-15 BC'", "varchar", "0044-03-15 (BC)"),
    ("moment", "timestamptz", "'2024-02-29 12:00:00.000001+02'", "varchar",
     "2024-02-29 10:00:00.000001+00"),
    ("local", "timestamp", "'2024-02-29 12:00:00.5'", "varchar", "2024-02-29 12:00:00.5"),
    ("forever", "timestamptz", "'infinity'", "varchar", "infinity"),
    ("never", "date", "'-infinity'", "varchar", "-infinity"),
    ("always", "timestamp", "'-infinity'", "varchar", "-infinity"),
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_type_is_stored_as_it_is(base: Base, tmp_path: Path, way: str) -> None:
    base.run("create type mood as enum ('so so'); create domain positive as int check (value > 0); "
             "create type pair as (a int, b text)")  # fmt: skip
    columns = ", ".join(f'"{name}" {type_}' for name, type_, *_ in TYPES)
    base.run(f"create table v (id int primary key, {columns})")
    values = ", ".join(value for _, _, value, *_ in TYPES)
    project = SmallProject(tmp_path)
    said = f"connector: postgres\n{base.settings}table: v\nkey: id\n{way}"
    project.write("sources/v.yml", said)
    types = {"id": "bigint"} | {name: type_ for name, _, _, type_, _ in TYPES}
    project.contract("sources/v", types, rules={n: _rule(t) for n, t in types.items()})
    base.run(f"insert into v values (1, {values})")  # noqa: S608
    run(project, "2020-01-01")
    base.run(f"insert into v values (2, {values}); insert into v (id) values (3)")  # noqa: S608
    run(project, "2020-01-02")
    one, two, three = project.current("sources.v", "2020-01-03")
    for name, *_, expected in TYPES:
        for row in (one, two):
            found = row[name]
            assert (str(found) if name == "money" else found) == expected, (way, name)
    assert set(three.values()) == {3, None}
    assert project.verdicts("sources.v") == []
    assert project.plan("2020-01-04") == ()


def _rule(type_: str) -> dict[str, str]:
    logical = {"decimal(12,2)": "number", "bigint[]": "array", "varchar[]": "array"}
    return {"logicalType": logical.get(type_, LOGICAL.get(type_, "string"))}


@pytest.mark.parametrize("way", WAYS)
def test_what_the_contract_cannot_hold_is_held_back_with_its_text(
    base: Base, tmp_path: Path, way: str
) -> None:
    project = SmallProject(tmp_path)
    base.run("create table v (id int primary key, x numeric, day date)")
    project.write("sources/v.yml", f"connector: postgres\n{base.settings}table: v\nkey: id\n{way}")
    project.contract("sources/v", {"id": "bigint", "x": "bigint", "day": "varchar"})
    base.run("insert into v values (1, 7, 'infinity'), (2, 'NaN', '2020-01-01'), (3, 1.5, null)")
    run(project, "2020-01-01")
    base.run("insert into v values (4, 'Infinity', '2020-01-02')")
    run(project, "2020-01-02")
    rows = {row["id"]: row for row in project.versions("sources.v")}
    assert [rows[n]["x"] for n in (1, 2, 3, 4)] == [7, None, None, None]
    assert [rows[n]["day"] for n in (1, 2, 3, 4)] == ["infinity", "2020-01-01", None, "2020-01-02"]
    assert '"NaN"' in rows[2]["_raw"]
    assert '"1.5"' in rows[3]["_raw"]
    held = {v["_row"] for v in project.verdicts("sources.v")}
    assert held == {row["_row"] for row in project.versions("sources.v") if row["id"] != 1}
