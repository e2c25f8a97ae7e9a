"""Which type of DuckDB a property gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lichen.core.contract.spec import Contract
from lichen.core.errors import TableError

MOMENT = "TIMESTAMP WITH TIME ZONE"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("logicalType: string", "VARCHAR"),
        ("logicalType: integer", "BIGINT"),
        ("logicalType: number", "DOUBLE"),
        ("logicalType: boolean", "BOOLEAN"),
        ("logicalType: date", "DATE"),
        ("logicalType: timestamp", MOMENT),
        ("logicalType: object", "VARCHAR"),
        ("logicalType: array, items: {logicalType: integer}", "BIGINT[]"),
        ("logicalType: integer, logicalTypeOptions: {format: i16}", "SMALLINT"),
        ("logicalType: integer, logicalTypeOptions: {format: u32}", "BIGINT"),
        ("logicalType: number, logicalTypeOptions: {format: f32}", "FLOAT"),
        ("logicalType: number, physicalType: 'decimal(10,2)'", "DECIMAL(10, 2)"),
        ("logicalType: integer, physicalType: int", "INTEGER"),
        ("logicalType: timestamp, physicalType: timestamp", MOMENT),
        ("physicalType: varchar(18)", "VARCHAR"),
        ("physicalType: 'double[]'", "DOUBLE[]"),
        (
            "logicalType: object, properties: [{name: a, logicalType: integer}, "
            "{name: Order no, logicalType: array, items: {logicalType: object, properties: "
            "[{name: b, logicalType: date}]}}]",
            'STRUCT("a" BIGINT, "Order no" STRUCT("b" DATE)[])',
        ),
        (
            "physicalType: 'struct(a int, \"B\" struct(c timestamp)[])'",
            f'STRUCT("a" INTEGER, "B" STRUCT("c" {MOMENT})[])',
        ),
        ("logicalType: object, physicalType: json, properties: [{name: a}]", "VARCHAR"),
        # Another system's spelling gives way to the logical type.
        ("logicalType: integer, physicalType: 'NUMBER(38,0)'", "BIGINT"),
        ("logicalType: string, physicalType: 'VARCHAR2(9)'", "VARCHAR"),
        ("logicalType: date, logicalTypeOptions: {format: yyyy-MM-dd}", "DATE"),
    ],
)
def test_a_type(of_column: Callable[..., Contract], keys: str, expected: str) -> None:
    contract = of_column(keys)
    assert [column.type for column in contract.columns] == [expected]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("logicalType: time", "the type 'time' cannot be stored"),
        ("logicalType: integer, logicalTypeOptions: {format: u64}", "the type 'integer u64'"),
        ("physicalType: ubigint", "the type 'ubigint' cannot be stored"),
        ("physicalType: 'struct(a ubigint)'", "the type 'UBIGINT' cannot be stored"),
        (
            "logicalType: object, properties: [{name: a, logicalType: time}]",
            "the type 'time' cannot be stored",
        ),
        (
            "logicalType: object, properties: [{name: a, logicalType: date}, "
            "{name: A, logicalType: date}]",
            "the field 'A' stands twice",
        ),
        ("required: true", "the column 'c' has no type"),
        ("logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}", "'dd.MM.yyyy' cannot be"),
        (
            "logicalType: timestamp, logicalTypeOptions: {defaultTimezone: America/New_York}",
            "the time zone 'America/New_York' cannot be read",
        ),
    ],
)
def test_a_type_that_is_refused(
    of_column: Callable[..., Contract], keys: str, message: str
) -> None:
    with pytest.raises(TableError) as caught:
        of_column(keys)
    assert message in str(caught.value)
    assert str(caught.value.where).endswith("planes.odcs.yaml:9")
