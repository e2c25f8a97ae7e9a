"""Columns of Python values as Arrow columns; what Arrow would change is given as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from arro3.core import Array, DataType, Table

_EPOCH = datetime(1970, 1, 1)
_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)


class Kind(NamedTuple):
    """How a column is told: its Arrow type, and what values become to be made into it."""

    type: DataType
    made_of: DataType
    of: Callable[[Any], Any] | None = None

    def column(self, values: Sequence[Any]) -> Array:
        """Return an Arrow column; None is NULL."""
        of = self.of
        told = values if of is None else [None if v is None else of(v) for v in values]
        column = Array(told, self.made_of)
        return column if self.made_of == self.type else Array.from_arrow(column.cast(self.type))


def plain(type_: DataType) -> Kind:
    """Return the kind of values that Arrow takes as they are."""
    return Kind(type_, type_)


def table(columns: Mapping[str, tuple[Kind, Sequence[Any]]]) -> Table:
    """Return columns as an Arrow table."""
    return Table.from_pydict(
        {name: kind.column(values) for name, (kind, values) in columns.items()}
    )


def json_text(value: Any) -> str:
    """Return a nested value as JSON text.

    >>> json_text({"at": date(2020, 1, 1), "of": [1, None]})
    '{"at":"2020-01-01","of":[1,null]}'
    """
    return msgspec.json.encode(value, enc_hook=str).decode()


def _microseconds(value: datetime) -> int:
    bare = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return (bare - _EPOCH) // _MICROSECOND


TEXT = plain(DataType.utf8())
AS_TEXT = Kind(DataType.utf8(), DataType.utf8(), str)
NESTED = Kind(DataType.utf8(), DataType.utf8(), json_text)
BOOLEAN = plain(DataType.bool())
INT = plain(DataType.int32())
LONG = plain(DataType.int64())
FLOAT = plain(DataType.float32())
DOUBLE = plain(DataType.float64())
BYTES = plain(DataType.binary())
DAY = Kind(DataType.date32(), DataType.int32(), lambda value: value.toordinal() - _DAY)
MOMENT = Kind(DataType.timestamp("us", tz="UTC"), DataType.int64(), _microseconds)
LOCAL = Kind(DataType.timestamp("us"), DataType.int64(), _microseconds)
