"""The lake: append-only tables of row versions that commit exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from lichen.core.findings import Finding


class Column(NamedTuple):
    """A stored column; `type` is DuckDB's spelling, such as BIGINT or TIMESTAMP WITH TIME ZONE."""

    name: str
    type: str


class Staged(NamedTuple):
    """A Parquet file that was written and made durable, but that no table refers to yet."""

    path: Path
    rows: int
    size: int
    columns: tuple[Column, ...]


class Commit(NamedTuple):
    """A table's state after one commit: our own sequence, and the Delta version that holds it."""

    sequence: int
    version: int


class Lake(Protocol):
    """Tables by their id `kind.name`; a commit carries its sequence inside the log."""

    def stage(self, table: str) -> Path:
        """Return a fresh path beside the table's data where one Parquet file may be written."""

    def append(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Add the files in one durable commit; a sequence already there is returned unchanged."""

    def replace(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Make the files the whole table in one durable commit; earlier versions stay readable."""

    def latest(self, table: str) -> Commit | None:
        """Return the newest commit, or None for a table that was never written."""

    def files(self, table: str, version: int) -> tuple[Path, ...]:
        """Return the files that made up the table at a version, in the order of their commits."""

    def follow(self, table: str, other: Lake, version: int) -> int:
        """Take on what the same table of another lake did up to a version, and nothing else.

        Both then have the same versions, and share their files: rows are copied only where the
        two lie on different file systems. Returns how many bytes were. Raises LakeError where
        this table did anything that the other did not.
        """

    def sweep(self, table: str) -> int:
        """Delete staged files that no version refers to; returns how many."""

    def tables(self) -> tuple[str, ...]:
        """Return the tables that are there, sorted."""

    def mend(self, table: str, kept: int) -> tuple[Finding, ...]:
        """Put aside what a crash or a power cut left unfinished after the version `kept`.

        That is the last one that was acknowledged, -1 for none: it and all before it stay as they
        are. Returns what was done. Nobody else may be writing.
        """

    def undo(self, table: str, kept: int) -> None:
        """Put aside every version after `kept`: a step died that committed only some of its tables.

        Nobody has read them, and nobody else may be writing.
        """

    def check(self, table: str) -> tuple[Finding, ...]:
        """Return what is broken in the stored table: torn log entries, missing or cut files."""
