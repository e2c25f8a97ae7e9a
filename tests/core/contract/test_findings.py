"""What a person reads about a scan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from sqlglot import exp

from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import Contract, trusting_types
from lichen.core.errors import TableError
from lichen.core.findings import Finding
from lichen.core.sql import parse_select, text

Read = Callable[..., Contract]
Duck = duckdb.DuckDBPyConnection
NOW = datetime(2013, 1, 5, 4, tzinfo=UTC)


def select(query: str) -> exp.Select:
    return parse_select(query, Path("test"))


def found(
    duck: Duck, contract: Contract, rows: str, refs: dict[str, exp.Query] | None = None
) -> tuple[Finding, ...]:
    query = select(f"select * from ({rows})")  # noqa: S608
    trusted = trusting_types(contract)
    scan = compile_scan(trusted, query, whole=query, refs=refs or {}, now=NOW)
    cursor = duck.execute(text(scan))
    names = [column[0] for column in cursor.description or ()]
    return findings(trusted, "tables.planes", dict(zip(names, cursor.fetchall()[0], strict=True)))


# The keys of the column, the values of three rows, and the finding's line and reason if any.
CASES = [
    ("logicalType: string, required: true", "'a', null, 'b'",
     "quarantine tables.planes c.not_null: 1 of 3 rows: c is missing",
     "c is empty, but a value is required"),
    ("logicalType: number, logicalTypeOptions: {minimum: 0, exclusiveMaximum: 9}", "1, 9, 8",
     "quarantine tables.planes c.range: 1 of 3 rows: c is not at least 0 and less than 9",
     "c is 9, not at least 0 and less than 9"),
    ("logicalType: string, logicalTypeOptions: {maxLength: 2}", "'ab', 'abc', ''",
     "quarantine tables.planes c.length: 1 of 3 rows: the length of c is not at most 2",
     "c is 'abc', with 3 characters, not at most 2"),
    ("logicalType: string, logicalTypeOptions: {pattern: '^N'}", "'N1', 'XN', 'N'",
     "quarantine tables.planes c.pattern: 1 of 3 rows: c is not like ^N",
     "c is XN, not like ^N"),
    ("logicalType: string, quality: [{metric: invalidValues, mustBe: 0, "
     "arguments: {validValues: [EWR, JFK]}}]", "'EWR', 'LGA', null",
     "quarantine tables.planes c.allowed: 1 of 3 rows: c is not EWR, JFK",
     "c is LGA, not EWR, JFK"),
    ("logicalType: string, unique: true", "'a', 'a', null",
     "quarantine tables.planes c.unique: 1 of 3 rows: c repeats an earlier row's",
     "c a: an earlier row has the same"),
    ("logicalType: string, relationships: [{to: known.k, customProperties: "
     "[{property: lichen.severity, value: quarantine}]}]", "'k', 'z', null",
     "quarantine tables.planes c.reference: 1 of 3 rows: c is not in known.k",
     "c z: not in known.k"),
    ("logicalType: integer, quality: [{name: q, type: custom, engine: lichen, "
     "implementation: c > 1}]", "1, 2, null",
     "quarantine tables.planes c.q: 1 of 3 rows: breaks c > 1", "c 1: breaks c > 1"),
    ("logicalType: string, relationships: [{to: known.k}]", "'k', 'z', 'y'",
     "warn       tables.planes c.reference: 2 of 3 rows: c is not in known.k", None),
    ("logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 50, unit: percent}]",
     "null, null, 'x'",
     "block      tables.planes c.not_null: 2 of 3 rows (67%): c is missing; "
     "must be less than 50%", None),
    ("logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 70, unit: percent}]",
     "null, null, 'x'", None, None),
    ("logicalType: string, quality: [{name: q, type: sql, mustBe: 1, "
     "query: 'select count(distinct c) from planes'}]", "'a', 'b', 'b'",
     "block      tables.planes c.q: the query is 2; must be 1", None),
    ("logicalType: string, quality: [{name: q, type: sql, mustBe: true, "
     "query: 'select max(c) > $$z$$ from planes'}]", "'a', 'b', 'b'",
     "block      tables.planes c.q: the query is 0; must be 1", None),
    ("logicalType: string, quality: [{name: q, type: sql, mustBeGreaterThan: 1, "
     "description: the longest, query: 'select max(length(c)) from planes where false'}]",
     "'a', 'b', 'b'",
     "block      tables.planes c.q: the longest gives nothing; must be more than 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "values", "line", "reason"), CASES)
def test_a_finding(
    of_column: Read, duck: Duck, keys: str, values: str, line: str | None, reason: str | None
) -> None:
    contract = of_column(keys)
    rows = f"select unnest([0, 1, 2]) as _row, unnest([{values}]) as c, false as _deleted"
    refs: dict[str, exp.Query] = {"known": select("select 'k' as k")}
    assert [finding.line() for finding in found(duck, contract, rows, refs)] == (
        [line] if line else []
    )
    verdicts = compile_verdicts(trusting_types(contract), select(rows), refs=refs)
    reasons = duck.execute(text(verdicts)).fetchall()
    assert [why for _, _, why in reasons] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("newest", "message"),
    [
        ("'2013-01-05T03:00:00Z'", None),
        ("'2013-01-05T02:00:00Z'", None),
        (
            "'2013-01-02T00:00:00Z'",
            "the newest c is 3 d 4 h old; allowed is 2 h",
        ),
        ("null", "c has no value; it must be at most 2 h old"),
    ],
)
def test_freshness_says_how_old(
    of_column: Read, duck: Duck, newest: str, message: str | None
) -> None:
    level = "slaProperties:\n- {property: latency, value: 2, unit: h, element: c}\n"
    contract = of_column("logicalType: timestamp", after=level)
    rows = f"select 0 as _row, {newest}::timestamptz as c, false as _deleted"
    assert [f.message for f in found(duck, contract, rows)] == ([message] if message else [])


def test_all_findings_are_collected_in_the_order_of_the_contract(
    of_column: Read, duck: Duck
) -> None:
    contract = of_column(
        "logicalType: string, required: true, logicalTypeOptions: {minLength: 2, pattern: x}"
    )
    rows = "select unnest([0, 1]) as _row, unnest([null, 'a']) as c, false as _deleted"
    assert [finding.rule for finding in found(duck, contract, rows)] == [
        "c.not_null", "c.length", "c.pattern",
    ]  # fmt: skip


def test_verdicts_can_be_asked_of_some_rules_alone(of_column: Read, duck: Duck) -> None:
    contract = of_column("logicalType: string, required: true, unique: true")
    rows = select(
        "select unnest([0, 1, 2]) as _row, unnest([null, 'a', 'a']) as c, false as _deleted"
    )
    some = compile_verdicts(contract, rows, refs={}, only={"c.unique"})
    assert [(row, rule) for row, rule, _ in duck.execute(text(some)).fetchall()] == [
        (2, "c.unique")
    ]
    none = duck.execute(text(compile_verdicts(contract, rows, refs={}, only=())))
    assert [column[0] for column in none.description or ()] == ["_row", "rule", "reason"]
    assert none.fetchall() == []


def test_a_reference_to_nothing_is_an_error(of_column: Read, tmp_path: Path) -> None:
    contract = of_column("logicalType: string, relationships: [{to: airprots.faa}]")
    rows = select("select 1")
    with pytest.raises(TableError) as caught:
        compile_scan(contract, rows, whole=rows, refs={"airports": rows}, now=NOW)
    assert str(caught.value) == (
        f"{tmp_path}/planes.odcs.yaml:9: c.reference reads 'airprots', which is no table or "
        "source\n  allowed: airports\n  did you mean 'airports'?"
    )
