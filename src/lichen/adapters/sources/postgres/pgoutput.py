"""The messages of logical replication (pgoutput, protocol 1), as values."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Kept:
    """Stands for a value that an update did not touch and that is stored apart: it is not told."""

    def __repr__(self) -> str:
        return "KEPT"


KEPT = Kept()
Row = list[bytes | Kept | None]  # what the server prints; None is NULL


class Begin(NamedTuple):
    """A transaction begins; `commit` is the place of its end."""

    commit: int


class Commit(NamedTuple):
    """It ended; what comes later begins at `end`."""

    commit: int
    end: int


class Shape(NamedTuple):
    """The columns of a table from here on: names and type ids."""

    table: int
    names: tuple[str, ...]
    types: tuple[int, ...]


class Insert(NamedTuple):
    """A row came."""

    table: int
    new: Row


class Update(NamedTuple):
    """A row changed; `old` is what is told of it as it was, all of it if `whole`."""

    table: int
    old: Row | None
    new: Row
    whole: bool


class Delete(NamedTuple):
    """A row went."""

    table: int
    old: Row


class Truncate(NamedTuple):
    """All rows of some tables went."""

    tables: tuple[int, ...]


Message = Begin | Commit | Shape | Insert | Update | Delete | Truncate


def read(payload: bytes) -> Message | None:
    """Return a message; None for one that tells nothing of rows.

    >>> read(b"C" + bytes(1) + (5).to_bytes(8) + (9).to_bytes(8) + bytes(8))
    Commit(commit=5, end=9)
    >>> read(b"I" + (7).to_bytes(4) + b"N" + (3).to_bytes(2) + b"nt" + (2).to_bytes(4) + b"hiu")
    Insert(table=7, new=[None, b'hi', KEPT])
    """
    match payload[:1]:
        case b"I":
            (table,) = struct.unpack_from(">I", payload, 1)
            return Insert(table, _row(payload, 6)[0])
        case b"U":
            return _update(payload)
        case b"D":
            (table,) = struct.unpack_from(">I", payload, 1)
            return Delete(table, _row(payload, 6)[0])
        case b"B":
            return Begin(*struct.unpack_from(">Q", payload, 1))
        case b"C":
            return Commit(*struct.unpack_from(">QQ", payload, 2))
        case b"R":
            return _shape(payload)
        case b"T":
            count, _ = struct.unpack_from(">IB", payload, 1)
            return Truncate(struct.unpack_from(f">{count}I", payload, 6))
        case _:
            return None  # a type's name, an origin, a message of somebody's own


def _update(payload: bytes) -> Update:
    (table,) = struct.unpack_from(">I", payload, 1)
    kind, at, old = payload[5:6], 6, None
    if kind in (b"K", b"O"):
        old, at = _row(payload, 6)
        at += 1  # the N before the new row
    return Update(table, old, _row(payload, at)[0], kind == b"O")


def _row(payload: bytes, at: int) -> tuple[Row, int]:
    (count,) = struct.unpack_from(">H", payload, at)
    at += 2
    found: Row = []
    for _ in range(count):
        kind = payload[at]
        at += 1
        if kind == 0x74:  # t: a text
            size = int.from_bytes(payload[at : at + 4])
            at += 4
            found.append(payload[at : at + size])
            at += size
        else:
            found.append(None if kind == 0x6E else KEPT)  # n: NULL, u: unchanged
    return found, at


def _shape(payload: bytes) -> Shape:
    (table,) = struct.unpack_from(">I", payload, 1)
    end = payload.index(0, payload.index(0, 5) + 1)  # after the names of its schema and itself
    (count,) = struct.unpack_from(">H", payload, end + 2)
    at, names, types = end + 4, [], []
    for _ in range(count):
        end = payload.index(0, at + 1)
        names.append(payload[at + 1 : end].decode())
        types.append(struct.unpack_from(">I", payload, end + 1)[0])
        at = end + 9
    return Shape(table, tuple(names), tuple(types))
