"""Check the orders against their contract: one scan. With `rows`, list the wrong ones too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sqlglot import exp

from lichen.adapters.duckdb import DuckDB
from lichen.core.contract.odcs import read_contract
from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import trusting_types
from lichen.core.contract.types import INTEGERS
from lichen.core.sql import col, rel
from lichen.core.time import instant
from lichen.ports.engine import Scan
from lichen.ports.lake import Column


def main(file: Path, *, rows: bool) -> dict[str, object]:
    contract = trusting_types(read_contract(Path(__file__).with_name("contract.odcs.yaml")))
    scan = Scan((file,), tuple(Column(c.name, c.type) for c in contract.columns))
    staged = exp.select(
        *(col(c.name) for c in contract.columns),
        exp.alias_(col("id"), "_row"),
        exp.alias_(exp.false(), "_deleted"),
    ).from_(rel("orders"))
    engine, now = DuckDB(), instant("2026-01-01")
    integers = [c.name for c in contract.columns if c.type in INTEGERS]
    query = compile_scan(contract, staged, whole=staged, refs={}, now=now, integers=integers)
    (measured,) = engine.rows(query, {"orders": scan})
    found = findings(contract, "sources.orders", measured)
    if rows:
        verdicts = compile_verdicts(contract, staged, refs={}, only=[f.rule for f in found])
        engine.write(verdicts, {"orders": scan}, file.with_name("verdicts.parquet"))
    broken = {f.rule: f.count for f in found}
    return {"broken": {rule.id: broken.get(rule.id, 0) for rule in contract.rules}}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]) / "orders_utc.parquet", rows=sys.argv[2:] == ["rows"])))
