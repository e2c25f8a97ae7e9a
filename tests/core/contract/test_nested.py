"""Nested values: told as JSON or typed, they fit as a whole, or are lost as a whole."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from lichen.core.contract.fit import fit
from lichen.core.sql import parse_expression, text

POINT = 'STRUCT("a" BIGINT, "b" VARCHAR)'
DEEP = 'STRUCT("l" STRUCT("x" DECIMAL(38, 10), "at" TIMESTAMP WITH TIME ZONE)[][], "s" BOOLEAN)'

# A type, JSON, and the value that it becomes (as text): None where something does not fit.
CASES: list[tuple[str, str | None, str | None]] = [
    (POINT, '{"a": 1, "b": "x"}', "{'a': 1, 'b': x}"),
    (POINT, '{"b": "x", "other": [1]}', "{'a': NULL, 'b': x}"),
    (POINT, '{"a": null, "b": null}', "{'a': NULL, 'b': NULL}"),
    (POINT, '{"a": "7", "b": 7}', "{'a': 7, 'b': 7}"),
    (POINT, '{"a": "", "b": ""}', "{'a': NULL, 'b': ''}"),
    (POINT, '{"a": 1, "b": {"c": [1, 2]}}', """{'a': 1, 'b': '{"c":[1,2]}'}"""),
    (POINT, '{"a": 1.5}', None),
    (POINT, '{"a": "x"}', None),
    (POINT, '{"a": 99999999999999999999}', None),
    (POINT, '{"a": [1]}', None),
    (POINT, "[]", None),
    (POINT, "5", None),
    (POINT, "{torn", None),
    (POINT, "null", None),
    (POINT, None, None),
    ("BIGINT[]", "[1, null, 3]", "[1, NULL, 3]"),
    ("BIGINT[]", "[]", "[]"),
    ("BIGINT[]", "[1, 2.5]", None),
    ("BIGINT[]", '{"a": 1}', None),
    ("VARCHAR[]", '["a", 1, null, {"b": 2}]', """[a, 1, NULL, '{"b":2}']"""),
    (
        DEEP,
        '{"l": [[{"x": "1234567890123456789012345678.0123456789"}], [], null],"s":true}',
        "{'l': [[{'x': 1234567890123456789012345678.0123456789, 'at': NULL}], [], NULL],"
        " 's': true}",
    ),
    (
        DEEP,
        '{"l": [[{"at": "2020-01-01T01:00:00+01:00"}]]}',
        "{'l': [[{'x': NULL, 'at': '2020-01-01 00:00:00+00'}]], 's': NULL}",
    ),
    (DEEP, '{"l": [[{"at": "soon"}]]}', None),
    (DEEP, '{"l": [{"at": "2020-01-01"}]}', None),
]


def value_of(given: str | None, cast: str, query: str) -> list[str | None]:
    """Return what a query says of one value, `x`, as texts."""
    with duckdb.connect() as duck:
        duck.execute("set TimeZone = 'UTC'")
        duck.execute(f"create table t as select $1::{cast} as x", [given])
        return [str(v) if v is not None else None for v in duck.execute(query).fetchall()[0]]


@pytest.mark.parametrize(("type_", "given", "expected"), CASES)
def test_json_fits_as_a_whole_or_not_at_all(
    type_: str, given: str | None, expected: str | None
) -> None:
    value = text(fit(parse_expression("x", Path("t")), type_))
    query = f"select ({value})::varchar, typeof({value}), typeof(null::{type_}) from t"  # noqa: S608
    found, is_, ought = value_of(given, "varchar", query)
    assert found == expected
    assert is_ == ought


@pytest.mark.parametrize(
    ("has", "given", "type_", "expected"),
    [
        ("STRUCT(b VARCHAR, a INTEGER)", "{'b': 'x', 'a': 1}", POINT, "{'a': 1, 'b': x}"),
        ("STRUCT(a DOUBLE)", "{'a': 1.5}", POINT, None),
        (
            "STRUCT(x DECIMAL(38, 10))[][]",
            "[[{'x': 1234567890123456789012345678.0123456789}]]",
            'STRUCT("x" DECIMAL(38, 10))[][]',
            "[[{'x': 1234567890123456789012345678.0123456789}]]",
        ),
        (
            "DECIMAL(38, 10)[]",
            "[1234567890123456789012345678.0123456789]",
            "VARCHAR[]",
            "[1234567890123456789012345678.0123456789]",
        ),
        ("BIGINT", "5", "BIGINT[]", None),
    ],
)
def test_typed_values_fit_another_type_without_losing_a_digit(
    has: str, given: str, type_: str, expected: str | None
) -> None:
    value = text(fit(parse_expression("x", Path("t")), type_, has))
    assert value_of(given, has, f"select ({value})::varchar from t") == [expected]  # noqa: S608
