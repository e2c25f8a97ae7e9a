"""Following another table's log: the same versions, over the same files.

Parquet files and log entries never change once they are there, so that two tables may share them:
each has names of its own for them (hard links). Either table goes on without the other noticing,
and may be removed: the file system keeps a file while it has a name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lichen.adapters.deltalog import Log, entry
from lichen.core.errors import LakeError
from lichen.ports.durable import share

Sync = Callable[[Path], None]


def follow(log: Log, other: Log, version: int, sync: Sync) -> int:
    """Take on the other log's versions up to one; returns how many bytes had to be copied.

    What a version refers to comes before its entry, so that a process that dies on the way leaves
    a table that holds the first of them.
    """
    _refuse_own(log, other, version)
    ours, theirs = log.folder / "_delta_log", other.folder / "_delta_log"
    ours.mkdir(parents=True, exist_ok=True)
    first = log.version + 1
    new = {path for found in other.entries[first : version + 1] for path, _ in found.added}
    copied = sum(share(path, log.folder / path.name) for path in new)
    sync(log.folder)
    for number in range(first, version + 1):
        copied += share(entry(theirs, number), entry(ours, number))
    for checkpoint in _newest_checkpoint(theirs, version):
        copied += share(checkpoint, ours / checkpoint.name)
    sync(ours)
    log.refresh()
    return copied


def _refuse_own(log: Log, other: Log, version: int) -> None:
    if other.version < version:
        raise LakeError(f"{log.table} has no version {version}; its newest is {other.version}")
    common = min(log.version, version)
    paths = [entry(each.folder / "_delta_log", common) for each in (log, other)]
    # An entry names its files and its moment: where the last ones are equal all before them are.
    if log.version > version or (common >= 0 and not _same(*paths)):
        raise LakeError(
            f"{log.table}: {log.folder} holds commits that {other.folder} does not",
            hint="what is there was not made from the same line of runs",
        )


def _same(one: Path, two: Path) -> bool:
    return one.samefile(two) or one.read_bytes() == two.read_bytes()


def _newest_checkpoint(entries: Path, version: int) -> list[Path]:
    """A reader that finds it need not read the entries before it."""
    after = f"{version + 1:020}"
    return sorted(p for p in entries.glob("*.checkpoint.parquet") if p.name < after)[-1:]
