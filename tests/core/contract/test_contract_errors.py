"""What a wrong contract says: the line, what was allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lichen.core.contract.columns import check_columns
from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract
from lichen.core.errors import LichenError

Read = Callable[..., Contract]

# The keys of the column `c`, which stands on line 9, and the text of the error.
CASES = {
    "an unknown key": (
        "logicalType: string, logicalTypeOptions: {patern: x}",
        """\
planes.odcs.yaml:9: unknown key 'patern'
  allowed: minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, minLength, \
maxLength, pattern, format, timezone, defaultTimezone, minItems, maxItems, uniqueItems, \
minProperties, maxProperties, required
  did you mean 'pattern'?""",
    ),
    "a word that is not allowed": (
        "logicalType: strng",
        """\
planes.odcs.yaml:9: schema[0].properties[0].logicalType: 'strng' is not allowed
  allowed: string, date, timestamp, time, number, integer, object, array, boolean
  did you mean 'string'?""",
    ),
    "a metric that no column has": (
        "logicalType: string, quality: [{metric: rowCount, mustBe: 1}]",
        """\
planes.odcs.yaml:9: rowCount is no metric of a column
  allowed: nullValues, missingValues, invalidValues, duplicateValues""",
    ),
    "no limit": (
        "logicalType: string, quality: [{metric: nullValues}]",
        """\
planes.odcs.yaml:9: no limit is given
  allowed: mustBe, mustNotBe, mustBeBetween, mustNotBeBetween, mustBeGreaterThan, \
mustBeGreaterOrEqualTo, mustBeLessThan, mustBeLessOrEqualTo""",
    ),
    "limits that do not go together": (
        "logicalType: string, quality: [{metric: nullValues, mustBe: 0, mustBeLessThan: 3}]",
        """\
planes.odcs.yaml:9: these do not go together: mustBe, mustBeLessThan
  allowed: mustBe, mustNotBe, mustBeBetween, mustNotBeBetween, mustBeGreaterThan, \
mustBeGreaterOrEqualTo, mustBeLessThan, mustBeLessOrEqualTo""",
    ),
    "a severity": (
        "logicalType: string, quality: [{metric: nullValues, mustBe: 0, severity: warnin}]",
        """\
planes.odcs.yaml:9: severity: 'warnin' is not known
  allowed: info, low, minor, warn, warning, error, medium, major, high, critical, blocker, \
block, quarantine
  did you mean 'warning'?""",
    ),
    "a key of our own": (
        "logicalType: string, customProperties: [{property: lichen.severty, value: warn}]",
        """\
planes.odcs.yaml:9: unknown key 'lichen.severty'
  allowed: lichen.severity, lichen.missing
  did you mean 'lichen.severity'?""",
    ),
    "quarantine by the table": (
        "logicalType: string, "
        "quality: [{metric: nullValues, mustBeLessThan: 3, severity: quarantine}]",
        """\
planes.odcs.yaml:9: c.not_null judges the table, not a row: nothing can be quarantined
  allowed: warn, block""",
    ),
    "a boolean where a text belongs": (
        "logicalType: string, "
        "quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [SE, NO]}}]",
        """\
planes.odcs.yaml:9: False cannot be a value of c, which is VARCHAR
  next: put the value in quotes""",
    ),
    "a limit of another type": (
        "logicalType: number, logicalTypeOptions: {minimum: '3'}",
        """\
planes.odcs.yaml:9: '3' is no limit for c, which is DOUBLE
  next: drop the quotes""",
    ),
    "a time that is none": (
        "logicalType: timestamp, logicalTypeOptions: {minimum: yesterday}",
        """\
planes.odcs.yaml:9: 'yesterday' is no limit for c, which is TIMESTAMP WITH TIME ZONE
  allowed: 2013-01-01, 2013-01-01T06:30:00Z""",
    ),
    "a pattern": (
        "logicalType: string, logicalTypeOptions: {pattern: '(?=x)'}",
        """\
planes.odcs.yaml:9: the pattern '(?=x)' looks around or back, which engines cannot do in one pass
  next: write a rule of your own: type custom, engine lichen""",
    ),
    "a reference": (
        "logicalType: string, relationships: [{to: airports}]",
        """\
planes.odcs.yaml:9: 'airports' is not a column
  allowed: planes.tailnum, sources.planes.tailnum, schema/planes/properties/tailnum""",
    ),
    "a condition with a subquery": (
        "logicalType: string, "
        "quality: [{type: custom, engine: lichen, implementation: c = (select 1)}]",
        """\
planes.odcs.yaml:9: a row's condition cannot say '(SELECT 1)'
  next: name columns alone; a query with mustBe… is a rule of type sql""",
    ),
    "a query with two columns": (
        "logicalType: string, quality: [{type: sql, query: 'select 1, 2', mustBe: 1}]",
        "planes.odcs.yaml:9: the query must give exactly one number",
    ),
    "a placeholder": (
        "logicalType: string, quality: [{type: sql, query: 'select {tabel}', mustBe: 1}]",
        """\
