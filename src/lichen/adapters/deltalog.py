"""A Delta table's log, read entry by entry as it grows."""

from __future__ import annotations

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


class _Action(msgspec.Struct):
    add: _Add | None = None
    remove: _Remove | None = None
    txn: _Txn | None = None
    meta: _Meta | None = msgspec.field(name="metaData", default=None)
    protocol: _Protocol | None = None


_decode = msgspec.json.Decoder(_Action).decode


class Entry(NamedTuple):
    """What one version did: the files it added (with their sizes) and those it removed."""

    added: tuple[tuple[Path, int], ...]
    removed: frozenset[Path]
    sequence: int | None
    schema: str | None


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

    @property
    def version(self) -> int:
        """Return the newest version, -1 for a table that was never written."""
        return len(self.entries) - 1

    def refresh(self) -> None:
        """Read the log entries that were added since the last call."""
        while (found := self._read(len(self.entries))) is not None:
            self.entries.append(found)
            if found.sequence is not None:
                self.sequence = found.sequence
                self._holding[found.sequence] = self.version
            self.schema = found.schema or self.schema

    def latest(self) -> Commit | None:
        """Return the newest commit that carries a sequence, at the newest version."""
        return None if self.sequence is None else Commit(self.sequence, self.version)

    def holding(self, sequence: int) -> int | None:
        """Return the version whose commit carries the sequence."""
        return self._holding.get(sequence)

    def files(self, version: int) -> tuple[Path, ...]:
        """Return the files of a version in the order of their commits."""
        if not 0 <= version < len(self.entries):
            raise LakeError(f"{self.table} has no version {version}; its newest is {self.version}")
        if version not in self._files:
            kept: dict[Path, None] = {}
            for found in self.entries[: version + 1]:
                for path in found.removed:
                    kept.pop(path, None)
                kept.update((path, None) for path, _ in found.added)
            self._files[version] = tuple(kept)
        return self._files[version]

    def ever(self) -> set[Path]:
        """Return every file that any version refers to."""
        return {path for found in self.entries for path, _ in found.added}

    def _read(self, version: int) -> Entry | None:
        path = entry(self.folder / "_delta_log", version)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            actions = [_decode(line) for line in raw.splitlines() if line]
        except msgspec.DecodeError as error:
            raise self._torn(path) from error
        if not actions:
            raise self._torn(path)
        return self._entry(actions)

    def _entry(self, actions: list[_Action]) -> Entry:
        for action in actions:
            if action.protocol and "deletionVectors" in action.protocol.features:
                raise LakeError(
                    f"{self.table} uses deletion vectors, so its file list is not its content",
                    hint="rewrite the table without deletion vectors",
                )
        return Entry(
            tuple((self._at(a.add.path), a.add.size) for a in actions if a.add),
            frozenset(self._at(a.remove.path) for a in actions if a.remove),
            next((a.txn.version for a in actions if a.txn and a.txn.app == self.table), None),
            next((a.meta.schema for a in actions if a.meta), None),
        )

    def _at(self, path: str) -> Path:
        return self.folder / unquote(path)

    def _torn(self, path: Path) -> LakeError:
        return LakeError(
            f"{self.table}: the log entry {path} is empty or torn", hint="run `lichen doctor`"
        )
