"""ORC files, read by pyorc: columns typed as their schema says."""

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
_KINDS = {
    "BOOLEAN": typed.BOOLEAN, "BYTE": typed.INT, "SHORT": typed.INT, "INT": typed.INT,
    "LONG": typed.LONG, "FLOAT": typed.FLOAT, "DOUBLE": typed.DOUBLE, "STRING": typed.TEXT,
    "VARCHAR": typed.TEXT, "CHAR": typed.TEXT, "BINARY": typed.BYTES, "DATE": typed.DAY,
    "TIMESTAMP": typed.LOCAL, "TIMESTAMP_INSTANT": typed.MOMENT, "DECIMAL": typed.AS_TEXT,
}  # fmt: skip


def read(path: Path) -> Iterator[Table]:
    """Yield the rows in parts, `_line` counting them from 1; raises FileUnreadable."""
    pyorc = needed("pyorc", "orc")
    with path.open("rb") as file:
        try:
            yield from _parts(pyorc.Reader(file, struct_repr=pyorc.StructRepr.TUPLE))
        except Exception as error:  # what is torn comes as errors of many kinds
            if isinstance(error, OSError | MemoryError):
                raise
            raise FileUnreadable(f"this ORC file does not read: {error}") from error


def _parts(reader: Any) -> Iterator[Table]:
    fields = getattr(reader.schema, "fields", None)
    if fields is None:
        raise FileUnreadable("this ORC file holds no columns")
    told = [(name, type_, _kind(type_)) for name, type_ in fields.items()]
    done = 0
    while (rows := list(islice(reader, ROWS))) or not done:
        columns = {
            name: (kind, [_named(row[i], type_) for row in rows])
            for i, (name, type_, kind) in enumerate(told)
        }
        lines = range(done + 1, done + 1 + len(rows))
        yield typed.table({**columns, "_line": (typed.LONG, lines)})
        done += len(rows)
        if not rows:
            return


def _kind(type_: Any) -> Kind:
    return _KINDS.get(type_.kind.name, typed.NESTED)


def _named(value: Any, type_: Any) -> Any:
    """Give the fields of structs their names."""
    kind = type_.kind.name
    if value is None or kind in _KINDS:
        return value
    if kind == "STRUCT":
        fields = type_.fields.items()
        return {n: _named(v, t) for (n, t), v in zip(fields, value, strict=True)}
    if kind == "LIST":
        return [_named(each, type_.type) for each in value]
    if kind == "MAP":
        return {str(k): _named(v, type_.value) for k, v in dict(value).items()}
    return value
