"""Texts become the contract's types, and what does not cast is kept and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from lichen.core.contract.impose import impose
from lichen.core.contract.scan import compile_scan, compile_verdicts
from lichen.core.contract.spec import Contract
from lichen.core.sql import parse_select, text
from lichen.core.time import instant

Read = Callable[..., Contract]
Duck = duckdb.DuckDBPyConnection

# A type, a text, the value it becomes (as text), and whether the text is lost without `_raw`.
CASES: list[tuple[str, str | None, str | None, bool]] = [
    ("integer", "12", "12", False),
    ("integer", " 12 ", "12", False),
    ("integer", "12.0", "12", False),
    ("integer", "1.5", None, True),
    ("integer", "99999999999999999999", None, True),
    ("integer", "", None, False),
    ("integer", "  ", None, False),
    ("integer", None, None, False),
    ("integer", "NA", None, False),
    ("integer", "12 F", None, True),
    ("number", "1.5", "1.5", False),
    ("number", "1,5", None, True),
    ("boolean", "true", "true", False),
    ("boolean", "maybe", None, True),
    ("date", "2013-01-31", "2013-01-31", False),
    ("date", "2013-02-30", None, True),
    ("timestamp", "2013-01-01T06:00:00Z", "2013-01-01 06:00:00+00", False),
    ("timestamp", "2013-01-01T06:00:00-05:00", "2013-01-01 11:00:00+00", False),
    ("timestamp", "2013-01-01 06:00", "2013-01-01 06:00:00+00", False),
    ("timestamp", "soon", None, True),
    ("string", " as it is ", " as it is ", False),
    ("string", "NA", None, False),
    ("string", "", "", False),
]


@pytest.mark.parametrize(("type_", "given", "expected", "lost"), CASES)
def test_a_text(
    of_column: Read, duck: Duck, type_: str, given: str | None, expected: str | None, lost: bool
) -> None:
    contract = of_column(
        f"logicalType: {type_}, customProperties: [{{property: lichen.missing, value: [NA]}}]"
    )
    duck.execute("create table t (_row bigint, c varchar, _deleted boolean)")
    duck.execute("insert into t values (7, ?, false)", [given])
    query = impose(contract, parse_select("select * from t", Path("t")), keep=("_row", "_deleted"))
    duck.execute(f"create table u as {text(query)}")
    ((value, raw),) = duck.execute("select c::varchar, _raw from u").fetchall()
    assert value == expected
    assert (json.loads(raw) if raw else None) == ({"c": (given or "").strip()} if lost else None)

    rows = parse_select("select * from u", Path("u"))
    verdicts = duck.execute(text(compile_verdicts(contract, rows, refs={}))).fetchall()
    assert [(row, rule) for row, rule, _ in verdicts] == ([(7, "c.type")] if lost else [])
    if lost:
        assert f"c is '{given}', which is no " in verdicts[0][2]


def test_a_text_that_does_not_cast_is_no_missing_value(of_column: Read, duck: Duck) -> None:
    contract = of_column("logicalType: integer, required: true")
    texts = parse_select(
        "select * from (values (0, 'x', false), (1, '', false)) t(_row, c, _deleted)", Path("t")
    )
    rows = impose(contract, texts, keep=("_row", "_deleted"))
    verdicts = duck.execute(text(compile_verdicts(contract, rows, refs={}))).fetchall()
    assert sorted((row, rule) for row, rule, _ in verdicts) == [(0, "c.type"), (1, "c.not_null")]


def test_columns_that_already_have_types_are_cast_without_a_detour(read: Read, duck: Duck) -> None:
    contract = read("""\
        schema:
        - name: planes
          properties:
          - {name: same, logicalType: number}
          - {name: small, logicalType: integer, physicalType: smallint}
          - {name: whole, logicalType: integer}
        """)
    rows = parse_select(
        "select unnest([1.5::double, 2.5]) as same, unnest([9, 99999]) as small, "
        "unnest([1.5::double, 2]) as whole",
        Path("t"),
    )
    types = {"same": "DOUBLE", "small": "INTEGER", "whole": "DOUBLE"}
    found = duck.execute(text(impose(contract, rows, types=types))).fetchall()
    assert [row[:3] for row in found] == [(1.5, 9, None), (2.5, None, 2)]
    assert [json.loads(row[3]) for row in found] == [
        {"small": "9", "whole": "1.5"},
        {"small": "99999", "whole": "2.0"},
    ]


@pytest.mark.parametrize("name", ["wind speed", "a.b", "q'uote", 'q"uote', "$x", "größe", "at"])
def test_names_that_need_quoting(read: Read, duck: Duck, name: str) -> None:
    written = name.replace("'", "''")
    contract = read(
        "schema:\n- name: planes\n  properties:\n"
        f"  - {{name: '{written}', logicalType: integer, required: true, unique: true}}\n"
    )
    quoted = name.replace('"', '""')
    duck.execute(f'create table t (_row bigint, "{quoted}" varchar, _deleted boolean)')
    duck.execute("insert into t values (0, 'x', false), (1, '2', false), (2, '2', false)")
    texts = parse_select("select * from t", Path("t"))
    rows = impose(contract, texts, keep=("_row", "_deleted"))
    scan = compile_scan(contract, rows, whole=rows, refs={}, now=instant("2013-01-01"))
    assert duck.execute(text(scan)).fetchall() == [(3, 1, 0, 1)]
    verdicts = duck.execute(text(compile_verdicts(contract, rows, refs={}))).fetchall()
    assert sorted((row, rule) for row, rule, _ in verdicts) == [
        (0, f"{name}.type"),
        (2, f"{name}.unique"),
    ]
