"""Answer the questions from five features definitions, as a training set is made: FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pit_sum import SUM
from sqlglot import exp

from lichen.adapters.duckdb import DuckDB
from lichen.core.errors import Where
from lichen.core.names import Kind, Name
from lichen.core.sql import Prepared, col, parse_expression, parse_select, rel
from lichen.core.versions import once, stored
from lichen.ports.engine import Scan
from lichen.ports.lake import Column
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import Compiled, compiled
from lichen.stages.features.spec import Features

MOMENT = "TIMESTAMP WITH TIME ZONE"
TABLES = range(5)


def features(table: int, known: str) -> Compiled:
    """Compile as Lichen does where the source's key is entity and event time.

    What it recorded of rows that were never corrected is said of them: none shares its key.
    """
    path, query = Path(f"features/t{table}.sql"), f"select v{table}, n{table} from t{table}"
    spec = Features(
        Name(Kind.features, f"t{table}"), Where(path), parse_select(query, path), query, "latest",
        entity=("entity",), event_time=parse_expression("event_time", path),
    )  # fmt: skip
    users = ("entity", "event_time", f"v{table}", f"n{table}")
    versions = stored(f"t{table}", users)
    if known == "event":
        moment = exp.cast(col("event_time"), "timestamptz")
        versions = once(versions, [col("entity"), moment])
    return compiled(spec, {f"t{table}": versions})


def scan(folder: Path, table: int) -> Scan:
    columns = (
        ("entity", "BIGINT"), ("event_time", MOMENT), (f"v{table}", "DOUBLE"),
        (f"n{table}", "INTEGER"), ("_row", "BIGINT"), ("_key", "VARCHAR"), ("_known_at", MOMENT),
        ("_arrived_at", MOMENT), ("_deleted", "BOOLEAN"),
    )  # fmt: skip
    return Scan((folder / f"t{table}.parquet",), tuple(Column(*c) for c in columns))


def main(folder: Path) -> dict[str, object]:
    engine = DuckDB(temp=folder / "spill")
    asked = (("_q", "BIGINT"), ("entity", "BIGINT"), ("_at", MOMENT))
    relations = {f"t{table}": scan(folder, table) for table in TABLES}
    relations["q"] = Scan((folder / "questions.parquet",), tuple(Column(*c) for c in asked))
    questions = exp.select(*(col(name) for name, _ in asked)).from_(rel("q"))
    known = json.loads((folder / "made.json").read_text())[2]
    found = answer(questions, [features(table, known) for table in TABLES])
    shown = exp.select(
        col("_q"),
        *(exp.alias_(col(f"t{t}__{c}{t}"), f"{c}{t}") for t in TABLES for c in ("v", "n")),
    ).from_(found.subquery("a"))
    out = folder / "lichen.parquet"
    written = engine.write(shown, relations, out)
    told = engine.rows(Prepared(SUM), {"answers": Scan((out,), written.columns)})
    return {"rows": written.rows, "sum": told[0]["sum"]}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
