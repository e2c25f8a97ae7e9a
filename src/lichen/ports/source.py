"""Where records come from: sets of files, and streams that are read from a cursor on.

A connector is a class. Its `Settings` say what `sources/NAME.yml` may hold; it is made of these
and of its `Outside`, opens nothing until it is asked, and imports its client only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from lichen.core.errors import Where
from lichen.core.steps import Mark, Seen

if TYPE_CHECKING:  # it speaks of SQL, and plans are made without its parser
    from lichen.ports.engine import Engine, Records


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of a stream is landed by one commit; what is reached first ends it."""

    rows: int = 250_000
    bytes: str = "128 MB"
    seconds: float = 30.0


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to trust, and who we are: files in PEM, relative to the project."""

    ca: str | None = None  # the authorities to trust; by default those that are known everywhere
    cert: str | None = None  # our own, for servers that ask for one
    key: str | None = None
    verify: bool = True


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every `sources/NAME.yml` may say; each connector adds its own.

    `SECRETS` are the settings that only refer to a secret, `ASIDE` those that change how records
    are fetched, but not which: they are no part of the source's fingerprint.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset()
    ASIDE: ClassVar[frozenset[str]] = frozenset()

    connector: str = "files"
    key: str | list[str] | None = None
    known_at: str | None = None
    event_time: str | None = None
    lag: str | None = None
    backfill_until: str | None = None
    retries: int = 0
    timeout: str = "30 s"
    limits: LimitSettings = LimitSettings()
    on_drift: Literal["evolve", "freeze", "quarantine"] | None = None
    note: str | None = None


@dataclass(frozen=True)
class Outside:
    """What a connector may know of the project: who it is, and how to look up a secret.

    `secret` takes a reference as the settings hold it (`env:NAME`, `file:PATH`, or the name of a
    secret of the target). `folder` is the target's own, for what may be lost, such as a cache.
    """

    node: str
    where: Where
    root: Path
    folder: Path
    target: str
    timeout: float  # seconds; no call to a server may wait longer without a word from it
    secret: Callable[[str], str] = field(repr=False)


class Limits(NamedTuple):
    """How much a reading gives at most; a connector may stop short of it, never far beyond."""

    rows: int
    bytes: int
    seconds: float


class Batch(NamedTuple):
    """Records of a stream, and the cursor to go on from once they are safe.

    `rows` is an Arrow table: the source's columns, or instead of them `_payload` (BLOB), the bytes
    of each record; `_file` VARCHAR, the part of the source that holds the record (a partition, a
    topic, a table); `_line` BIGINT, its place there; and, where some do, `_removes` BOOLEAN: what
    the record says is that its key is gone; and `_keeps` VARCHAR[], names in lower case: what it
    does not tell, since it stays as it was. `rejects` are the records that cannot be read at all:
    `_file`, `_line`, `raw` BLOB, `reason`.
    """

    rows: Any
    cursor: str
    rejects: Any = None


class Reading(Protocol):
    """Batches in their order; ends at the mark that it was given, at the limits, or in between.

    `whole` names the parts (`_file`) of which this reading told everything, so that a key that it
    did not tell is gone. `ended` is true once the mark is reached. Both count after the last batch.
    """

    whole: tuple[str, ...]
    ended: bool

    def __iter__(self) -> Iterator[Batch]:
        """Yield what there is; raises SourceError where the source cannot go on."""

    def close(self) -> None:
        """Give back what reading took; the connector itself stays usable."""


@runtime_checkable
class Stream(Protocol):
    """A source that is read from a cursor on: a topic, a table of a database, an API, a log."""

    def look(self, cursor: str | None) -> Mark:
        """Return the point that the source has reached: the same mark while nothing is new.

        Where that cannot be told without reading, the mark is a new one each time. `cursor` says
        what was read so far, so that the mark can say how much is new.
        """

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read what comes after a cursor (None: from the beginning), up to a mark."""

    def acknowledge(self, cursor: str) -> None:
        """Tell the source that all up to a cursor is safe; it may forget that."""

    def close(self) -> None:
        """Close what is open."""


@runtime_checkable
class Files(Protocol):
    """A source that is a set of files, each of them read whole."""

    def list(self, known: Mapping[str, Seen]) -> tuple[Seen, ...]:
        """Return what is there; `known` saves reading again what has not been touched."""

    def local(self, seen: Seen) -> Path:
        """Return a path on this machine where a file may be read."""

    def records(self, seen: Seen, engine: Engine, columns: Sequence[str]) -> Records:
        """Read a file: its columns, text or typed, and `_line`; and what of it does not read.

        Of `columns` (the contract's) the others may be left out. Raises FileUnreadable where
        nothing of it can be read.
        """

    def close(self) -> None:
        """Close what is open."""


Connector = Files | Stream
