"""Cassandra's rows as plain JSON: what JSON has no number for is text, and loses nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.cassandraclient import Page
from lichen.core.time import iso

_WHOLE = 2**63  # JSON's readers keep whole numbers below it


def rows_of(page: Page, part: str, first: int) -> Table:
    """Return rows as payloads, numbered from `first` on."""
    payloads = [payload(page, row) for row in page.rows]
    lines = list(range(first, first + len(payloads)))
    return Table.from_pydict(
        {
            "_payload": Array(payloads, DataType.binary()),
            "_file": Array([part] * len(lines), DataType.utf8()),
            "_line": Array(lines, DataType.int64()),
        }
    )


def payload(page: Page, row: Any) -> bytes:
    """Return one row as a JSON object."""
    told = zip(page.names, row, page.types, strict=True)
    return msgspec.json.encode({name: plain(value, type_) for name, value, type_ in told})


def plain(value: Any, type_: Any) -> Any:
    """Return a value of a type as JSON can hold it: sets are lists, user types and maps objects."""
    if value is None:
        return None
    inner = list(getattr(type_, "subtypes", ()))
    if (names := getattr(type_, "fieldnames", None)) is not None:
        fields = zip(names, value, inner, strict=True)
        return {name: plain(field, kind) for name, field, kind in fields}
    match type_.typename:
        case "frozen":
            return plain(value, inner[0])
        case "map":
            return {_name(k, inner[0]): plain(v, inner[1]) for k, v in value.items()}
        case "list" | "set":
            return [plain(each, inner[0]) for each in value]
        case "tuple":
            return [plain(each, kind) for each, kind in zip(value, inner, strict=True)]
        case _:
            return scalar(value)


def scalar(value: Any) -> Any:
    """Return a single value as JSON can hold it."""
    match value:
        case bool() | str():
            return value
        case int():
            return value if -_WHOLE <= value < _WHOLE else str(value)
        case float():
            if math.isfinite(value):
                return value
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case datetime():
            return iso(value.replace(tzinfo=UTC))
        case bytes():
            return "".join(f"\\x{byte:02X}" for byte in value)
        case list() | tuple():
            return [scalar(each) for each in value]
    return str(value)


def _name(key: Any, type_: Any) -> str:
    told = plain(key, type_)
    return told if isinstance(told, str) else msgspec.json.encode(told).decode()
