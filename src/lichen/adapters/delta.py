"""Delta tables in a folder as the lake: one durable commit per sequence, exactly once."""

from __future__ import annotations

import json
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from lichen.adapters.deltafollow import follow
from lichen.adapters.deltalog import Log, entry, problems
from lichen.adapters.deltamend import LOST, mend
from lichen.adapters.deltatypes import difference, schema_of
from lichen.adapters.deltaupkeep import SCRATCH, keep_up
from lichen.core.errors import LakeError
from lichen.core.findings import Finding, Severity
from lichen.ports.durable import folder, sync
from lichen.ports.lake import Commit, Lake, Staged

_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
# Nothing that the log holds is forgotten, and it holds no values of rows.
_SETTINGS: dict[str, str | None] = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingNumIndexedCols": "0",
}
_APPEND, _REPLACE = "append", "overwrite"  # deltalake's words
_WORD = re.compile(r"[\w-]+")


class DeltaLake:
    """Tables as Delta folders `ROOT/kind/name`; the Parquet files come from the engine."""

    def __init__(self, root: Path, *, sync: Callable[[Path], None] = sync) -> None:
        """Use the folder `root`; `sync` makes one file or folder durable."""
        self.root = root.absolute()
        self._sync = sync
        self._logs: dict[str, Log] = {}
        self._handles: dict[str, DeltaTable] = {}
        self._staged: set[Path] = set()
        self._locks: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()

    def stage(self, table: str) -> Path:
        """Return a fresh path beside the table's data where one Parquet file may be written."""
        place = self._folder(table)
        folder(place, self._sync)
        path = place / f"{uuid.uuid4()}.parquet"
        self._staged.add(path)
        return path

    def append(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Add the files in one durable commit; a sequence already there is returned unchanged."""
        return self._commit(table, staged, sequence, _APPEND)

    def replace(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Make the files the whole table in one durable commit; earlier versions stay readable."""
        return self._commit(table, staged, sequence, _REPLACE)

    def latest(self, table: str) -> Commit | None:
        """Return the newest commit, or None for a table that was never written."""
        with self._guard(table):
            log = self._log(table)
            return log.latest()

    def files(self, table: str, version: int) -> tuple[Path, ...]:
        """Return the files that made up the table at a version, in the order of their commits."""
        with self._guard(table):
            return self._log(table).files(version)

    def follow(self, table: str, other: Lake, version: int) -> int:
        """Take on what the same table of another lake did up to a version, and nothing else."""
        if not isinstance(other, DeltaLake):
            raise LakeError(f"{table}: a lake can only follow one of its own kind")
        with other._guard(table):
            theirs = other._log(table)
        with self._guard(table):
            log = self._log(table)
            copied = follow(log, theirs, version, self._sync)
            for folder in (log.folder, log.folder.parent, self.root, self.root.parent):
                self._sync(folder)
            return copied

    def sweep(self, table: str) -> int:
        """Delete staged files that no version refers to; returns how many.

        Files that this lake staged itself and has not committed yet are kept. The caller holds
        the writer lease, so nobody else is writing.
        """
        with self._guard(table):
            log = self._log(table)
            mine = {path.name for path in self._staged}
            lost = [
                path
                for path in log.folder.glob("*.parquet*")
                if not log.refers_to(path) and path.name.removeprefix("tmp_") not in mine
            ]
            for path in lost:
                path.unlink()
            for scratch in log.folder.glob(f"{SCRATCH}*"):
                shutil.rmtree(scratch)
            return len(lost)

    def mend(self, table: str, kept: int) -> tuple[Finding, ...]:
        """Put aside what a power cut left after the version `kept`; returns what was done."""
        return tuple(
            Finding(node=table, rule=rule, severity=Severity.warn, message=message)
            for rule, message in self._mended(table, kept, None)
        )

    def undo(self, table: str, kept: int) -> None:
        """Put aside every version after `kept`, of which only a dead step's own part is there."""
        self._mended(table, kept, "the step that made it died before it made all that it was to")

    def _mended(self, table: str, kept: int, why: str | None) -> tuple[tuple[str, str], ...]:
        with self._guard(table):
            folder = self._folder(table)
            aside = self.root / LOST / folder.relative_to(self.root)
            try:
                return tuple(mend(folder, table, kept, aside, self._sync, why))
            finally:
                self._logs.pop(table, None)
                self._handles.pop(table, None)

    def tables(self) -> tuple[str, ...]:
        """Return the tables that are there, sorted."""
        logs = self.root.glob("*/*/_delta_log")
        names = (f"{log.parent.parent.name}.{log.parent.name}" for log in logs)
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def check(self, table: str) -> tuple[Finding, ...]:
        """Return what is broken in the stored table: torn log entries, missing or cut files."""
        return tuple(
            Finding(node=table, rule=rule, severity=Severity.block, message=message)
            for rule, message in problems(self._folder(table))
        )

    def _commit(self, table: str, staged: Sequence[Staged], sequence: int, mode: str) -> Commit:
        with self._guard(table):
            log = self._log(table)
            version = log.holding(sequence)
            if log.torn is not None:
                raise LakeError(
                    f"{table}: the log entry {log.torn} is empty or torn",
                    hint="run `lichen doctor`",
                )
            if version is None:
                _refuse_lower(log, sequence)
                schema = _schema(log, staged)
                if mode == _APPEND:
                    _refuse_other(log, schema)
                adds = [_add(log, item) for item in staged]
                version = self._write(log, adds, schema, sequence, mode)
            self._settle(table, version)
            self._staged.difference_update(item.path for item in staged)
            return Commit(sequence, log.holding(sequence) or version)

    def _write(
        self, log: Log, adds: list[AddAction], schema: Schema, sequence: int, mode: str
    ) -> int:
        # No retries: a retry would commit on top of what another writer did, the fence must fail.
        properties = CommitProperties(
            app_transactions=[Transaction(log.table, sequence)], max_commit_retries=0
        )
        try:
            if log.version < 0:
                create_table_with_add_actions(
                    str(log.folder),
                    schema,
                    adds,
                    mode="error",
                    configuration=_SETTINGS,
                    commit_properties=properties,
                    post_commithook_properties=_NO_HOOKS,
                )
            else:
                self._handle(log).create_write_transaction(
                    [*adds],
                    mode,
                    schema,
                    commit_properties=properties,
                    post_commithook_properties=_NO_HOOKS,
                )
        except (DeltaError, OSError) as error:
            self._handles.pop(log.table, None)
            raise LakeError(
                f"{log.table}: sequence {sequence} was not committed: {error}",
                hint="another writer may have been faster: run again",
            ) from error
        return log.version + 1

    def _handle(self, log: Log) -> DeltaTable:
        """Return a handle on exactly the version that the log was read to.

        The commit goes through this handle, so it can only become the version after it: if
        another writer was faster, it fails.
        """
        handle = self._handles.get(log.table)
        if handle is None:
            handle = self._handles[log.table] = DeltaTable(str(log.folder))
        elif handle.version() != log.version:
            handle.update_incremental()
        if (handle.version(), handle.transaction_version(log.table)) != (log.version, log.sequence):
            raise LakeError(f"{log.table}: another writer committed in between", hint="run again")
        return handle

    def _settle(self, table: str, version: int) -> None:
        """Make the commit durable; only then may it be acknowledged."""
        log = self._log(table)
        entries = log.folder / "_delta_log"
        self._sync(entry(entries, version))
        self._sync(entries)
        if version == 0:
            for folder in (log.folder, log.folder.parent, self.root, self.root.parent):
                self._sync(folder)
        if version == log.version and keep_up(log, self._sync):
            self._handles.pop(log.table, None)

    def _log(self, table: str) -> Log:
        log = self._logs.get(table)
        if log is None:
            log = self._logs[table] = Log(self._folder(table), table)
        log.refresh()
        return log

    def _guard(self, table: str) -> threading.RLock:
        with self._lock:
            return self._locks.setdefault(table, threading.RLock())

    def _folder(self, table: str) -> Path:
        kind, _, name = table.partition(".")
        if not (_WORD.fullmatch(kind) and _WORD.fullmatch(name)):
            raise LakeError(f"{table!r} is no table id", allowed=("kind.name",))
        return self.root / kind / name


def _refuse_lower(log: Log, sequence: int) -> None:
    if log.sequence is not None and sequence < log.sequence:
        raise LakeError(
            f"{log.table}: sequence {sequence} comes after sequence {log.sequence}",
            hint="a table's sequences only grow; read the latest one and plan again",
        )


def _schema(log: Log, staged: Sequence[Staged]) -> Schema:
    if not staged:
        if log.schema is None:
            raise LakeError(f"{log.table}: the first commit needs a file, even one without rows")
        return Schema.from_json(log.schema)
    if len({item.columns for item in staged}) > 1:
        raise LakeError(f"{log.table}: the files of one commit have different columns")
    return schema_of(staged[0].columns)


def _refuse_other(log: Log, schema: Schema) -> None:
    stored = None if log.schema is None else Schema.from_json(log.schema)
    if stored is not None and (what := difference(stored, schema)):
        raise LakeError(
            f"{log.table}: rows of another shape cannot be appended: {what}",
            hint="cast the column, or rebuild the table in full",
        )


def _add(log: Log, staged: Staged) -> AddAction:
    if staged.path.parent != log.folder:
        raise LakeError(f"{log.table}: {staged.path} was not staged for this table")
    if log.refers_to(staged.path):
        raise LakeError(f"{log.table}: {staged.path} is already part of the table")
    found = staged.path.stat().st_size if staged.path.exists() else None
    if found != staged.size:
        raise LakeError(f"{log.table}: {staged.path} has {found} bytes, not {staged.size}")
    return AddAction(
        path=staged.path.name,
        size=staged.size,
        partition_values={},
        modification_time=staged.path.stat().st_mtime_ns // 1_000_000,
        data_change=True,
        stats=json.dumps({"numRecords": staged.rows}),
    )
