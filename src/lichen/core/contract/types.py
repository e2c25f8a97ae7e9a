"""DuckDB's type for a property's logical and physical type; what the lake cannot keep is refused.

A physical type that is DuckDB's decides; one of another system (`NUMBER(38,0)`, `varchar2(9)`)
gives way to the logical type. All moments are TIMESTAMP WITH TIME ZONE: a text without an offset
is UTC. Lengths of texts are dropped: `logicalTypeOptions.maxLength` promises one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlglot import exp
from sqlglot.errors import SqlglotError

from lichen.core.contract.document import Item, Options
from lichen.core.errors import TableError, Where
from lichen.core.sql import DIALECT

MOMENT = "TIMESTAMP WITH TIME ZONE"
NUMBERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"})
INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})

_LOGICAL = {
    "string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN",
    "date": "DATE", "timestamp": MOMENT, "object": "VARCHAR",
}  # fmt: skip
_FORMATS = {
    "i8": "TINYINT", "i16": "SMALLINT", "i32": "INTEGER", "i64": "BIGINT",
    "u8": "SMALLINT", "u16": "INTEGER", "u32": "BIGINT", "f32": "FLOAT", "f64": "DOUBLE",
}  # fmt: skip
_PHYSICAL = {
    "TEXT": "VARCHAR", "VARCHAR": "VARCHAR", "CHAR": "VARCHAR", "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT", "INT": "INTEGER", "BIGINT": "BIGINT", "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIMESTAMP": MOMENT,
    "TIMESTAMPTZ": MOMENT, "TIMESTAMPNTZ": MOMENT, "DATETIME": MOMENT, "JSON": "VARCHAR",
    "UTINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINT": "BIGINT", "VARBINARY": "BLOB",
}  # fmt: skip
_READABLE_FORMATS = (
    "yyyy-MM-dd", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd'T'HH:mm:ss'Z'", "yyyy-MM-dd HH:mm:ssXXX",
)  # fmt: skip


def type_of(item: Item, where: Where) -> str:
    """Return DuckDB's type; raises TableError for one that the lake cannot keep."""
    options = item.logical_type_options or Options()
    if item.logical_type in ("date", "timestamp"):
        _readable(options, where)
    if item.physical_type and (physical := _physical(item.physical_type, where)):
        return physical
    if item.logical_type is None:
        raise TableError(
            f"the column {getattr(item, 'name', None) or 'of this array'!r} has no type",
            where=where,
            hint="add a logicalType",
            allowed=(*_LOGICAL, "array"),
        )
    if item.logical_type == "array":
        return f"{type_of(item.items, where)}[]" if item.items else "VARCHAR"
    if item.logical_type == "object" and item.properties:
        return _struct(item, where)
    if item.logical_type == "time" or options.format in ("i128", "u64", "u128"):
        raise _refused(f"{item.logical_type} {options.format or ''}".strip(), where)
    return _FORMATS.get(options.format or "", _LOGICAL[item.logical_type])


def storable(text: str, column: str, where: Where) -> str:
    """Return DuckDB's spelling of a type as a user wrote it; raises TableError.

    >>> from pathlib import Path
    >>> storable("double", "temp", Where(Path("t.py")))
    'DOUBLE'
    """
    if (physical := _physical(text, where)) is not None:
        return physical
    raise TableError(
        f"{column}: there is no type {text!r}",
        where=where,
        allowed=[*map(str.lower, (*sorted(NUMBERS), "DECIMAL(18, 4)")), *_OTHERS],
        given=text.lower(),
    )


_OTHERS = ("varchar", "boolean", "date", "timestamptz", "blob")


@cache
def kind_of(type_: str) -> exp.DataType:
    """Return a type's tree; it is shared, so copy it before it gets into another."""
    return exp.DataType.build(type_, dialect=DIALECT)


def is_number(type_: str) -> bool:
    """Return whether a type is numeric.

    >>> is_number("DECIMAL(10, 2)"), is_number("VARCHAR")
    (True, False)
    """
    return type_ in NUMBERS or type_.startswith("DECIMAL")


def _struct(item: Item, where: Where) -> str:
    seen: set[str] = set()
    for field in item.properties:
        if field.name.lower() in seen:
            raise TableError(f"the field {field.name!r} stands twice in one object", where=where)
        seen.add(field.name.lower())
    return _spelled_struct([(field.name, type_of(field, where)) for field in item.properties])


def _spelled_struct(fields: Iterable[tuple[str, str]]) -> str:
    told = (f"{exp.to_identifier(n, quoted=True).sql(DIALECT)} {type_}" for n, type_ in fields)
    return f"STRUCT({', '.join(told)})"


def _physical(text: str, where: Where) -> str | None:
    try:
        tree = exp.DataType.build(text, dialect=DIALECT)
    except (SqlglotError, ValueError):
        return None
    kind = tree.this.value if isinstance(tree.this, exp.DType) else ""
    if kind == "DECIMAL":
        # Only with both numbers is it DuckDB's own spelling and not, say, Oracle's NUMBER.
        return f"DECIMAL({tree.expressions[0]}, {tree.expressions[1]})" if _exact(text) else None
    if kind in ("LIST", "ARRAY") and tree.expressions:
        inner = _physical(tree.expressions[0].sql(DIALECT), where)
        return f"{inner}[]" if inner else None
    if kind == "STRUCT" and tree.expressions:
        fields = [(f.name, _physical(f.args["kind"].sql(DIALECT), where)) for f in tree.expressions]
        known = [(name, type_) for name, type_ in fields if type_ is not None]
        return _spelled_struct(known) if len(known) == len(fields) else None
    if kind in ("TIME", "TIMETZ", "UBIGINT", "INT128", "UINT128", "INTERVAL"):
        raise _refused(text, where)
    return _PHYSICAL.get(kind)


def _exact(text: str) -> bool:
    return text.lower().startswith(("decimal(", "numeric(")) and "," in text


def _readable(options: Options, where: Where) -> None:
    if options.format is not None and options.format not in _READABLE_FORMATS:
        raise TableError(
            f"times in the format {options.format!r} cannot be read",
            where=where,
            allowed=_READABLE_FORMATS,
            hint="declare a string here, and parse it in a table",
        )
    if options.default_timezone not in (None, "UTC", "Etc/UTC", "Z", "GMT"):
        raise TableError(
            f"texts in the time zone {options.default_timezone!r} cannot be read as they are",
            where=where,
            allowed=("UTC", "Etc/UTC"),
            hint="declare a string here, and convert it in a table",
        )


def _refused(text: str, where: Where) -> TableError:
    return TableError(
        f"the type {text!r} cannot be stored",
        where=where,
        allowed=("BIGINT", "DOUBLE", "DECIMAL(18, 4)", "VARCHAR", "DATE", MOMENT, "BOOLEAN"),
    )
