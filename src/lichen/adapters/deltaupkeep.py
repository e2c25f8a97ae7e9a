"""Keeping a Delta table quick to open and to read.

The work is done in a folder beside the table, on links to its files; it is made durable there, and
only then moved in, what refers to it last. A process that dies on the way leaves the table as it
was.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deltalake import DeltaTable, PostCommitHookProperties

from lichen.adapters.deltalog import Log, entry

SCRATCH = ".upkeep-"
# Opening a table and each commit read the log since its last checkpoint.
CHECKPOINT_EVERY = 20
# Each query opens every file: many small ones, one per landing, become one.
MERGE_FROM, SMALL = 16, 1_000_000
_POINTER = "_last_checkpoint"
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
Sync = Callable[[Path], None]


def keep_up(log: Log, sync: Sync) -> bool:
    """Do what is due after a commit; returns whether there was anything to do."""
    committed = log.version
    merged = merge(log, sync)
    due = log.version // CHECKPOINT_EVERY > max(committed - 1, 0) // CHECKPOINT_EVERY
    if due:
        checkpoint(log, sync)
    return merged or due


def merge(log: Log, sync: Sync) -> bool:
    """Make one file of many small ones, as a version of its own that changes no row.

    Earlier versions keep their files. If another writer was faster, nothing is done.
    """
    small = [path for path in log.files(log.version) if path.stat().st_size < SMALL]
    if len(small) < MERGE_FROM:
        return False
    entries, version = log.folder / "_delta_log", log.version + 1
    with _beside(log, small) as scratch:
        before = set(scratch.glob("*.parquet"))
        DeltaTable(str(scratch)).optimize.compact(
            target_size=SMALL, max_concurrent_tasks=1, post_commithook_properties=_NO_HOOKS
        )
        for path in set(scratch.glob("*.parquet")) - before:
            sync(path)
            path.replace(log.folder / path.name)
        sync(log.folder)
        made = entry(scratch / "_delta_log", version)
        sync(made)
        with suppress(FileExistsError):
            os.link(made, entry(entries, version))
            sync(entries)
    log.refresh()
    return True


def checkpoint(log: Log, sync: Sync) -> None:
    """Sum up the log in one file, which a power cut cannot tear."""
    entries = log.folder / "_delta_log"
    with _beside(log, ()) as scratch:
        copy = scratch / "_delta_log"
        DeltaTable(str(scratch)).create_checkpoint()
        for path in (copy / f"{log.version:020}.checkpoint.parquet", copy / _POINTER):
            sync(path)
            path.replace(entries / path.name)
            sync(entries)


@contextmanager
def _beside(log: Log, files: Iterator[Path] | list[Path] | tuple[Path, ...]) -> Iterator[Path]:
    """Give a table with links to the log and to some files of another, and remove it afterwards."""
    scratch = log.folder / f"{SCRATCH}{uuid.uuid4()}"
    copy = scratch / "_delta_log"
    copy.mkdir(parents=True)
    try:
        for path in _since_checkpoint(log.folder / "_delta_log", log.version):
            os.link(path, copy / path.name)
        for path in files:
            os.link(path, scratch / path.name)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _since_checkpoint(entries: Path, version: int) -> list[Path]:
    """Return what says what the table is: the last checkpoint before a version and what follows.

    A checkpoint of the version itself may be there from a writer that died before it moved the
    pointer: it is left out, and made again.
    """
    below = f"{version:020}"
    checkpoints = sorted(p for p in entries.glob("*.checkpoint.parquet") if p.name < below)[-1:]
    first = checkpoints[0].name.partition(".")[0] if checkpoints else ""
    return checkpoints + [path for path in entries.glob("*.json") if path.name >= first]
