"""JSON as text: of each record the fields that are asked for, and those that do not read, raw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb
from arro3.core import Table
from sqlglot import exp

from lichen.core.sql import col, lit, rel, text
from lichen.ports.engine import Records

_PAYLOAD = "_payload"


def read(
    cursor: duckdb.DuckDBPyConnection, payloads: Any, columns: Sequence[str], *, more: bool
) -> Records:
    """Return the fields of JSON objects as text, and the payloads that are none."""
    cursor.register("_payloads", payloads)
    others = [name for name in Table.from_arrow(payloads).schema.names if name != _PAYLOAD]
    spelled = exp.Anonymous(
        this="try", expressions=[exp.Anonymous(this="decode", expressions=[col(_PAYLOAD)])]
    )
    reads = exp.select(*map(col, (*others, _PAYLOAD)), exp.alias_(spelled, "_text")).from_(
        rel("_payloads")
    )
    valid = exp.Anonymous(this="json_valid", expressions=[col("_text")])
    kind = exp.Anonymous(this="json_type", expressions=[col("_text")])
    reason = (
        exp.case()
        .when(col(_PAYLOAD).is_(exp.null()), lit("there is no payload"))
        .when(col("_text").is_(exp.null()), lit("it is no UTF-8 text"))
        .when(exp.not_(valid), lit("it is no JSON"))
        .when(kind.neq(lit("OBJECT")), lit("it is JSON, but no object"))
    )
    judged = exp.select(exp.Star(), exp.alias_(reason, "_reason")).from_(reads.subquery("r"))
    cursor.execute(f"create temp table _judged as {text(judged)}")
    fields = exp.Anonymous(
        this="json_extract_string",
        expressions=[col("_text"), exp.array(*(lit(_pointer(name)) for name in columns))],
    )
    good = (
        exp.select(*map(col, others), exp.alias_(fields, "_fields"), *_rest(columns, more=more))
        .from_("_judged")
        .where(col("_reason").is_(exp.null()))
    )
    named = [
        exp.alias_(
            exp.Bracket(this=col("_fields"), expressions=[lit(i)], offset=1), name, quoted=True
        )
        for i, name in enumerate(columns, start=1)
    ]
    kept = [*others, "_more"] if more else others
    rows = exp.select(*named, *map(col, kept)).from_(good.subquery("g"))
    bad = (
        exp.select(
            col("_file"),
            col("_line"),
            exp.alias_(col(_PAYLOAD), "raw"),
            exp.alias_(col("_reason"), "reason"),
        )
        .from_("_judged")
        .where(exp.not_(col("_reason").is_(exp.null())))
    )
    return Records(
        Table.from_arrow(cursor.sql(text(rows))), Table.from_arrow(cursor.sql(text(bad)))
    )


def _rest(columns: Sequence[str], *, more: bool) -> list[exp.Expr]:
    """The object without some fields, NULL where nothing is left: merging a null takes one away."""
    if not more:
        return []
    taken = lit(json.dumps(dict.fromkeys(columns)))
    rest = exp.Anonymous(this="json_merge_patch", expressions=[col("_text"), taken])
    said = exp.cast(rest, "varchar")
    return [exp.alias_(exp.Nullif(this=said, expression=lit("{}")), "_more")]


def _pointer(name: str) -> str:
    """Return the JSON pointer to a field, whatever it is called."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
