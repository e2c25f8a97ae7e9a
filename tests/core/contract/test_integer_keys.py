"""Keys with an integer are counted by bits: the number of repeats is that of plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.scan import compile_scan, compile_verdicts
from lichen.core.contract.spec import Contract, trusting_types
from lichen.core.sql import parse_select, text
from lichen.core.time import instant

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: random
version: 1.0.0
status: active
schema:
- name: things
  properties:
  - {name: shop, logicalType: string, primaryKey: true, primaryKeyPosition: 1}
  - {name: Number, logicalType: integer, primaryKey: true, primaryKeyPosition: 2}
  - {name: id, logicalType: integer, physicalType: bigint, unique: true}
  - {name: small, logicalType: integer, physicalType: tinyint, unique: true}
"""
INTEGERS = ("id", "number", "small")
LOWEST, HIGHEST = -(2**63), 2**63 - 1
ids = st.one_of(
    st.none(),
    st.sampled_from([LOWEST, LOWEST + 1, LOWEST + 32, HIGHEST - 31, HIGHEST]),
    st.sampled_from([-65, -64, -33, -32, -31, -1, 0, 1, 31, 32, 63, 64]),
    st.integers(LOWEST, HIGHEST),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "north", "south"]),
        st.sampled_from([None, -2, -1, 0, 1, 40]),
        ids,
        st.one_of(st.none(), st.integers(-128, 127)),
        st.sampled_from([False, False, True, None]),
    ),
    max_size=40,
)
Row = tuple[str | None, int | None, int | None, int | None, bool | None]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "things.odcs.yaml"
    path.write_text(CONTRACT)
    return trusting_types(read_contract(path))


def repeats(keys: list[tuple[object, ...]]) -> int:
    return sum(n - 1 for n in Counter(key for key in keys if None not in key).values())


def expected(rows: list[Row]) -> dict[str, int]:
    judged = [row for row in rows if not row[4]]
    return {
        "primary_key.unique": repeats([row[:2] for row in judged]),
        "id.unique": repeats([row[2:3] for row in judged]),
        "small.unique": repeats([row[3:4] for row in judged]),
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ROWS)
def test_the_bits_count_what_plain_python_does(
    contract: Contract, duck: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    duck.execute(
        "create or replace table staged (_row bigint, shop varchar, number bigint, id bigint, "
        "small tinyint, _deleted boolean)"
    )
    if rows:
        marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
        values = [value for i, row in enumerate(rows) for value in (i, *row)]
        duck.execute(f"insert into staged values {marks}", values)  # noqa: S608
    counted = expected(rows)
    for integers in (INTEGERS, ()):  # by bits, and by a list of distinct keys
        cursor = duck.execute(text(scan(contract, integers)))
        names = [column[0] for column in cursor.description or ()]
        (found,) = cursor.fetchall()
        measured = dict(zip(names, found, strict=True))
        assert {rule: measured[rule] for rule in counted} == counted
    verdicts = Counter(rule for _, rule, _ in duck.execute(text(held(contract))).fetchall())
    assert {rule: verdicts[rule] for rule in counted} == counted


def scan(contract: Contract, integers: tuple[str, ...]) -> exp.Select:
    staged, now = parse_select("select * from staged", Path("t")), instant("2020-01-01")
    return compile_scan(contract, staged, whole=staged, refs={}, now=now, integers=integers)


def held(contract: Contract) -> exp.Select:
    return compile_verdicts(contract, parse_select("select * from staged", Path("t")), refs={})


def test_only_keys_with_an_integer_are_counted_by_bits(contract: Contract) -> None:
    assert text(scan(contract, INTEGERS)).count("BIT_COUNT") == 3
    assert text(scan(contract, ("id",))).count("BIT_COUNT") == 1
    assert "BIT_COUNT" not in text(scan(contract, ()))
