"""The Cassandra connector: a table, token range by token range, whole or by a column of time."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Iterator
from datetime import UTC
from time import monotonic
from typing import Any, ClassVar, Literal

import msgspec

from lichen.adapters.sources.cassandraclient import Access, Page, Shape, Table
from lichen.adapters.sources.cassandrarows import payload, rows_of, scalar
from lichen.core.errors import SourceError
from lichen.core.steps import Mark
from lichen.core.time import instant
from lichen.ports.source import Batch, Limits, Outside, Settings, Tls

_HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:]+")
_LOW, _RING = -(2**63), 2**64  # the least token, and how many there are
_TIES = 100  # rows of a range's greatest value that are known by their digest
_GROWING = ("timestamp", "timeuuid", "bigint", "int", "varint", "smallint")
Consistency = Literal[
    "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM",
]  # fmt: skip


class CassandraSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of Cassandra may say besides.

    Without `incremental` all token ranges are read and compared each time. With it, rows whose
    column is at or beyond the last value of their range: that needs a `key`, and a server that is
    told `allow_filtering`, since it looks at all rows.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset(
        {"hosts", "port", "datacenter", "consistency", "user", "tls", "page", "allow_filtering"}
    )

    hosts: str | list[str]
    keyspace: str
    table: str
    port: int = 9042
    incremental: str | None = None
    allow_filtering: bool = False
    datacenter: str | None = None
    consistency: Consistency = "LOCAL_QUORUM"
    splits: int = 16
    page: int = 2_000
    user: str | None = None
    password: str | None = None
    tls: Tls | None = None


class _Range(msgspec.Struct, frozen=True):
    """What is known of a range: how many rows it told, its greatest value, and who had it."""

    told: int = 0
    value: str | None = None
    ties: tuple[str, ...] = ()


class _Place(msgspec.Struct, frozen=True):
    """A cursor: how far a scan is. `page` is where it goes on within the range `next`.

    `growing` is what the range is known by once it is at its end.
    """

    id: str
    scan: str
    ranges: tuple[_Range, ...]
    next: int = 0
    page: str | None = None
    growing: _Range | None = None


class Cassandra:
    """Reads the token ranges of a table, one after the other."""

    Settings = CassandraSettings

    def __init__(self, settings: CassandraSettings, outside: Outside) -> None:
        _check(settings)
        self.settings = settings
        hosts = [settings.hosts] if isinstance(settings.hosts, str) else settings.hosts
        access = Access(
            tuple(hosts), settings.port, settings.datacenter, settings.consistency,
            settings.user, settings.password, settings.tls,
        )  # fmt: skip
        self.table = Table(settings.keyspace, settings.table, access, outside)

    def look(self, cursor: str | None) -> Mark:
        """Return the mark of a scan that is under way, or a new one: only reading tells more."""
        shape, place = self.shape(), _decoded(cursor)
        if place is not None and place.id != shape.id and self.settings.incremental:
            raise self.table.trouble(
                "somebody made it again since it was read last",
                "begin another source beside this one",
            )
        if place is not None and place.id == shape.id and place.next < self.settings.splits:
            said = f"token ranges from {place.next + 1} of {self.settings.splits} on"
            return Mark(until=place.scan, said=said)
        return Mark(until=uuid.uuid4().hex, said=f"{self.settings.splits} token ranges are read")

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> _Scan:
        """Read range by range."""
        shape, place = self.shape(), _decoded(cursor)
        if place is None or place.id != shape.id:
            place = _Place(shape.id, mark.until, (_Range(),) * self.settings.splits)
        elif place.scan != mark.until:
            place = _Place(place.id, mark.until, place.ranges)
        return _Scan(self, shape, place, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a table forgets nothing by being read."""

    def close(self) -> None:
        """Close the connections."""
        self.table.close()

    def shape(self) -> Shape:
        """Return what the table is; raises SourceError where its column cannot be followed."""
        shape, column = self.table.shape(), self.settings.incremental
        if column is not None and column not in shape.columns:
            raise self.table.trouble(
                f"it has no column {column!r}", f"it has {', '.join(shape.columns)}"
            )
        if column is not None and shape.columns[column] not in _GROWING:
            raise self.table.trouble(
                f"its column {column!r} is a {shape.columns[column]}, which is no time or number",
                f"it may be of {', '.join(_GROWING)}",
            )
        return shape