planes.odcs.yaml:9: nothing is known as '{tabel}'
  allowed: {object}, {property}""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_columns_mistake(of_column: Read, tmp_path: Path, case: str) -> None:
    keys, expected = CASES[case]
    with pytest.raises(LichenError) as caught:
        of_column(keys)
    assert str(caught.value).replace(f"{tmp_path}/", "") == expected


DOCUMENTS = {
    "two tables": (
        "schema:\n- {name: a}\n- {name: b}\n",
        """\
planes.odcs.yaml:6: a contract is about one table, and this one has 2
  next: give each table a file of its own""",
    ),
    "a column twice": (
        "schema:\n- name: a\n  properties:\n  - {name: x, logicalType: string}\n"
        "  - {name: X, logicalType: string}\n",
        "planes.odcs.yaml:10: the column 'X' stands twice (first on line 9)",
    ),
    "no schema": ("name: x\n", "planes.odcs.yaml:1: the key 'schema' is missing"),
    "no YAML": ("a: [1\nb: 2\n", "planes.odcs.yaml:7: this is not YAML"),
    "a key twice": (
        "status: draft\n",
        """\
planes.odcs.yaml:6: the key 'status' stands twice (first on line 5)
  next: keep one of the two""",
    ),
    "freshness of what": (
        "schema:\n- name: a\n  properties:\n  - {name: seen, logicalType: timestamp}\n"
        "slaProperties:\n- {property: latency, value: 1, unit: d, element: a.sean}\n",
        """\
planes.odcs.yaml:11: 'sean' is no column with a time
  allowed: seen
  did you mean 'seen'?""",
    ),
    "a length of time": (
        "schema:\n- name: a\n  properties:\n  - {name: seen, logicalType: timestamp}\n"
        "slaProperties:\n- {property: latency, value: 1, unit: fortnight, element: seen}\n",
        """\
planes.odcs.yaml:11: '1 fortnight' is not a length of time
  allowed: value: 4, unit: d, value: 90, unit: minutes""",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_documents_mistake(read: Read, tmp_path: Path, case: str) -> None:
    body, expected = DOCUMENTS[case]
    with pytest.raises(LichenError) as caught:
        read(body)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "version: 1.0.0",
            "version: 1.0",
            "4: version: expected a text, got a number\n  next: put",
        ),
        ("apiVersion: v3.1.0", "apiVersion: v2.2.0", "1: apiVersion: 'v2.2.0' is not allowed"),
        ("kind: DataContract\n", "", "1: the key 'kind' is missing"),
    ],
)
def test_the_heads_mistakes(of_column: Read, old: str, new: str, message: str) -> None:
    path = of_column("logicalType: string").path
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(LichenError) as caught:
        read_contract(path)
    assert f"{path}:{message}" in str(caught.value)


COLUMNS = [
    ("logicalType: string", "9: there is no column 'c'\n  allowed: cc, dd\n  did you mean 'cc'?"),
    (
        "logicalType: string, quality: [{name: q, type: custom, engine: lichen, "
        "implementation: de > 1}]",
        "9: there is no column 'c'\n  allowed: cc, dd\n  did you mean 'cc'?\n"
        "  next: also missing: de",
    ),
]


@pytest.mark.parametrize(("keys", "expected"), COLUMNS)
def test_columns_that_the_rows_do_not_have(
    of_column: Read, tmp_path: Path, keys: str, expected: str
) -> None:
    with pytest.raises(LichenError) as caught:
        check_columns(of_column(keys), ["cc", "dd", "_row"])
    assert str(caught.value) == f"{tmp_path}/planes.odcs.yaml:{expected}"


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        ("{name: q, type: custom, engine: lichen, implementation: de > 1}", "c.q"),
        ("{name: q, type: sql, query: select max(de) from planes, mustBe: 1}", "c.q"),
    ],
)
def test_a_rule_on_an_unknown_column(of_column: Read, rule: str, by: str) -> None:
    with pytest.raises(LichenError) as caught:
        check_columns(of_column(f"logicalType: string, quality: [{rule}]"), ["C", "dd"])
    assert f":9: there is no column 'de' (rule {by})" in str(caught.value)


def test_the_columns_are_there_whatever_their_case(of_column: Read) -> None:
    check_columns(of_column("logicalType: string, required: true"), ["C", "more"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LichenError) as caught:
        read_contract(tmp_path / "planes.odcs.yaml")
    assert str(caught.value) == f"{tmp_path}/planes.odcs.yaml: there is no such file"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "planes.odcs.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LichenError) as caught:
        read_contract(path)
    assert str(caught.value) == f"{path}: this is not UTF-8 text"
