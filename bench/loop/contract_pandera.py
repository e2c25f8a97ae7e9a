"""Check the orders with pandera's Polars backend: the same rules, all failures counted."""

import json
import sys
from pathlib import Path

import pandera.polars as pa
import polars as pl

COUNTRIES = ["AT", "BE", "CH", "DE", "DK", "ES", "FR", "GB", "IT", "NL", "PL", "SE"]
MOMENT = pl.Datetime("us", "UTC")
LATER = pa.Check(lambda data: data.lazyframe.select(pl.col("updated") >= pl.col("created")))
ROWS = pa.Check(lambda data: data.lazyframe.select(pl.len() >= 9_000_000))
SCHEMA = pa.DataFrameSchema(
    {
        "id": pa.Column(pl.Int64, unique=True),
        "customer": pa.Column(pl.String, pa.Check.str_matches("^C[0-9]{6}$")),
        "country": pa.Column(pl.String, pa.Check.isin(COUNTRIES), nullable=True),
        "amount": pa.Column(pl.Float64, pa.Check.in_range(0, 5000)),
        "quantity": pa.Column(pl.Int32, pa.Check.in_range(1, 20), nullable=True),
        "email": pa.Column(
            pl.String, pa.Check.str_matches(r"^[^@]+@[^@]+\.[a-z]+$"), nullable=True
        ),
        "status": pa.Column(
            pl.String, pa.Check.isin(["new", "paid", "sent", "done"]), nullable=True
        ),
        "created": pa.Column(MOMENT),
        "updated": pa.Column(MOMENT, nullable=True),
        "code": pa.Column(pl.String, pa.Check.str_length(8, 8), nullable=True),
    },
    checks=[LATER, ROWS],
)
NAMES = {"not_nullable": "not_null", "field_uniqueness": "unique", "in_range": "range",
         "isin": "allowed", "str_matches": "pattern", "str_length": "length"}  # fmt: skip
RULES = [
    "id.not_null", "id.unique", "customer.not_null", "customer.pattern", "country.allowed",
    "amount.not_null", "amount.range", "quantity.range", "email.pattern", "status.allowed",
    "created.not_null", "code.length", "later", "rows",
]  # fmt: skip


def main(file: Path) -> dict[str, object]:
    broken = dict.fromkeys(RULES, 0)
    try:
        SCHEMA.validate(pl.read_parquet(file), lazy=True)
    except pa.errors.SchemaErrors as found:
        for column, check, count in (
            found.failure_cases.group_by("column", "check").len().iter_rows()
        ):
            kind = check.partition("(")[0]
            broken[f"{column}.{NAMES[kind]}" if kind in NAMES else "later"] += count
    return {"broken": broken}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]) / "orders_utc.parquet")))
