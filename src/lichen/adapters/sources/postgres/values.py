"""Values as Arrow columns, each told in one way only, whether it was read or replicated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from arro3.core import Array, DataType, RecordBatch, Table

from lichen.adapters.sources.postgres.catalog import DATE, MOMENTS, TIMESTAMPTZ, Column

# The server's least times, as days and microseconds since 1970. Its infinity is the greatest number
# there is, counted from 2000: as a client counts, that goes round and becomes less than all others.
_FIRST_DAY, _FIRST = -2_440_588, -210_866_803_200_000_000
_DAYS, _MICROS = 10_957, 946_684_800_000_000  # between 1970 and 2000


def rows_of(
    batch: RecordBatch, columns: Sequence[Column], file: str, lines: Array | None, first: int
) -> Table:
    """Return a batch as records: `lines`, or numbers from `first` on, are their places."""
    count = batch.num_rows
    arrays = {
        column.name: _finite(batch.column(index), column) for index, column in enumerate(columns)
    }
    if lines is None:
        lines = Array.from_numpy(np.arange(first, first + count, dtype=np.int64))
    return Table.from_pydict({**arrays, "_file": _same(file, count), "_line": lines})


def _same(text: str, count: int) -> Array:
    return Array([text] * count, DataType.utf8())


def _finite(values: Array, column: Column) -> Array:
    """Return a column as it is; one with a time that has no end becomes text, as all then are."""
    if column.base not in MOMENTS or not len(values):
        return values
    counted = _counted(values, column)
    numbers = np.frombuffer(_buffer(counted), np.int64)
    if numbers.min() >= (_FIRST_DAY if column.base == DATE else _FIRST):
        return values
    there = counted.to_pylist()
    return Array([None if n is None else spelled(n, column.base) for n in there], DataType.utf8())


def _counted(values: Array, column: Column) -> Array:
    """Return dates and times as numbers of days and microseconds."""
    days = column.base == DATE
    return (values.cast(DataType.int32()) if days else values).cast(DataType.int64())


def _buffer(values: Any) -> Any:
    """What lies in memory of an array: its library tells it, and its types do not say so."""
    return values.buffer()


def spelled(number: int, base: int) -> str:
    """Return days or microseconds since 1970 as the server prints a date or a time.

    >>> spelled(18262, 1082), spelled(1577836800500000, 1184), spelled(-62198755200000000, 1114)
    ('2020-01-01', '2020-01-01 00:00:00.5+00', '0002-01-01 00:00:00 (BC)')
    """
    bits, since, first = (32, _DAYS, _FIRST_DAY) if base == DATE else (64, _MICROS, _FIRST)
    if number < first:
        if number == since - 2 ** (bits - 1):
            return "-infinity"
        if number == since - 2 ** (bits - 1) - 1:
            return "infinity"
        number += 2**bits
    if base == DATE:
        return _day(number)
    days, rest = divmod(number, 86_400_000_000)
    seconds, micros = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    clock += f".{micros:06}".rstrip("0") if micros else ""
    day, _, before = _day(days).partition(" ")
    zone = "+00" if base == TIMESTAMPTZ else ""
    return f"{day} {clock}{zone}" + (f" {before}" if before else "")


def _day(days: int) -> str:
    text = str(np.datetime64(days, "D"))
    year, month, rest = text.rsplit("-", 2)
    if int(year) > 0:
        return f"{int(year):04}-{month}-{rest}"
    return f"{1 - int(year):04}-{month}-{rest} (BC)"


def place(values: Array, column: Column) -> str | None:
    """Return the last value of a column as text that the server reads as the same value."""
    last = values.slice(len(values) - 1, 1)
    if column.base in MOMENTS:
        (number,) = _counted(last, column).to_pylist()
        return None if number is None else spelled(number, column.base).replace("(BC)", "BC")
    (value,) = last.to_pylist()
    if value is None:
        return None
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and str(last.type).endswith("<Float32>"):
        return str(np.float32(value))
    return str(value)


def told(texts: Sequence[Any], column: Column) -> Array:
    """Return texts that the server printed as a column, as reading would give it."""
    base = column.base
    if base == 16:
        return Array([None if t is None else t == b"t" for t in texts], DataType.bool())
    if base == 17:
        return Array(
            [None if t is None else bytes.fromhex(t[2:].decode()) for t in texts], DataType.binary()
        )
    if base in (700, 701):
        type_ = DataType.float32() if base == 700 else DataType.float64()
        return Array([None if t is None else float(t) for t in texts], type_)
    if base in MOMENTS:
        found = [None if t is None else t.decode().replace(" BC", " (BC)") for t in texts]
        return Array(found, DataType.utf8())
    if column.is_array:
        return Array([None if t is None else as_json(t.decode()) for t in texts], DataType.utf8())
    return Array([None if t is None else t.decode() for t in texts], DataType.utf8())


def as_json(text: str) -> str:
    r"""Return an array as the server prints it as JSON of texts.

    >>> as_json('{1,NULL,"a \\"b\\" {,}"}'), as_json('[0:1]={{a},{"NULL"}}'), as_json("{}")
    ('["1",null,"a \\"b\\" {,}"]', '[["a"],["NULL"]]', '[]')
    """
    if text.startswith("["):
        text = text.partition("=")[2]
    stack: list[list[Any]] = [[]]
    at = 0
    while at < len(text):
        mark = text[at]
        if mark == "{":
            stack.append([])
        elif mark == "}":
            done = stack.pop()
            stack[-1].append(done)
        elif mark != ",":
            value, at = _element(text, at)
            stack[-1].append(value)
            continue
        at += 1
    return msgspec.json.encode(stack[0][0]).decode()


def _element(text: str, at: int) -> tuple[str | None, int]:
    """Return the element of an array that begins at a place, and where it ends."""
    quoted = text[at] == '"'
    at += quoted
    found = []
    while True:
        mark = text[at]
        if mark == "\\":
            found.append(text[at + 1])
            at += 2
            continue
        if (quoted and mark == '"') or (not quoted and mark in ",}"):
            break
        found.append(mark)
        at += 1
    value = "".join(found)
    return (None if not quoted and value.upper() == "NULL" else value), at + quoted
