"""Check the orders with pointblank: the same rules, failures counted, no rows extracted."""

import json
import sys
from pathlib import Path

import pointblank as pb

COUNTRIES = ["AT", "BE", "CH", "DE", "DK", "ES", "FR", "GB", "IT", "NL", "PL", "SE"]
RULES = [
    "id.not_null", "customer.not_null", "amount.not_null", "created.not_null", "id.unique",
    "customer.pattern", "country.allowed", "amount.range", "quantity.range", "email.pattern",
    "status.allowed", "code.length", "later", "rows",
]  # fmt: skip


def table(file: Path, backend: str) -> object:
    if backend == "polars":
        import polars

        return polars.read_parquet(file)
    if backend == "lazy":
        import polars

        return polars.scan_parquet(file)
    import ibis

    return ibis.duckdb.connect().read_parquet(file)


def main(file: Path, backend: str) -> dict[str, object]:
    checks = (
        pb.Validate(table(file, backend))
        .col_vals_not_null(["id", "customer", "amount", "created"])
        .rows_distinct("id")
        .col_vals_regex("customer", "^C[0-9]{6}$", na_pass=True)
        .col_vals_in_set("country", COUNTRIES)
        .col_vals_between("amount", 0, 5000, na_pass=True)
        .col_vals_between("quantity", 1, 20, na_pass=True)
        .col_vals_regex("email", r"^[^@]+@[^@]+\.[a-z]+$", na_pass=True)
        .col_vals_in_set("status", ["new", "paid", "sent", "done"])
        .col_vals_str_len("code", 8, 8, na_pass=True)
        .col_vals_ge("updated", pb.col("created"), na_pass=True)
        .row_count_match(10_000_000)
        .interrogate(collect_extracts=False, collect_tbl_checked=False)
    )
    failed = checks.n_failed()
    return {"broken": {rule: int(failed[i]) for i, rule in enumerate(RULES, start=1)}}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]) / "orders_utc.parquet", sys.argv[2])))
