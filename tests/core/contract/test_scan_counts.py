"""The fused scan, the verdicts and plain Python agree on which rows break which rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.scan import compile_scan, compile_verdicts, findings
from lichen.core.contract.spec import Contract, trusting_types
from lichen.core.findings import Severity
from lichen.core.sql import parse_select, text

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: random
version: 1.0.0
status: active
schema:
- name: things
  properties:
  - {name: a, logicalType: string, primaryKey: true, primaryKeyPosition: 1}
  - {name: b, logicalType: integer, primaryKey: true, primaryKeyPosition: 2,
     logicalTypeOptions: {minimum: 0, exclusiveMaximum: 3}}
  - {name: n, logicalType: number, unique: true, logicalTypeOptions: {exclusiveMinimum: -1},
     quality: [{name: share, metric: nullValues, mustBeLessThan: 40, unit: percent}]}
  - {name: s, logicalType: string, logicalTypeOptions: {minLength: 2, pattern: "^x"},
     relationships: [{to: known.k}, {to: known.k, customProperties: [
       {property: lichen.severity, value: quarantine}]}],
     quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [xy, xx, y]}},
               {metric: missingValues, mustBe: 0, arguments: {missingValues: [null, y]}}]}
  - {name: at, logicalType: timestamp, logicalTypeOptions: {maximum: 2013-01-02T00:00:00Z}}
  quality:
  - {name: above, type: custom, engine: lichen, implementation: n >= b or s is null}
  - {metric: rowCount, mustBeGreaterThan: 3}
  - {name: top, type: sql, query: "select max(n) from {object} where a = 'p'", mustBeLessThan: 2}
  - {name: shared, type: sql, mustBe: 0,
     query: select count(*) from things t join known on known.k = t.s}
slaProperties:
- {property: freshness, value: 1, unit: h, element: at}
"""
KNOWN = ("xy", "y", None, "y")
KNOWN_SQL = "select unnest(['xy', 'y', null, 'y']) as k"
DAY = datetime(2013, 1, 2, tzinfo=UTC)
NOW = DAY + timedelta(hours=1)
Row = dict[str, Any]


def maybe(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": maybe(["p", "q"]),
            "b": maybe([-1, 0, 1, 3]),
            "n": maybe([-1.0, -0.5, 1.0, 2.5, float("nan")]),
            "s": maybe(["xy", "xx", "y", "x", ""]),
            "at": maybe([DAY - timedelta(hours=2), DAY, DAY + timedelta(microseconds=1)]),
            "_deleted": st.sampled_from([False, False, False, True, None]),
        }
    ),
    max_size=10,
)


def equal_or_both_nan(left: float, right: float) -> bool:
    return left == right or (left != left and right != right)


def below(value: float, limit: float) -> bool:
    return value == value and value < limit


