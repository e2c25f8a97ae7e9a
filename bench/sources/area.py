"""The sources: how fast records of each kind become rows of a contracted Delta table."""

from __future__ import annotations

from pathlib import Path

from bench.cases import Area, Case, Figure, Side


def script(name: str, *words: str) -> tuple[str, ...]:
    """Return the command of a script beside this file."""
    return ("python", f"{{here}}/{name}.py", *words)


def costs(wall: str | None = None) -> tuple[Figure, ...]:
    """Return what every whole process costs, with a goal for its time."""
    return (
        Figure("wall", "wall", "s", wall),
        Figure("cpu", "CPU", "s"),
        Figure("peak", "peak memory", "MB"),
    )


POSTGRES = Case(
    "postgres",
    "2M rows × 10 columns of a PostgreSQL table become a contracted Delta table, in a first run by "
    "a column that grows. dlt reads by its Arrow path and writes Delta; it checks no contract.",
    (
        Side("lichen", script("lichen_run", "{data}/postgres")),
        Side("dlt", script("postgres_dlt", "{data}/server.json", "{data}/dlt"), "dlt"),
    ),
    (
        *costs(wall="ratio ≤ .333"),
        Figure("above", "peak above start", "MB", "value ≤ 200", peers=()),
    ),
    setup=(Side("lichen", script("postgres_data", "{data}", "2000000")),),
    same=("rows",),
    warmup=1,
    repeat=3,
)
JSON = Case(
    "json",
    "1M flat JSON objects of 10 fields, one a line, become a contracted Delta table. dlt is given "
    "the parsed objects by the ten thousand.",
    (
        Side("lichen", script("lichen_run", "{data}/json")),
        Side("dlt", script("json_dlt", "{data}/rows.jsonl", "{data}/dlt"), "dlt", once=True),
    ),
    costs(wall="ratio ≤ .2"),
    setup=(Side("lichen", script("json_data", "{data}", "1000000")),),
    same=("rows",),
    warmup=1,
    repeat=3,
)
CSV = Case(
    "csv",
    "2M rows × 10 columns of CSV become a contracted Delta table. The peer is DuckDB's own COPY of "
    "the same CSV, with the types given, into one Parquet file: no keys, no contract, no table.",
    (
        Side("lichen", script("lichen_run", "{data}/csv")),
        Side("duckdb", script("csv_duckdb", "{data}"), shows="duckdb"),
    ),
    costs(wall="ratio ≤ 1.667"),
    setup=(Side("lichen", script("csv_data", "{data}", "2000000")),),
    same=("rows",),
    warmup=1,
    repeat=3,
)
KAFKA = Case(
    "kafka",
    "1M small JSON records in four partitions of one broker become a contracted Delta table.",
    (Side("lichen", script("lichen_run", "{data}/kafka")),),
    (*costs(wall="value ≤ 10"),),
    setup=(Side("lichen", script("kafka_data", "{data}", "1000000")),),
    warmup=1,
    repeat=3,
)

AREA = Area("sources", Path(__file__).parent, (POSTGRES, JSON, CSV, KAFKA))
