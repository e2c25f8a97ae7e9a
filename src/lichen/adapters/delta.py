"""Delta tables in a folder as the lake: one durable commit per sequence, exactly once."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions
from sqlglot import exp

from lichen.adapters.deltalog import Log, entry
from lichen.core.errors import LakeError
from lichen.core.findings import Finding, Severity
from lichen.ports.lake import Column, Commit, Staged

CHECKPOINT_EVERY = 20
_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_KEEP = {"delta.enableExpiredLogCleanup": "false"}


def fsync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DeltaLake:
    """Tables as Delta folders `ROOT/kind/name`; the Parquet files come from the engine."""

    def __init__(self, root: Path, *, sync: Callable[[Path], None] = fsync) -> None:
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
        folder = self._folder(table)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            self._sync(folder.parent)
            self._sync(self.root)
            self._sync(self.root.parent)
        path = folder / f"{uuid.uuid4()}.parquet"
        self._staged.add(path)
        return path

    def append(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Add the files in one durable commit; a sequence already there is returned unchanged."""
        return self._commit(table, staged, sequence, "append")

    def replace(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        """Make the files the whole table in one durable commit; earlier versions stay readable."""
        return self._commit(table, staged, sequence, "overwrite")

    def latest(self, table: str) -> Commit | None:
        """Return the newest commit, or None for a table that was never written."""
        with self._guard(table):
            log = self._log(table)
            return log.latest()

    def files(self, table: str, version: int) -> tuple[Path, ...]:
        """Return the files that made up the table at a version, in the order of their commits."""
        with self._guard(table):
            return self._log(table).files(version)

    def sweep(self, table: str) -> int:
        """Delete staged files that no version refers to; returns how many.

        Files that this lake staged itself and has not committed yet are kept. The caller holds
        the writer lease, so nobody else is writing.
        """
        with self._guard(table):
            kept = self._log(table).ever() | self._staged
            lost = [p for p in self._folder(table).glob("*.parquet*") if p not in kept]
            for path in lost:
                path.unlink()
            return len(lost)

    def check(self, table: str) -> tuple[Finding, ...]:
        """Return what is broken in the stored table: torn log entries, missing or cut files."""
        found: list[str] = []
        folder = self._folder(table)
        for path in sorted((folder / "_delta_log").glob("*.json")):
            if not path.stat().st_size:
                found.append(f"the log entry {path} is empty")
        return tuple(
            Finding(node=table, rule="lake", severity=Severity.block, message=message)
            for message in found
        )

    def _commit(self, table: str, staged: Sequence[Staged], sequence: int, mode: str) -> Commit:
        with self._guard(table):
            log = self._log(table)
            if (version := log.holding(sequence)) is not None:
                self._settle(table, version)
                return Commit(sequence, version)
            self._refuse_lower(table, log, sequence)
            schema = _schema(table, staged, log)
            if mode == "append":
                _same(table, log, schema)
            version = self._write(table, log, staged, schema, sequence, mode)
            self._settle(table, version)
            self._staged.difference_update(item.path for item in staged)
            return Commit(sequence, version)

    def _write(
        self,
        table: str,
        log: Log,
        staged: Sequence[Staged],
        schema: Schema,
        sequence: int,
        mode: str,
    ) -> int:
        folder = self._folder(table)
        adds = [_add(folder, item) for item in staged]
        properties = CommitProperties(
            app_transactions=[Transaction(table, sequence)], max_commit_retries=0
        )
        try:
            if log.version < 0:
                create_table_with_add_actions(
                    str(folder),
                    schema,
                    adds,
                    mode="error",
                    configuration=_KEEP,
                    commit_properties=properties,
                    post_commithook_properties=_HOOKS,
                )
            else:
                handle = self._handle(table, log)
                handle.create_write_transaction(
                    [*adds],
                    mode,
                    schema,
                    commit_properties=properties,
                    post_commithook_properties=_HOOKS,
                )
        except DeltaError as error:
            raise LakeError(
                f"{table}: sequence {sequence} was not committed: {error}",
                hint="another writer was faster; run again",
            ) from error
        return log.version + 1

    def _handle(self, table: str, log: Log) -> DeltaTable:
        handle = self._handles.get(table)
        if handle is None:
            handle = self._handles[table] = DeltaTable(str(self._folder(table)))
        if handle.version() != log.version:
            handle.update_incremental()
        last = handle.transaction_version(table)
        if handle.version() != log.version or last != log.sequence:
            raise LakeError(f"{table}: another writer committed in between", hint="run again")
        return handle

    def _settle(self, table: str, version: int) -> None:
        folder = self._folder(table) / "_delta_log"
        self._sync(entry(folder, version))
        self._sync(folder)
        if version == 0:
            self._sync(folder.parent)
        self._log(table)
        if version and version % CHECKPOINT_EVERY == 0:
            self._checkpoint(table)

    def _checkpoint(self, table: str) -> None:
        folder = self._folder(table) / "_delta_log"
        handle = DeltaTable(str(self._folder(table)))
        handle.create_checkpoint()
        for path in folder.glob(f"{handle.version():020}.checkpoint*.parquet"):
            self._sync(path)
        self._sync(folder / "_last_checkpoint")
        self._sync(folder)
        self._handles[table] = DeltaTable(str(self._folder(table)))

    def _refuse_lower(self, table: str, log: Log, sequence: int) -> None:
        if log.sequence is not None and sequence < log.sequence:
            raise LakeError(
                f"{table}: sequence {sequence} comes after sequence {log.sequence}",
                hint="sequences only grow",
            )

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
        return self.root / kind / name


def _add(folder: Path, staged: Staged) -> AddAction:
    stats = json.dumps({"numRecords": staged.rows})
    return AddAction(
        staged.path.relative_to(folder).as_posix(),
        staged.size,
        {},
        time.time_ns() // 1_000_000,
        True,  # noqa: FBT003 - data_change
        stats,
    )


def _schema(table: str, staged: Sequence[Staged], log: Log) -> Schema:
    if not staged:
        if log.schema is None:
            raise LakeError(f"{table}: the first commit needs a file, even an empty one")
        return Schema.from_json(log.schema)
    if len({item.columns for item in staged}) > 1:
        raise LakeError(f"{table}: the files of one commit have different columns")
    return Schema.from_json(json.dumps({"type": "struct", "fields": _fields(staged[0].columns)}))


def _same(table: str, log: Log, schema: Schema) -> None:
    if log.schema is None or Schema.from_json(log.schema) == schema:
        return
    raise LakeError(f"{table}: the columns differ from the stored table's")


def _fields(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": _type(name, exp.DataType.build(spelt, dialect="duckdb")),
            "nullable": True,
            "metadata": {},
        }
        for name, spelt in columns
    ]


_TYPES = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.TINYINT: "byte",
    exp.DType.SMALLINT: "short",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "long",
    exp.DType.FLOAT: "float",
    exp.DType.DOUBLE: "double",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPTZ: "timestamp",
    exp.DType.VARCHAR: "string",
    exp.DType.TEXT: "string",
    exp.DType.VARBINARY: "binary",
}


def _type(name: str, kind: exp.DataType) -> Any:
    if kind.this in _TYPES:
        return _TYPES[kind.this]
    if kind.this == exp.DType.DECIMAL:
        precision, scale = (int(p.name) for p in kind.expressions)
        return f"decimal({precision},{scale})"
    if kind.this in (exp.DType.ARRAY, exp.DType.LIST):
        inner = _type(name, kind.expressions[0])
        return {"type": "array", "elementType": inner, "containsNull": True}
    if kind.this == exp.DType.STRUCT:
        parts = [
            {"name": p.name, "type": _type(name, p.args["kind"]), "nullable": True, "metadata": {}}
            for p in kind.expressions
        ]
        return {"type": "struct", "fields": parts}
    raise LakeError(f"the column {name!r} is {kind.sql(dialect='duckdb')}, which Delta cannot hold")
