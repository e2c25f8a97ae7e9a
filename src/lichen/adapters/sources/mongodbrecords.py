"""MongoDB's documents as plain JSON: what JSON has no number for is text, and loses nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.core.extras import needed
from lichen.core.time import iso

_OLD_UUID, _UUID = 3, 4  # the subtypes of binary; the bytes of an old one stand in any order


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it.

    An ObjectId and a Decimal128 are their text, a date is ISO 8601 in UTC, bytes are `\\x00` and
    so on (DuckDB's own text of a BLOB), a number that is none is `NaN` or `Infinity`.
    """
    match value:
        case None | bool() | str():
            return str(value) if isinstance(value, str) else value
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else _no_number(value)
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case datetime():
            return iso(value)
        case bytes():
            return _bytes(value)
        case re.Pattern():
            return value.pattern
    return _of_bson(value)


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytes(value: bytes) -> str:
    if getattr(value, "subtype", 0) == _UUID:
        return str(value.as_uuid())  # type: ignore[attr-defined]
    return "".join(f"\\x{byte:02X}" for byte in value)


def _of_bson(value: Any) -> Any:
    bson = needed("bson", "mongodb")
    match value:
        case bson.dbref.DBRef():
            return plain(dict(value.as_doc()))
        case bson.timestamp.Timestamp():
            return f"{value.time}.{value.inc}"
        case bson.regex.Regex():
            return value.pattern if isinstance(value.pattern, str) else _bytes(value.pattern)
        case bson.datetime_ms.DatetimeMS():
            return f"{int(value)} ms since 1970"  # no calendar here reaches it
    return str(value)


def rows_of(raws: Iterable[bytes], part: str, first: int) -> tuple[Table, Table | None]:
    """Return documents as payloads, numbered from `first` on, and those that cannot be read.

    A contract cannot list `_id`, since such names are Lichen's own: it is `meta_id`, as text.
    """
    bson = needed("bson", "mongodb")
    options = bson.codec_options.CodecOptions(
        tz_aware=True, datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_AUTO
    )
    good: list[tuple[int, bytes, str]] = []
    bad: list[tuple[int, bytes, str]] = []
    for line, raw in enumerate(raws, first):
        try:
            document = plain(bson.decode(raw, options))
            good.append((line, msgspec.json.encode(document), _id(document)))
        except (bson.errors.BSONError, UnicodeError) as error:
            bad.append((line, raw, f"it is no document that can be read: {error}"))
    said: dict[str, Any] = {
        "_payload": Array([payload for _, payload, _ in good], DataType.binary()),
        **_places([line for line, _, _ in good], part),
        "meta_id": Array([id_ for _, _, id_ in good], DataType.utf8()),
    }
    rows = Table.from_pydict(said)
    if not bad:
        return rows, None
    rejects: dict[str, Any] = {
        **_places([line for line, _, _ in bad], part),
        "raw": Array([raw for _, raw, _ in bad], DataType.binary()),
        "reason": Array([reason for _, _, reason in bad], DataType.utf8()),
    }
    return rows, Table.from_pydict(rejects)


def _id(document: dict[str, Any]) -> str:
    id_ = document.get("_id")
    return id_ if isinstance(id_, str) else msgspec.json.encode(id_).decode()


def _places(lines: list[int], part: str) -> dict[str, Array]:
    return {
        "_file": Array([part] * len(lines), DataType.utf8()),
        "_line": Array(lines, DataType.int64()),
    }
