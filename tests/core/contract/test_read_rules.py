"""What in a contract's file becomes which rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lichen.core.contract.spec import Contract, Must, Reference, names_read, trusting_types
from lichen.core.findings import Severity
from lichen.core.sql import text

Read = Callable[..., Contract]

# The keys of a column, and what they become: (id, severity, the fields that matter).
COLUMN_CASES: list[tuple[str, list[tuple[str, str, dict[str, Any]]]]] = [
    ("logicalType: string", []),
    ("logicalType: integer", [("c.type", "quarantine", {})]),
    ("logicalType: string, required: true", [("c.not_null", "quarantine", {})]),
    ("logicalType: string, unique: true", [("c.unique", "quarantine", {"columns": ("c",)})]),
    (
        "logicalType: string, primaryKey: true",
        [("c.not_null", "quarantine", {}), ("c.unique", "quarantine", {"columns": ("c",)})],
    ),
    (
        "logicalType: string, primaryKey: true, unique: true",
        [("c.not_null", "quarantine", {}), ("c.unique", "quarantine", {})],
    ),
    (
        "logicalType: number, logicalTypeOptions: {minimum: -40, exclusiveMaximum: 130.5}",
        [
            ("c.type", "quarantine", {}),
            (
                "c.range",
                "quarantine",
                {"low": -40, "high": 130.5, "low_open": False, "high_open": True},
            ),
        ],
    ),
    (
        "logicalType: date, logicalTypeOptions: {exclusiveMinimum: 2013-01-01}",
        [
            ("c.type", "quarantine", {}),
            ("c.range", "quarantine", {"low": "2013-01-01", "low_open": True, "high": None}),
        ],
    ),
    (
        "logicalType: string, logicalTypeOptions: {minLength: 3, maxLength: 4, pattern: ^N}",
        [
            ("c.length", "quarantine", {"low": 3, "high": 4}),
            ("c.pattern", "quarantine", {"pattern": "^N"}),
        ],
    ),
    (
        "logicalType: string, relationships: [{to: airports.faa}]",
        [("c.reference", "warn", {"refers_to": Reference("airports", ("faa",))})],
    ),
    (
        "logicalType: string, relationships: [{to: sources.airports.faa}]",
        [("c.reference", "warn", {"refers_to": Reference("sources.airports", ("faa",))})],
    ),
    (
        "logicalType: string, relationships: [{to: a.yaml#/schema/airports/properties/faa}]",
        [("c.reference", "warn", {"refers_to": Reference("airports", ("faa",))})],
    ),
    (
        "logicalType: string, quality: [{metric: nullValues, mustBe: 0}]",
        [("c.not_null", "quarantine", {"must": None})],
    ),
    (
        "logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}]",
        [("c.not_null", "block", {"must": Must(high=1, high_open=True), "percent": True})],
    ),
    (
        "logicalType: string, quality: [{metric: missingValues, mustBe: 0, "
        "arguments: {missingValues: [null, '', N/A]}}]",
        [("c.not_null", "quarantine", {"values": ("", "N/A")})],
    ),
    (
        "logicalType: string, quality: [{metric: invalidValues, mustBe: 0, "
        "arguments: {validValues: [pounds, kg]}}]",
        [("c.allowed", "quarantine", {"values": ("pounds", "kg")})],
    ),
    (
        "logicalType: string, quality: [{metric: invalidValues, mustBe: 0, "
        "arguments: {pattern: '^[A-Z]+$'}}]",
        [("c.pattern", "quarantine", {"pattern": "^[A-Z]+$"})],
    ),
    (
        "logicalType: string, quality: [{metric: duplicateValues, mustBeLessThan: 10}]",
        [("c.unique", "block", {"must": Must(high=10, high_open=True)})],
    ),
    (
        "logicalType: string, required: true, quality: [{metric: nullValues, mustBe: 0}]",
        [("c.not_null", "quarantine", {}), ("c.not_null_2", "quarantine", {})],
    ),
    (
        "logicalType: string, quality: [{type: text, description: checked by hand}]",
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), COLUMN_CASES, ids=[c[0] for c in COLUMN_CASES])
def test_a_column(
    of_column: Read, keys: str, expected: list[tuple[str, str, dict[str, Any]]]
) -> None:
    rules = of_column(keys).rules
    assert [(rule.id, rule.severity.value) for rule in rules] == [e[:2] for e in expected]
    for rule, (_, _, fields) in zip(rules, expected, strict=True):
        assert {name: getattr(rule, name) for name in fields} == fields


SEVERITY_CASES = [
    ("", "quarantine"),
    ("severity: info", "warn"),
    ("severity: Warning", "warn"),
    ("severity: error", "quarantine"),
    ("severity: critical", "block"),
    ("customProperties: [{property: lichen.severity, value: warn}]", "warn"),
    ("severity: critical, customProperties: [{property: lichen.severity, value: warn}]", "warn"),
]


@pytest.mark.parametrize(("said", "expected"), SEVERITY_CASES)
def test_the_severity_of_a_quality_rule(of_column: Read, said: str, expected: str) -> None:
    flow = f"{{metric: nullValues, mustBe: 0{', ' + said if said else ''}}}"
    (rule,) = of_column(f"logicalType: string, quality: [{flow}]").rules
    assert rule.severity is Severity(expected)


def test_a_columns_severity_covers_its_rules_except_where_one_says_its_own(
    of_column: Read,
) -> None:
    rules = of_column(
        "logicalType: integer, required: true, "
        "customProperties: [{property: lichen.severity, value: warn}], "
        "quality: [{name: few, metric: nullValues, mustBe: 0, severity: critical}]"
    ).rules
    assert {rule.id: rule.severity.value for rule in rules} == {
        "c.type": "warn", "c.not_null": "warn", "c.few": "block",
    }  # fmt: skip


def test_a_tables_severity_covers_its_table_rules_and_service_levels(read: Read) -> None:
    contract = read("""\
        schema:
        - name: planes
          customProperties: [{property: lichen.severity, value: warn}]
          properties:
          - {name: built, logicalType: date, required: true}
          quality:
          - {metric: rowCount, mustBeGreaterThan: 0}
          - {metric: rowCount, mustBeLessThan: 9, severity: block}
        slaProperties:
        - {property: latency, value: 2, unit: d, element: planes.built}
        """)
    assert {rule.id: rule.severity.value for rule in contract.rules} == {
        "built.type": "quarantine", "built.not_null": "quarantine", "row_count": "warn",
        "row_count_2": "block", "built.freshness": "warn",
    }  # fmt: skip


def test_a_composite_key_follows_its_positions(read: Read) -> None:
    contract = read("""\
        schema:
        - name: hours
          properties:
          - {name: at, logicalType: timestamp, primaryKey: true, primaryKeyPosition: 2}
          - {name: origin, logicalType: string, primaryKey: true, primaryKeyPosition: 1}
        """)
    assert contract.rules[-1].id == "primary_key.unique"
    assert contract.rules[-1].columns == ("origin", "at")
    assert all(column.required for column in contract.columns)


def test_rules_of_the_whole_table(read: Read) -> None:
    contract = read("""\
        schema:
        - name: orders
          id: orders_tbl
          properties:
          - {name: tenant, id: t, logicalType: string}
          - {name: number, logicalType: integer}
          relationships:
          - from: [schema/orders_tbl/properties/t, orders.number]
            to: [stock.tenant, stock.number]
          quality:
          - metric: duplicateValues
            mustBe: 0
            arguments: {properties: [tenant, number]}
          - {name: enough, metric: rowCount, mustBeGreaterOrEqualTo: 100, mustBeLessThan: 120}
          - {name: positive, type: custom, engine: lichen, implementation: number > 0}
          - name: tenants
            type: sql
            query: select count(distinct o.tenant) from orders o join customers using (tenant)
            mustBeBetween: [1, 9]
          - {type: custom, engine: soda, implementation: "checks: []"}
        """)
    rules = {rule.id: rule for rule in contract.rules}
    assert list(rules) == [
        "number.type", "tenant_number.unique", "enough", "positive", "tenants",
        "tenant_number.reference",
    ]  # fmt: skip
    assert rules["tenant_number.reference"].refers_to == Reference("stock", ("tenant", "number"))
    assert rules["tenant_number.reference"].columns == ("tenant", "number")
    assert rules["enough"].must == Must(low=100, high=120, high_open=True)
    assert rules["tenants"].must == Must(low=1, high=9, low_open=True, high_open=True)
    assert rules["positive"].sql is not None and text(rules["positive"].sql) == "number > 0"
    assert names_read(contract) == ("customers", "stock")
    assert [note.split(": ", 1)[1] for note in contract.unjudged] == ["a rule of the engine soda"]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (4, "d", timedelta(days=4)),
        (6, "hours", timedelta(hours=6)),
        (1, "y", timedelta(days=365)),
        ("'90 minutes'", None, timedelta(minutes=90)),
    ],
)
def test_freshness(of_column: Read, value: object, unit: str | None, expected: timedelta) -> None:
    level = f"{{property: latency, value: {value}, element: c{f', unit: {unit}' if unit else ''}}}"
    contract = of_column("logicalType: timestamp", after=f"slaProperties:\n- {level}\n")
    rule = contract.rules[-1]
    assert (rule.id, rule.within, rule.severity.value) == ("c.freshness", expected, "block")


def test_other_service_levels_are_left_alone(of_column: Read) -> None:
    level = "{property: retention, value: 3, unit: y, element: planes.c}"
    contract = of_column("logicalType: timestamp", after=f"slaProperties:\n- {level}\n")
    assert [rule.kind for rule in contract.rules] == ["type"]


def test_type_rules_go_where_rows_were_never_text(of_column: Read) -> None:
    contract = of_column("logicalType: integer, required: true")
    assert [rule.id for rule in trusting_types(contract).rules] == ["c.not_null"]


def test_keys_that_are_not_ours_are_accepted(read: Read) -> None:
    contract = read("""\
        name: planes
        tenant: nobody
        domain: air
        dataProduct: fleet
        contractCreatedTs: 2022-11-15T02:59:43+00:00
        description: {purpose: to test, usage: here, limitations: none}
        tags: [a]
        team: {name: us, members: [{username: a, role: owner}]}
        roles: [{role: reader, access: read}]
        support: [{channel: '#help', url: 'https://example.com'}]
        price: {priceAmount: 9.95, priceCurrency: USD, priceUnit: megabyte}
        servers: [{server: local, type: duckdb, database: a.db}]
        authoritativeDefinitions: [{url: 'https://example.com', type: tutorial}]
        customProperties: [{property: refRulesetName, value: gcsc.ruleset.name}]
        schema:
        - name: planes
          logicalType: object
          physicalType: table
          physicalName: planes_1
          businessName: the fleet
          dataGranularityDescription: one row per aircraft
          properties:
          - name: tailnum
            logicalType: string
            physicalType: varchar(18)
            businessName: tail number
            partitioned: true
            partitionKeyPosition: 1
            classification: public
            criticalDataElement: false
            encryptedName: enc
            transformLogic: select 1
            transformDescription: none
            transformSourceObjects: [a]
            examples: [N10156, 5]
            description: null
            tags: []
        """)
    assert [(column.name, column.type) for column in contract.columns] == [("tailnum", "VARCHAR")]
