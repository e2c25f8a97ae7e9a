"""Join the five tables onto the questions with Polars' join_asof, by hand: FOLDER."""

import json
import sys
from pathlib import Path

import polars as pl


def main(folder: Path) -> dict[str, object]:
    asked = pl.scan_parquet(folder / "questions.parquet").sort("_at")
    for t in range(5):
        columns = ["entity", "event_time", f"v{t}", f"n{t}"]
        table = pl.scan_parquet(folder / f"t{t}.parquet").select(columns).sort("event_time")
        asked = asked.join_asof(
            table, left_on="_at", right_on="event_time", by="entity",
            coalesce=False, check_sortedness=False,
        ).drop("event_time")  # fmt: skip
    answers = asked.collect()
    answers.write_parquet(folder / "polars.parquet")
    return {"rows": answers.height, "sum": total(answers)}


def total(answers: pl.DataFrame) -> int:
    """Return what `pit_sum.SUM` returns."""
    cells = (
        ((pl.col(f"v{t}") * 100).round().cast(pl.Int64) * (pl.col("_q") % 997 + 1)
         + pl.col(f"n{t}") + t).fill_null(7)
        for t in range(5)
    )  # fmt: skip
    return int(answers.select(pl.sum_horizontal(*cells).sum()).item())


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
