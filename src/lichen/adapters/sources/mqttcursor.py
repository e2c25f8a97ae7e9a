"""What of a session was landed: how many messages, and which of them the broker may send again."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterable, Sequence
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


@dataclass
class Landed:
    """How many messages were taken, and those that the broker may not know to be safe.

    `ids` are packet ids, each with a digest of its message, in the order in which they came.
    """

    count: int = 0
    ids: dict[int, int] = field(default_factory=dict)

    def encoded(self) -> str:
        """Return the cursor."""
        digests = struct.pack(f"<{len(self.ids)}I", *self.ids.values())
        text = binascii.b2a_base64(digests, newline=False).decode()
        return msgspec.json.encode(_Cursor(self.count, _runs(self.ids), text)).decode()


def decoded(cursor: str | None) -> Landed:
    """Return what a cursor says.

    >>> decoded(Landed(3, {7: 1, 8: 2, 3: 9}).encoded())
    Landed(count=3, ids={7: 1, 8: 2, 3: 9})
    """
    if cursor is None:
        return Landed()
    found = msgspec.json.decode(cursor, type=_Cursor)
    ids = [first + n for first, many in found.unheard for n in range(many)]
    digests = struct.unpack(f"<{len(ids)}I", binascii.a2b_base64(found.digests))
    return Landed(found.count, dict(zip(ids, digests, strict=True)))


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