def expected_breaches(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Return the `_row`s that break each row rule, one Python condition per rule."""

    def those(condition: Any) -> list[int]:
        return [row["_row"] for row in rows if condition(row)]

    def repeats(row: Row, columns: Sequence[str]) -> bool:
        if any(row[c] is None for c in columns):
            return False
        earlier = (other for other in rows if other["_row"] < row["_row"])
        return any(
            all(other[c] is not None and equal_or_both_nan(other[c], row[c]) for c in columns)
            for other in earlier
        )

    listed = {k for k in KNOWN if k is not None}
    return {
        "a.not_null": those(lambda r: r["a"] is None),
        "b.not_null": those(lambda r: r["b"] is None),
        "b.range": those(lambda r: r["b"] is not None and not 0 <= r["b"] < 3),
        "n.unique": those(lambda r: repeats(r, ["n"])),
        "n.range": those(lambda r: r["n"] is not None and not r["n"] > -1),
        "n.share": those(lambda r: r["n"] is None),
        "s.length": those(lambda r: r["s"] is not None and len(r["s"]) < 2),
        "s.pattern": those(lambda r: r["s"] is not None and not re.search("^x", r["s"])),
        "s.reference": those(lambda r: r["s"] is not None and r["s"] not in listed),
        "s.reference_2": those(lambda r: r["s"] is not None and r["s"] not in listed),
        "s.allowed": those(lambda r: r["s"] is not None and r["s"] not in ("xy", "xx", "y")),
        "s.not_null": those(lambda r: r["s"] in (None, "y")),
        "at.range": those(lambda r: r["at"] is not None and r["at"] > DAY),
        "primary_key.unique": those(lambda r: repeats(r, ["a", "b"])),
        "above": those(
            lambda r: (
                r["s"] is not None
                and r["n"] is not None
                and r["b"] is not None
                and below(r["n"], r["b"])
            )
        ),
    }


def test_the_expectation_covers_every_row_rule(contract: Contract) -> None:
    kinds = {"freshness", "row_count", "table_sql"}
    assert set(expected_breaches([])) == {r.id for r in contract.rules if r.kind not in kinds}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "things.odcs.yaml"
    path.write_text(CONTRACT)
    return trusting_types(read_contract(path))


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ROWS, ROWS)
def test_counts_and_verdicts_equal_plain_python(
    contract: Contract, duck: duckdb.DuckDBPyConnection, staged: list[Row], older: list[Row]
) -> None:
    load(duck, "staged", staged)
    load(duck, "whole", [*older, *staged])
    result = one_row(duck, scan_of(contract))

    numbered = [{**row, "_row": number} for number, row in enumerate(staged)]
    judged = [row for row in numbered if not row["_deleted"]]
    expected = expected_breaches(judged)
    assert result["_rows"] == len(judged)
    assert {rule: result[rule] for rule in expected} == {k: len(v) for k, v in expected.items()}

    found = duck.execute(verdicts_of(contract)).fetchall()
    quarantining = {
        r.id for r in contract.rules if r.severity is Severity.quarantine and r.judges_rows
    }
    assert sorted((row, rule) for row, rule, _ in found) == sorted(
        (row, rule) for rule, rows_ in expected.items() if rule in quarantining for row in rows_
    )
    assert all(reason for _, _, reason in found)

    seen = {finding.rule: finding.count for finding in findings(contract, "tables.t", result)}
    share = 100 * len(expected["n.share"]) / len(judged) if judged else 0
    for rule, rows_ in expected.items():
        breached = share >= 40 if rule == "n.share" else bool(rows_)
        assert seen.get(rule, 0) == (len(rows_) if breached else 0)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ROWS)
def test_table_rules_read_the_whole_table(
    contract: Contract, duck: duckdb.DuckDBPyConnection, everything: list[Row]
) -> None:
    load(duck, "whole", everything)
    duck.execute("create or replace table staged as select * from whole where false")
    result = one_row(duck, scan_of(contract))
    moments = [row["at"] for row in everything if row["at"] is not None]
    age = (NOW - max(moments)).total_seconds() if moments else None
    assert result["row_count"] == len(everything)
    assert result["at.freshness"] == age
    assert result["shared"] == sum({"xy": 1, "y": 2}.get(row["s"], 0) for row in everything)
    seen = {finding.rule for finding in findings(contract, "tables.t", result)}
    assert ("row_count" in seen) == (len(everything) <= 3)
    assert ("at.freshness" in seen) == (age is None or age > 3600)


@cache
def scan_of(contract: Contract) -> str:
    rows, whole = select("select * from staged"), select("select * from whole")
    return text(compile_scan(contract, rows, whole=whole, refs=refs(), now=NOW))


@cache
def verdicts_of(contract: Contract) -> str:
    return text(compile_verdicts(contract, select("select * from staged"), refs=refs()))


def refs() -> dict[str, exp.Query]:
    return {"known": select(KNOWN_SQL)}


def select(query: str) -> exp.Query:
    return parse_select(query, Path("test"))


def load(duck: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    duck.execute(
        f"create or replace table {table} (_row bigint, a varchar, b bigint, n double, "
        's varchar, "at" timestamptz, _deleted boolean)'
    )
    names = ("a", "b", "n", "s", "at", "_deleted")
    values = [v for number, row in enumerate(rows) for v in (number, *(row[n] for n in names))]
    if rows:
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(rows))
        duck.execute(f"insert into {table} values {marks}", values)  # noqa: S608


def one_row(duck: duckdb.DuckDBPyConnection, query: str) -> Mapping[str, Any]:
    cursor = duck.execute(query)
    names = [column[0] for column in cursor.description or ()]
    (values,) = cursor.fetchall()
    return dict(zip(names, values, strict=True))
