"""What of a session was landed: how many messages, and which of them the broker may send again."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lichen.core.digest import digest as digest_of


class _Cursor(msgspec.Struct, frozen=True):
    """`count` messages were taken; `unheard` are runs of packet ids, [first, how many].

    `digests` has four bytes for each of these ids, in base64.
    """

    count: int = 0
    unheard: list[tuple[int, int]] = []
    digests: str = ""


Marks = tuple[int, ...]  # digests of messages that came under one id, in their order


@dataclass
class Landed:
    """How many messages were taken, and those that the broker may not know to be safe.

    `ids` are packet ids with the digests of their messages: most often one, but there are brokers
    that use an id again before it is acknowledged.
    """

    count: int = 0
    ids: dict[int, Marks] = field(default_factory=dict)

    def encoded(self) -> str:
        """Return the cursor."""
        digests = [mark for marks in self.ids.values() for mark in marks]
        packed = struct.pack(f"<{len(digests)}I", *digests)
        text = binascii.b2a_base64(packed, newline=False).decode()
        ids = [id_ for id_, marks in self.ids.items() for _ in marks]
        return msgspec.json.encode(_Cursor(self.count, _runs(ids), text)).decode()

    def less(self, heard: Mapping[int, Marks]) -> Landed:
        """Return this without what the broker has heard of.

        >>> Landed(3, {1: (7,), 2: (8, 9)}).less({1: (7,), 2: (8,), 5: (1,)})
        Landed(count=3, ids={2: (9,)})
        """
        ids = dict(self.ids)
        for id_ in heard.keys() & ids.keys():
            rest = tuple(mark for mark in ids.pop(id_) if mark not in heard[id_])
            ids |= {id_: rest} if rest else {}
        return Landed(self.count, ids)


def decoded(cursor: str | None) -> Landed:
    """Return what a cursor says.

    >>> decoded(Landed(3, {7: (1,), 8: (2, 2), 3: (9,)}).encoded())
    Landed(count=3, ids={7: (1,), 8: (2, 2), 3: (9,)})
    """
    if cursor is None:
        return Landed()
    found = msgspec.json.decode(cursor, type=_Cursor)
    each = [first + n for first, many in found.unheard for n in range(many)]
    digests = struct.unpack(f"<{len(each)}I", binascii.a2b_base64(found.digests))
    ids: dict[int, Marks] = {}
    for id_, mark in zip(each, digests, strict=True):
        ids[id_] = (*ids.get(id_, ()), mark)
    return Landed(found.count, ids)


def digest(topic: str, payload: bytes) -> int:
    """Return four bytes by which a message is known again under its packet id."""
    return zlib.crc32(payload, zlib.crc32(topic.encode()))


def _runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    first = many = 0
    for id_ in ids:
        if many and id_ == first + many:
            many += 1
            continue
        if many:
            runs.append((first, many))
        first, many = id_, 1
    return [*runs, (first, many)] if many else runs


class _Noted(msgspec.Struct, frozen=True):
    heard: str = ""  # a digest of the last cursor that the broker is known to have heard of
    filters: list[str] | None = None  # what the session is subscribed to, where that is known


class Note:
    """What is known of a session beside the ledger, in a file that may be lost.

    Without it, a cursor's messages may still be sent again (their digests tell), and brokers
    before version 5 send once more what they retain.
    """

    def __init__(self, folder: Path, *session: str) -> None:
        """Begin with what an earlier process left."""
        self._path = folder / "mqtt" / f"{digest_of(*session)}.json"
        try:
            self._noted = msgspec.json.decode(self._path.read_bytes(), type=_Noted)
        except (OSError, msgspec.MsgspecError):  # torn by a power cut, or not there yet
            self._noted = _Noted()

    def heard(self, cursor: str) -> None:
        """Note that the broker heard of all that a cursor says."""
        self._write(_Noted(digest_of(cursor), self._noted.filters))

    def has_heard(self, cursor: str) -> bool:
        """Return whether the broker heard of all that a cursor says."""
        return self._noted.heard == digest_of(cursor)

    def connecting(self) -> tuple[str, ...] | None:
        """Return what the session was subscribed to; from now on that is not known."""
        filters = self._noted.filters
        self._write(_Noted(self._noted.heard))
        return tuple(filters) if filters is not None else None

    def subscribed(self, filters: Sequence[str]) -> None:
        """Note what the session is subscribed to."""
        self._write(_Noted(self._noted.heard, list(filters)))

    def _write(self, noted: _Noted) -> None:
        if noted == self._noted and self._path.exists():
            return
        self._noted = noted
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(noted))
        beside.replace(self._path)
