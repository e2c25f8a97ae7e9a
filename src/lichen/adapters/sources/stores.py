"""Where files lie: each store lists what a glob means, and fetches one file."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import msgspec

from lichen.core.errors import SourceAway, SourceError, Where
from lichen.core.steps import Seen

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Store(Protocol):
    """Files elsewhere. `Seen.sha256` tells what the store says of the content, without reading."""

    def list(self) -> Iterator[Seen]:
        """Yield the files that are meant, in any order; raises SourceError."""

    def fetch(self, seen: Seen, write: Callable[[bytes], Any]) -> None:
        """Write the content of a file, as it was when it was seen; raises SourceError."""

    def close(self) -> None:
        """Close what is open."""


class Cache:
    """A folder of this process for files that were fetched or unpacked; it goes when closed.

    What processes left that died is swept: a folder whose lock nobody holds is nobody's.
    """

    def __init__(self, folder: Path) -> None:
        """Do nothing yet: most sources need no such folder."""
        self._folder, self._own = folder, None
        self._lock: IO[bytes] | None = None

    _own: Path | None

    def path(self, *about: str) -> Path:
        """Return the place for what these words are about; its name keeps no ending but theirs."""
        name = hashlib.sha256("\0".join(about).encode()).hexdigest()[:32]
        return self._room() / name

    def close(self) -> None:
        """Remove the folder."""
        if self._own is not None and self._lock is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            self._lock.close()
            self._own = self._lock = None

    def _room(self) -> Path:
        if self._own is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._own = Path(tempfile.mkdtemp(dir=self._folder))
            self._lock = (self._own / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self._own

    def _sweep(self) -> None:
        for other in self._folder.iterdir():
            with suppress(OSError), (other / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other, ignore_errors=True)


def fetched(store: Store, seen: Seen, cache: Cache, most: int, where: Where) -> Path:
    """Return a file's place in the cache, fetched unless it is there; raises SourceError.

    It comes under its name only when it is whole.
    """
    path = cache.path(seen.path, seen.sha256)
    if path.exists():
        return path
    if seen.size > most:
        raise SourceError(
            f"{seen.path} has {seen.size:,} bytes",
            where=where,
            hint="say `largest: SIZE` in the source if that is right",
        )
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        store.fetch(seen, file.write)
    if (got := part.stat().st_size) != seen.size:
        what = f"{seen.path} came with {got:,} bytes of {seen.size:,}: it was cut, or changed since"
        raise SourceAway(what, where=where)
    part.replace(path)
    return path


def told(value: object) -> str:
    """Return as few characters as tell a content apart, for what a store says of it."""
    return hashlib.sha256(msgspec.json.encode(value, enc_hook=str)).hexdigest()[:32]


def plain_allowed(url: str, hosts: tuple[str, ...], where: Where, what: str) -> None:
    """Refuse to speak without TLS to a host that is neither this machine nor listed."""
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK and host not in hosts:
        raise SourceError(
            f"{what}: {url} is spoken to without TLS",
            where=where,
            hint=f"use https, or list the host if its network is yours: `hosts: [{host}]`",
        )
