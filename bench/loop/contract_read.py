"""Read every value of the orders once with DuckDB: what no check can be faster than."""

import sys
from pathlib import Path

import duckdb

if __name__ == "__main__":
    file = Path(sys.argv[1]) / "orders_utc.parquet"
    duckdb.execute(f"select bit_xor(hash(columns(*))) from '{file}'").fetchall()
