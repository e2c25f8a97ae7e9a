"""Avro files: each block decoded by fastavro, fields typed as their schema says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from arro3.core import Table

from lichen.adapters.formats import typed
from lichen.adapters.formats.typed import Kind
from lichen.core.errors import FileUnreadable
from lichen.core.extras import needed

ROWS = 50_000  # that are Python objects at one time
_PLAIN = {
    "boolean": typed.BOOLEAN, "int": typed.INT, "long": typed.LONG, "float": typed.FLOAT,
    "double": typed.DOUBLE, "string": typed.TEXT, "enum": typed.TEXT, "bytes": typed.BYTES,
    "fixed": typed.BYTES,
}  # fmt: skip
_LOGICAL = {
    "date": typed.DAY, "timestamp-millis": typed.MOMENT, "timestamp-micros": typed.MOMENT,
    "local-timestamp-millis": typed.LOCAL, "local-timestamp-micros": typed.LOCAL,
    "decimal": typed.AS_TEXT, "uuid": typed.AS_TEXT, "time-millis": typed.AS_TEXT,
    "time-micros": typed.AS_TEXT,
}  # fmt: skip


def read(path: Path) -> Iterator[Table]:
    """Yield the rows in parts, `_line` counting them from 1; raises FileUnreadable."""
    fastavro = needed("fastavro", "avro")
    with path.open("rb") as file:
        try:
            reader = fastavro.reader(file)
            yield from _parts(reader)
        except Exception as error:  # it has no error of its own for what is torn
            if isinstance(error, OSError | MemoryError):
                raise
            what = f"this Avro file does not read: {error or type(error).__name__}"
            raise FileUnreadable(what) from error


def _parts(reader: Any) -> Iterator[Table]:
    schema = reader.writer_schema
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise FileUnreadable("this Avro file holds no records")
    kinds = {field["name"]: _kind(field["type"]) for field in schema["fields"]}
    done = 0
    while (rows := list(islice(reader, ROWS))) or not done:
        columns = {name: (kind, [r[name] for r in rows]) for name, kind in kinds.items()}
        lines = range(done + 1, done + 1 + len(rows))
        yield typed.table({**columns, "_line": (typed.LONG, lines)})
        done += len(rows)
        if not rows:
            return


def _kind(type_: Any) -> Kind:
    if isinstance(type_, list):
        told = [each for each in type_ if each != "null"]
        return _kind(told[0]) if len(told) == 1 else typed.NESTED
    if isinstance(type_, dict):
        logical = type_.get("logicalType")
        if logical is not None:
            return _LOGICAL.get(logical) or _kind(type_["type"])
        return _PLAIN.get(type_["type"], typed.NESTED)
    return _PLAIN.get(type_, typed.NESTED)