class _Scan:
    """The ranges from a place on. Whole ones are parts of their own, and it stops between them."""

    ended = False

    def __init__(self, cassandra: Cassandra, shape: Shape, place: _Place, limits: Limits) -> None:
        self._table, self._settings = cassandra.table, cassandra.settings
        self._shape, self._place, self._limits = shape, place, limits
        self._column = self._settings.incremental
        self._most = min(limits.rows, self._settings.page)
        self._began, self._rows = monotonic(), 0
        self.whole: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Batch]:
        while self._place.next < self._settings.splits:
            if self._column is None and self._full():
                return
            yield from self._range()
        self.ended = True

    def close(self) -> None:
        """Do nothing: a page holds nothing in the server."""

    def _full(self) -> bool:
        spent = monotonic() - self._began
        return bool(self.whole) and (
            self._rows >= self._limits.rows or spent >= self._limits.seconds
        )

    def _range(self) -> Iterator[Batch]:
        at = self._place.next
        part = f"{self._table.part}@{at + 1}of{self._settings.splits}"
        known = self._place.ranges[at]
        if self._column is None:  # from its first batch on, so that the range is not cut
            self.whole = (*self.whole, part)
        onward = self._column if known.value is not None else None
        cql = self._table.selected(self._shape, onward)
        values: list[Any] = [*_tokens(at, self._settings.splits)]
        values += [_value(known.value, self._shape.columns[onward])] if onward else []
        while self._place.next == at:
            state = base64.b64decode(self._place.page) if self._place.page else None
            page = self._table.page(cql, values, self._most, state)
            page = self._unknown(page, known)
            growing = self._place.growing or known
            if self._column is None and self._place.page is None:
                growing = _Range()
            rows = rows_of(page, part, growing.told + 1)
            self._advance(page, growing)
            self._rows += rows.num_rows
            if rows.num_rows or self._place.next > at:
                yield Batch(rows, msgspec.json.encode(self._place).decode())

    def _unknown(self, page: Page, known: _Range) -> Page:
        """Leave out the rows of the last value that were told as they are."""
        if not known.ties:
            return page
        rows = [row for row in page.rows if _digest(page, row) not in known.ties]
        return page._replace(rows=rows)

    def _advance(self, page: Page, before: _Range) -> None:
        after = msgspec.structs.replace(before, told=before.told + len(page.rows))
        if self._column is not None:
            after = _grown(after, page, self._column, self._shape.columns[self._column])
        at, place = self._place.next, self._place
        if page.state is not None:
            state = base64.b64encode(page.state).decode()
            self._place = msgspec.structs.replace(place, page=state, growing=after)
            return
        ranges = (*place.ranges[:at], after, *place.ranges[at + 1 :])
        self._place = _Place(place.id, place.scan, ranges, at + 1)


def _grown(known: _Range, page: Page, column: str, type_: str) -> _Range:
    """Return a range with the greatest value that it and a page have, and the rows with it."""
    index = page.names.index(column)
    value, ties = known.value, list(known.ties)
    for row in page.rows:
        if row[index] is None:
            continue
        text = str(scalar(row[index]))
        if value is None or _order(_value(text, type_)) > _order(_value(value, type_)):
            value, ties = text, []
        if text == value:
            ties.append(_digest(page, row))
    return _Range(known.told, value, tuple(ties[-_TIES:]))


def _order(value: Any) -> Any:
    return (value.time, value.bytes) if isinstance(value, uuid.UUID) else value


def _value(text: str | None, type_: str) -> Any:
    assert text is not None
    if type_ == "timestamp":
        return instant(text).astimezone(UTC).replace(tzinfo=None)
    return uuid.UUID(text) if type_ == "timeuuid" else int(text)


def _digest(page: Page, row: Any) -> str:
    return hashlib.sha256(payload(page, row)).hexdigest()[:20]


def _tokens(at: int, splits: int) -> tuple[int, int]:
    """Return the ends of a range: it begins behind the first and ends with the second.

    >>> _tokens(0, 2), _tokens(1, 2)[1] == 2**63 - 1
    ((-9223372036854775808, -1), True)
    """
    begin, end = _LOW + _RING * at // splits - bool(at), _LOW + _RING * (at + 1) // splits - 1
    return begin, end


def _decoded(cursor: str | None) -> _Place | None:
    return msgspec.json.decode(cursor, type=_Place) if cursor is not None else None


def _check(settings: CassandraSettings) -> None:
    hosts = [settings.hosts] if isinstance(settings.hosts, str) else settings.hosts
    if not hosts or not all(_HOST.fullmatch(host) for host in hosts):
        raise SourceError(
            "hosts: one of them is no name or address of a host",
            allowed=("HOST", "[HOST, HOST]"),
            hint="the port stands in `port`, and who asks in `user` and `password`",
        )
    if not 1 <= settings.splits <= 4096 or settings.page < 1:
        raise SourceError("splits, page: there are 1 to 4096 ranges, and pages of 1 row or more")
    if (settings.user is None) != (settings.password is None):
        raise SourceError("user, password: one without the other says nothing")
    if settings.incremental is None:
        return
    if not settings.key:
        raise SourceError(
            "incremental: rows at the last value come again, which takes a key",
            hint="name the columns of the table's primary key",
        )
    if not settings.allow_filtering:
        raise SourceError(
            "incremental: Cassandra looks at all rows to find those with later values",
            hint="say `allow_filtering: true` if it may, or leave `incremental` out",
        )
