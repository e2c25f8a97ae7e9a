"""The flights template's contracts catch the real errors in the data, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import pytest
import sqlglot
from flights_feeds import TEMPLATE, whole_year_opened
from sqlglot import exp

from lichen.core.contract.impose import impose
from lichen.core.contract.odcs import read_contract
from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import Contract, names_read
from lichen.core.sql import DIALECT
from lichen.core.sql import text as sql_of

END_OF_YEAR = datetime(2014, 1, 1, 5, tzinfo=UTC)
SOURCES = ("carriers", "airports", "planes", "schedule", "departures", "arrivals", "weather")
TABLES = ("scheduled", "departed", "landed", "weather_hourly", "aircraft")

# Every finding over the whole year: severity, rule and number of rows (1 for a table rule).
FOUND = {
    "sources/carriers": [],
    "sources/airports": [
        ("quarantine", "lat.range", 1),  # EEN
        ("quarantine", "west_of_greenwich", 3),  # EEN, DVT, MYF
        ("warn", "no_summer_time_there", 29),
        ("warn", "tzone.not_null", 3),
    ],
    "sources/planes": [
        ("warn", "an_airliner", 43),
        ("warn", "engines_of_an_airbus_330", 2),
        ("warn", "seats_of_an_embraer_190", 80),
    ],
    "sources/schedule": [
        ("warn", "distance.range", 1),
        ("warn", "tailnum.pattern", 4),
    ],
    "sources/departures": [],
    "sources/arrivals": [("warn", "plausible_speed", 4)],
    "sources/weather": [
        ("quarantine", "no_frost_in_summer", 1),
        ("quarantine", "temp.not_null", 1),
        ("quarantine", "wind_speed.range", 1),
        ("warn", "humidity_agrees", 20),
        ("warn", "observed_at.freshness", 1),
        ("warn", "wind_speed.missing", 4),
    ],
    "tables/scheduled": [
        ("warn", "dest.reference", 7_602),
        ("warn", "tailnum.reference", 50_094),
    ],
    "tables/departed": [],
    "tables/landed": [],
    "tables/weather_hourly": [],
    "tables/aircraft": [],
}


@pytest.fixture(scope="module")
def landed() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with every source typed, its quarantine left out under the source's name."""
    with whole_year_opened().cursor() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema typed; use memory.typed")
        for name in SOURCES:
            land(connection, name)
        for name in TABLES:
            select = (TEMPLATE / f"tables/{name}.sql").read_text(encoding="utf-8")
            create(connection, f"all_{name}", select, "*, null::json as _raw")
        yield connection


@pytest.mark.parametrize("node", FOUND)
def test_a_contract_finds_just_the_real_errors(
    landed: duckdb.DuckDBPyConnection, node: str
) -> None:
    contract = contract_of(node)
    name = node.partition("/")[2]
    rows = every(f"all_{name}")
    refs = {other: every(other) for other in names_read(contract)}
    scan = landed.execute(
        sql_of(compile_scan(contract, rows, whole=rows, refs=refs, now=END_OF_YEAR))
    )
    names = [column[0] for column in scan.description or []]
    measured = dict(zip(names, scan.fetchall()[0], strict=True))
    found = findings(contract, node, measured)

    assert sorted((f.severity.value, f.rule, f.count) for f in found) == FOUND[node]


@pytest.mark.parametrize("node", FOUND)
def test_a_contract_names_every_column_with_its_type(
    landed: duckdb.DuckDBPyConnection, node: str
) -> None:
    described = landed.execute(f"describe all_{node.partition('/')[2]}").fetchall()
    found = [(name, type_) for name, type_, *_ in described if not name.startswith("_")]

    assert found == [(column.name, column.type) for column in contract_of(node).columns]


def land(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    contract = contract_of(f"sources/{name}")
    create(connection, f"all_{name}", sql_of(impose(contract, every(f"main.{name}"))), "*")
    bad = sql_of(compile_verdicts(contract, every(f"all_{name}"), refs={}))
    connection.execute(f"create table {name} as from all_{name} anti join ({bad}) using (_row)")


def create(connection: duckdb.DuckDBPyConnection, name: str, select: str, columns: str) -> None:
    connection.execute(
        f"create table {name} as "  # noqa: S608
        f"select row_number() over () as _row, false as _deleted, {columns} from ({select})"
    )


def contract_of(node: str) -> Contract:
    return read_contract(TEMPLATE / f"{node}.odcs.yaml")


def every(name: str) -> exp.Select:
    tree = sqlglot.parse_one(f"select * from {name}", dialect=DIALECT)  # noqa: S608
    assert isinstance(tree, exp.Select)
    return tree
