"""Delta's schema of stored columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from deltalake import Schema
from sqlglot import exp

from lichen.core.errors import LakeError
from lichen.ports.lake import Column


def schema_of(columns: Sequence[Column]) -> Schema:
    """Return the Delta schema of columns in DuckDB's spelling; every column may be NULL."""
    return Schema.from_json(json.dumps({"type": "struct", "fields": _fields(columns)}))


def difference(stored: Schema, given: Schema) -> str | None:
    """Return what differs first between two schemas in names, order or types, or None."""
    # Two of deltalake's schemas are equal whatever the order of their columns.
    old, new = _columns(stored), _columns(given)
    for i, ((name, kind), (other, another)) in enumerate(zip(old, new, strict=False), start=1):
        if name != other:
            return f"column {i} is {name!r} in the table and {other!r} in the new rows"
        if kind != another:
            return f"the column {name!r} is {kind} in the table and {another} in the new rows"
    if len(old) > len(new):
        return f"the new rows lack the column {old[len(new)][0]!r}"
    if len(old) < len(new):
        return f"the table lacks the column {new[len(old)][0]!r}"
    return None


def _columns(schema: Schema) -> list[tuple[str, str]]:
    return [(field.name, str(field.type.to_json()).strip('"')) for field in schema.fields]


def _fields(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": _type(name, exp.DataType.build(spelt, dialect="duckdb")),
            "nullable": True,
            "metadata": {},
        }
        for name, spelt in columns
    ]


_TYPES = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.TINYINT: "byte",
    exp.DType.SMALLINT: "short",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "long",
    exp.DType.FLOAT: "float",
    exp.DType.DOUBLE: "double",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPTZ: "timestamp",
    exp.DType.VARCHAR: "string",
    exp.DType.TEXT: "string",
    exp.DType.VARBINARY: "binary",
}


def _type(name: str, kind: exp.DataType) -> Any:
    if kind.this in _TYPES:
        return _TYPES[kind.this]
    if kind.this == exp.DType.DECIMAL:
        precision, scale = (int(p.name) for p in kind.expressions)
        return f"decimal({precision},{scale})"
    if kind.this in (exp.DType.ARRAY, exp.DType.LIST):
        inner = _type(name, kind.expressions[0])
        return {"type": "array", "elementType": inner, "containsNull": True}
    if kind.this == exp.DType.STRUCT:
        parts = [
            {"name": p.name, "type": _type(name, p.args["kind"]), "nullable": True, "metadata": {}}
            for p in kind.expressions
        ]
        return {"type": "struct", "fields": parts}
    raise LakeError(f"the column {name!r} is {kind.sql(dialect='duckdb')}, which Delta cannot hold")
