"""How far an incremental source was read: the greatest value of a column, and what stood at it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from lichen.core.errors import SourceError

Value = str | int | float
_AHEAD = timedelta(days=1)  # by which a server's clock may be before ours
_LONG, _DIGITS = 1_000, 40  # characters of a value; of one that is a number
_ALL = 2**63 - 1


class Sum(msgspec.Struct, frozen=True, array_like=True):
    """A digest of records in any order."""

    count: int = 0
    total: int = 0

    def plus(self, places: Sequence[int]) -> Sum:
        """Return the digest of these records and others."""
        return Sum(self.count + len(places), (self.total + sum(places)) & _ALL)


class Reach(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a pass over all pages came: the greatest value, and digests of records.

    `edge` are those at the greatest value: a server that sends all from a value on sends them
    again. `rest` are those that are not beyond where the pass began.
    """

    high: Value | None = None
    edge: Sum = Sum()
    rest: Sum = Sum()

    def after(
        self, places: Sequence[int], values: Sequence[Value | None], since: Value | None
    ) -> Reach:
        """Return how far it came with another page: its records by `place_of`, and their values."""
        rest, high, edge = self.rest, self.high, self.edge
        if not _beyond(values, since):
            old = [p for p, v in zip(places, values, strict=True) if not later(v, since)]
            rest = rest.plus(old)
        most = greatest(values, datetime.now(UTC), high if high is not None else since)
        if most is None or not later(most, since):
            return Reach(high, edge, rest)
        if high is None or later(most, high):
            high, edge = most, Sum()
        return Reach(
            high, edge.plus([p for p, v in zip(places, values, strict=True) if v == high]), rest
        )

    def known(self) -> Sum:
        """Return the digest of what a server is to send that holds nothing new."""
        return self.rest if self.high is None else self.edge


def place_of(record: bytes) -> int:
    """Return a number below 2**63 by which a record is known again, whenever it is sent.

    Two checksums cost a third of one good hash; nobody gains by making two records look alike.
    """
    return (zlib.crc32(record) << 31) ^ zlib.adler32(record)


def greatest(values: Sequence[Value | None], now: datetime, like: Value | None) -> Value | None:
    """Return the value that comes last: of numbers, of times, or of texts, as `like` is one.

    Values of another kind do not count. A time that is still to come does not count either: all
    that is written until then would be skipped.

    >>> greatest(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"], datetime.now(UTC), None)
    '2026-01-01T00:00:00.5Z'
    """
    there = [value for value in values if value is not None]
    if not there:
        return None
    most: Value | None = max(there) if _alike(there) else None
    kind = _common(there[:100]) if like is None else kind_of(like)
    if most is None or kind_of(most) != kind or _ahead(most, now):
        fit = [value for value in there if kind_of(value) == kind and not _ahead(value, now)]
        most = max(fit, key=order, default=None)
    if isinstance(most, str) and len(most) > _LONG:
        raise SourceError(f"the greatest value has {len(most):,} characters: it cannot be sent")
    return most


def later(value: Value | None, than: Value | None) -> bool:
    """Return whether a value comes after another; where they have no order, it does not."""
    if value is None or than is None:
        return value is not None
    return kind_of(value) == kind_of(than) and bool(order(value) > order(than))


def kind_of(value: Value) -> str:
    """Return what a value is compared as: number, time or text."""
    if not isinstance(value, str) or _number(value):
        return "number"
    return "text" if _moment(value) is None else "time"


def order(value: Value) -> tuple[Any, str]:
    """Return what a value is compared by, among those of its kind."""
    if not isinstance(value, str):
        return value, ""
    if _number(value):
        return int(value), ""
    return _moment(value) or "", value


def _number(value: str) -> bool:
    return len(value) < _DIGITS and value.isascii() and value.isdecimal()


def _moment(value: str) -> datetime | None:
    if value[4:5] != "-":
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _ahead(value: Value, now: datetime) -> bool:
    moment = _moment(value) if isinstance(value, str) else None
    return moment is not None and moment > now + _AHEAD


def _common(values: Sequence[Value]) -> str:
    return Counter(map(kind_of, values)).most_common(1)[0][0]


def _beyond(values: Sequence[Value | None], since: Value | None) -> bool:
    """Whether all values come after one, where that is seen at a glance."""
    if None in values:
        return False
    there: list[Any] = list(values)
    return since is None or not there or (_alike([*there, since]) and min(there) > since)


def _alike(values: Sequence[Any]) -> bool:
    """Whether values compare as they stand: numbers, or times that are spelled alike."""
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        return True
    if kinds != {str} or len(set(map(len, values))) > 1:
        return False
    spelled = {value[10:11] + value[-1:] for value in values}
    return spelled <= {"TZ"} and _moment(values[0]) is not None and _plain_times(values)


def _plain_times(values: Sequence[str]) -> bool:
    """Whether all are made of what times are made of, so that one of them being one is enough."""
    return not "".join(values).strip("0123456789-:.TZ")
