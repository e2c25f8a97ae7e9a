"""A Delta table's log, read entry by entry as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from lichen.core.errors import LakeError
from lichen.ports.lake import Commit


class _Add(msgspec.Struct):
    path: str
    size: int = 0


class _Remove(msgspec.Struct):
    path: str


class _Txn(msgspec.Struct):
    app: str = msgspec.field(name="appId")
    version: int


class _Meta(msgspec.Struct):
    schema: str = msgspec.field(name="schemaString")


class _Protocol(msgspec.Struct):
    features: list[str] = msgspec.field(name="readerFeatures", default_factory=list)


class _Pointer(msgspec.Struct):
    version: int


class _Info(msgspec.Struct):
    operation: str = ""


class _Action(msgspec.Struct):
    add: _Add | None = None
    remove: _Remove | None = None
    txn: _Txn | None = None
    meta: _Meta | None = msgspec.field(name="metaData", default=None)
    protocol: _Protocol | None = None
    info: _Info | None = msgspec.field(name="commitInfo", default=None)


_REMEMBERED = 16  # file lists per table
_decode = msgspec.json.Decoder(_Action).decode


class Entry(NamedTuple):
    """What one version did: the files it added (with their sizes) and those it removed.

    `whole` tells an entry that reads to its end: our commits end with their transaction, and what
    merges files writes a whole entry before it gets its name.
    """

    added: tuple[tuple[Path, int], ...]
    removed: frozenset[Path]
    sequence: int | None
    schema: str | None
    whole: bool


def entry(folder: Path, version: int) -> Path:
    """Return the path of a version's log entry inside the `_delta_log` folder.

    >>> entry(Path("_delta_log"), 7).name
    '00000000000000000007.json'
    """
    return folder / f"{version:020}.json"


class Log:
    """The versions of one table that were read so far; `refresh` reads those that were added."""

    def __init__(self, folder: Path, table: str) -> None:
        self.folder, self.table = folder, table
        self.entries: list[Entry] = []
        self.sequence: int | None = None
        self.schema: str | None = None
        self._files: dict[int, tuple[Path, ...]] = {}
        self._holding: dict[int, int] = {}
        self._ever: set[Path] = set()
        self.torn: Path | None = None  # an entry at the end that a power cut left unfinished

    @property
    def version(self) -> int:
        """Return the newest version, -1 for a table that was never written."""
        return len(self.entries) - 1

    def refresh(self) -> None:
        """Read the log entries that were added since the last call."""
        self.torn = None
        while (found := self._read(len(self.entries))) is not None:
            self.entries.append(found)
            if found.sequence is not None:
                self.sequence = found.sequence
            if self.sequence is not None:  # a version without one holds the same rows
                self._holding[self.sequence] = self.version
            self.schema = found.schema or self.schema
            self._ever.update(path for path, _ in found.added)

    def latest(self) -> Commit | None:
        """Return the newest commit that carries a sequence, at the newest version."""
        return None if self.sequence is None else Commit(self.sequence, self.version)

    def holding(self, sequence: int) -> int | None:
        """Return the last version that holds all rows up to a sequence, and no later ones."""
        return self._holding.get(sequence)

    def files(self, version: int) -> tuple[Path, ...]:
        """Return the files of a version in the order of their commits."""
        if not 0 <= version < len(self.entries):
            raise LakeError(f"{self.table} has no version {version}; its newest is {self.version}")
        if version not in self._files:
            if len(self._files) >= _REMEMBERED:
                self._files.clear()
            kept: dict[Path, None] = {}
            for found in self.entries[: version + 1]:
                for path in found.removed:
                    kept.pop(path, None)
                kept.update((path, None) for path, _ in found.added)
            self._files[version] = tuple(kept)
        return self._files[version]

    def refers_to(self, path: Path) -> bool:
        """Return whether any version refers to the file."""
        return path in self._ever

    def _read(self, version: int) -> Entry | None:
        path = entry(self.folder / "_delta_log", version)
        try:
            actions = _actions(path)
        except FileNotFoundError:
            return None
        if actions is None:
            if not entry(self.folder / "_delta_log", version + 1).exists():
                self.torn = path  # it was never acknowledged: readers go on without it
                return None
            raise LakeError(
                f"{self.table}: the log entry {path} is empty or torn", hint="run `lichen doctor`"
            )
        return _entry(actions, self.folder, self.table)


def read_entry(path: Path, folder: Path, table: str) -> Entry | None:
    """Return what one entry says, None where it does not read."""
    actions = _actions(path)
    return None if actions is None else _entry(actions, folder, table)


def _entry(actions: list[_Action], folder: Path, table: str) -> Entry:
    for action in actions:
        if action.protocol and "deletionVectors" in action.protocol.features:
            raise LakeError(
                f"{table} uses deletion vectors, so its file list is not its content",
                hint="rewrite the table without deletion vectors",
            )
    sequence = next((a.txn.version for a in actions if a.txn and a.txn.app == table), None)
    merges = any(a.info and a.info.operation == "OPTIMIZE" for a in actions)
    return Entry(
        tuple((folder / unquote(a.add.path), a.add.size) for a in actions if a.add),
        frozenset(folder / unquote(a.remove.path) for a in actions if a.remove),
        sequence,
        next((a.meta.schema for a in actions if a.meta), None),
        whole=sequence is not None or merges,
    )


def problems(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is broken in a table as (rule, message): its log, then the files it refers to."""
    entries = folder / "_delta_log"
    versions = sorted(int(path.stem) for path in entries.glob("*.json") if path.stem.isdigit())
    if missing := sorted(set(range(versions[-1] + 1 if versions else 0)) - set(versions)):
        yield "log", f"the log entries {missing} are missing"
    for version in versions:
        actions = _actions(entry(entries, version))
        if actions is None:
            yield "log", f"the log entry {entry(entries, version)} is empty or torn"
        for action in actions or ():
            if action.add and (what := _wrong(folder / unquote(action.add.path), action.add.size)):
                yield "file", what
    pointer = entries / "_last_checkpoint"
    if pointer.exists() and not any(path.stat().st_size for path in pointed_at(pointer)):
        yield "checkpoint", f"{pointer} names a checkpoint that is missing or empty"


def _wrong(path: Path, size: int) -> str | None:
    if not path.exists():
        return f"{path} is missing"
    found = path.stat().st_size
    return f"{path} has {found} bytes, the log says {size}" if found != size else None


def pointed_at(pointer: Path) -> Iterator[Path]:
    """Yield the files of the checkpoint that a pointer names."""
    try:
        version = msgspec.json.decode(pointer.read_bytes(), type=_Pointer).version
    except msgspec.DecodeError:
        return
    yield from pointer.parent.glob(f"{version:020}.checkpoint*.parquet")


def _actions(path: Path) -> list[_Action] | None:
    """Return what a log entry says, or None if it is empty or torn."""
    try:
        return [_decode(line) for line in path.read_bytes().splitlines() if line] or None
    except msgspec.DecodeError:
        return None
