"""The binlog as the server sends it to a replica: events one by one, up to its present end."""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from lichen.adapters.sources.mysql.server import Session

QUERY, STOP, ROTATE, FORMAT, LOAD, TABLE_MAP, XID = 2, 3, 4, 15, 18, 19, 16
INSERTS, UPDATES, DELETES = (23, 30), (24, 31), (25, 32)
PARTIAL, PACKED_TRANSACTION = 39, 40
GROUPS = (33, 34, 162)  # what begins a group of events: a transaction, or a statement alone
PACKED_QUERY, PACKED_ROWS = 165, (166, 167, 168, 169, 170, 171)
_SECOND = (*range(30, 33), *range(169, 172))  # rows events of the second make
_DUMP, _UNTIL_ITS_END = 0x12, 1
_HEADER = struct.Struct("<IBIIIH")  # time, type, server, size, end, flags

Place = tuple[int, int]  # number of the file, and position in it


@dataclass(frozen=True)
class Event:
    """An event: `begin` and `end` are its positions in the file; both 0 if it stands in none."""

    type: int
    time: int
    file: str
    begin: int
    end: int
    body: bytes

    @property
    def place(self) -> Place:
        """Where it ends."""
        return number(self.file), self.end


@dataclass(frozen=True)
class TableMap:
    """What an event says of the table that the next ones change: types and what belongs to them."""

    id: int
    schema: str
    table: str
    types: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RowsHead:
    """What stands before the rows of an event: the table, and whether all columns are told."""

    table: int
    columns: int
    complete: bool
    begin: int  # of the rows, in the body


def number(file: str) -> int:
    """Return the number of a file of the binlog.

    >>> number("binlog.000012")
    12
    """
    return int(file.rpartition(".")[2])


def events(session: Session, file: str, position: int) -> Iterator[Event]:
    """Yield the events from a position on, until all that is there was told."""
    session.ask("set @master_binlog_checksum = @@global.binlog_checksum")  # it is known here
    session.ask("set @mariadb_slave_capability = 4")  # else it makes up older events
    connection = session.connection
    replica = 2**31 + secrets.randbelow(2**31 - 1)  # two of one number would end each other
    asked = struct.pack("<IHI", position, _UNTIL_ITS_END, replica) + file.encode()
    with session.guarded():
        connection._execute_command(_DUMP, asked)
    summed = False
    while True:
        with session.guarded():
            data: bytes = connection._read_packet()._data
        if data[0] == 0xFE and len(data) < 9:
            return
        time, type_, _, _, end, _ = _HEADER.unpack_from(data, 1)
        if type_ == FORMAT:
            summed = data[-5] == 1
        # What comes before it says whether there are sums is judged by itself.
        body = data[20:-4] if _summed(data) or (summed and type_ == FORMAT) else data[20:]
        if summed and len(body) + 20 == len(data):
            raise session.server.refusal(f"the event at {position} of {file} is damaged")
        if type_ == ROTATE:
            before, file = file, body[8:].decode()
            position = position if file == before else 4
            end = 0  # it stands at the end of the file before
        # An event may have been left out before it: then it begins earlier than its size tells.
        yield Event(type_, time, file, position if end else 0, end, body)
        position = end or position


def _summed(data: bytes) -> bool:
    return zlib.crc32(data[1:-4]) == int.from_bytes(data[-4:], "little")


def statement(event: Event) -> str:
    """Return the text of a statement."""
    schema = event.body[8]
    (variables,) = struct.unpack_from("<H", event.body, 11)
    text = event.body[13 + variables + schema + 1 :]
    if event.type == PACKED_QUERY:
        text = zlib.decompress(text[1 + (text[0] & 7) :])
    return text.decode("utf-8", "replace")


def table_map(event: Event) -> TableMap:
    """Return what a table map says."""
    body = event.body
    schema, at = _name(body, 8)
    table, at = _name(body, at)
    count, at = _length(body, at)
    codes, at = body[at : at + count], at + count
    _, at = _length(body, at)
    types = []
    for code in codes:
        size = _SIZES.get(code, 0)
        types.append((code, int.from_bytes(body[at : at + size], "little")))
        at += size
    return TableMap(_table(body), schema, table, tuple(types))


def rows_head(event: Event) -> RowsHead:
    """Return what stands before the rows."""
    body, at = event.body, 8
    if event.type in _SECOND or event.type == PARTIAL:
        at += int.from_bytes(body[8:10], "little")
    columns, at = _length(body, at)
    size = (columns + 7) // 8
    both = 2 if event.type in UPDATES else 1
    every = (1 << columns) - 1
    told = [
        int.from_bytes(body[at + i * size : at + (i + 1) * size], "little") & every
        for i in range(both)
    ]
    return RowsHead(_table(body), columns, all(t == every for t in told), at + both * size)


# Bytes that a table map adds to a type.
_SIZES = {
    **dict.fromkeys((4, 5, 17, 18, 19, 140, 242, 245, 249, 250, 251, 252, 255), 1),
    **dict.fromkeys((15, 16, 141, 246, 247, 248, 253, 254), 2),
}


def _table(body: bytes) -> int:
    return int.from_bytes(body[:6], "little")


def _name(body: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + body[at]
    return body[at + 1 : end].decode(), end + 1


def _length(body: bytes, at: int) -> tuple[int, int]:
    first = body[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}[first]
    return int.from_bytes(body[at + 1 : at + 1 + size], "little"), at + 1 + size
