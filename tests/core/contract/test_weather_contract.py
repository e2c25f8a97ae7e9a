"""A realistic contract of hourly weather, from the file to the findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from lichen.core.contract.columns import check_columns
from lichen.core.contract.impose import impose
from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import Contract, names_read
from lichen.core.sql import parse_select, text
from lichen.core.time import instant

WEATHER = """\
name: Hourly weather at the airports of departure
description: {purpose: what a pilot would have known}
schema:
- name: weather_hourly
  physicalType: table
  customProperties:
  - {property: lichen.missing, value: ["NA"]}
  properties:
  - name: origin
    logicalType: string
    primaryKey: true
    primaryKeyPosition: 1
    relationships: [{to: sources.airports.faa}]
    quality:
    - {metric: invalidValues, mustBe: 0, arguments: {validValues: [EWR, JFK, LGA]}}
  - name: observed_at
    logicalType: timestamp
    primaryKey: true
    primaryKeyPosition: 2
    logicalTypeOptions: {minimum: 2013-01-01T00:00:00Z, exclusiveMaximum: 2014-01-02T00:00:00Z}
  - {name: temp, logicalType: number, logicalTypeOptions: {minimum: -40, maximum: 130}}
  - {name: wind_dir, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 360}}
  - {name: wind_speed, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 200}}
  - name: wind_gust
    logicalType: number
    quality:
    - {metric: nullValues, unit: percent, mustBeLessThan: 90, severity: warning}
  - {name: visib, logicalType: number, required: true}
  quality:
  - {name: gust, type: custom, engine: lichen, implementation: wind_gust >= wind_speed}
  - {metric: rowCount, mustBeGreaterOrEqualTo: 2}
  - name: three_airports
    type: sql
    query: select count(distinct origin) from {object}
    mustBe: 3
    severity: info
slaProperties:
- {property: latency, value: 6, unit: h, element: weather_hourly.observed_at}
"""

ROWS = """\
values
  (0, 'EWR', '2013-01-01T06:00:00Z', '39.02', '270', '10.357019999999999', 'NA', '10', false),
  (1, 'EWR', '2013-01-01T07:00:00Z', '39.02', 'NA', '1048.36058', '1206.4', '10', false),
  (2, 'JFK', '2013-01-01T06:00:00Z', '270F', '27.5', '8.05546', '3', '10', false),
  (3, 'EWR', '2013-01-01T06:00:00Z', '', '0', '0', 'NA', 'NA', false),
  (4, 'BOS', '2012-12-31T23:00:00-05:00', '1', '0', '0', 'NA', '1', false),
  (5, 'XXX', 'never', '999', '999', '999', '1', '', true)
"""


def test_from_the_file_to_the_findings(
    read: Callable[..., Contract], duck: duckdb.DuckDBPyConnection
) -> None:
    contract = read(WEATHER)
    names = [column.name for column in contract.columns]
    check_columns(contract, ["_row", *names, "_deleted"])
    assert names_read(contract) == ("sources.airports",)

    columns = ", ".join(["_row", *names, "_deleted"])
    raw = parse_select(f"select * from ({ROWS}) t({columns})", Path("t"))  # noqa: S608
    duck.execute(f"create table staged as {text(impose(contract, raw, keep=('_row', '_deleted')))}")
    rows = parse_select("select * from staged", Path("t"))
    refs = {"sources.airports": parse_select("select unnest(['EWR', 'JFK']) as faa", Path("t"))}
    now = instant("2013-01-01T14:30:00Z")

    cursor = duck.execute(text(compile_scan(contract, rows, whole=rows, refs=refs, now=now)))
    result = dict(zip([c[0] for c in cursor.description or ()], cursor.fetchall()[0], strict=True))
    assert [finding.line() for finding in findings(contract, "tables.weather_hourly", result)] == [
        "warn       tables.weather_hourly origin.reference: 1 of 5 rows: "
        "origin is not in sources.airports.faa",
        "quarantine tables.weather_hourly origin.allowed: 1 of 5 rows: origin is not EWR, JFK, LGA",
        "quarantine tables.weather_hourly temp.type: 1 of 5 rows: temp does not read as its type",
        "quarantine tables.weather_hourly wind_dir.type: 1 of 5 rows: "
        "wind_dir does not read as its type",
        "quarantine tables.weather_hourly wind_speed.range: 1 of 5 rows: "
        "wind_speed is not at least 0 and at most 200",
        "quarantine tables.weather_hourly visib.not_null: 1 of 5 rows: visib is missing",
        "quarantine tables.weather_hourly primary_key.unique: 1 of 5 rows: "
        "origin, observed_at repeats an earlier row's",
        "quarantine tables.weather_hourly gust: 1 of 5 rows: breaks wind_gust >= wind_speed",
        "warn       tables.weather_hourly three_airports: the query is 4; must be 3",
        "block      tables.weather_hourly observed_at.freshness: "
        "the newest observed_at is 7 h 30 min old; allowed is 6 h",
    ]
    verdicts = duck.execute(text(compile_verdicts(contract, rows, refs=refs))).fetchall()
    assert sorted(verdicts) == [
        (1, "wind_speed.range", "wind_speed is 1048.36058, not at least 0 and at most 200"),
        (2, "gust", "wind_gust 3.0, wind_speed 8.05546: breaks wind_gust >= wind_speed"),
        (2, "temp.type", "temp is '270F', which is no DOUBLE"),
        (2, "wind_dir.type", "wind_dir is '27.5', which is no BIGINT"),
        (
            3,
            "primary_key.unique",
            "origin EWR, observed_at 2013-01-01 06:00:00+00: an earlier row has the same",
        ),
        (3, "visib.not_null", "visib is empty, but a value is required"),
        (4, "origin.allowed", "origin is BOS, not EWR, JFK, LGA"),
    ]
