"""Copy the CSV into one Parquet file with DuckDB; prints the rows."""

import json
import sys
from pathlib import Path

import duckdb

data = Path(sys.argv[1])
types = {
    "id": "bigint", "customer": "varchar", "country": "varchar", "amount": "double",
    "quantity": "bigint", "email": "varchar", "status": "varchar", "created": "timestamptz",
    "updated": "timestamptz", "code": "varchar",
}  # fmt: skip
database = duckdb.connect()
database.execute("set timezone = 'UTC'")
found = database.execute(
    f"copy (select * from read_csv('{data / 'rows.csv'}', header = true, auto_detect = false, "
    f"columns = {types})) to '{data / 'copied.parquet'}' (format parquet, compression zstd)"
).fetchone()
print(json.dumps({"rows": found[0]}))
