"""Making files last, and giving them a second name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lichen.core.errors import LakeError

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS)


_FULL = ("No space left on device", "disk is full", "Disk quota exceeded")


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_full(error: BaseException, *places: Path) -> LakeError | None:
    """Return an error that names the fullest of the disks in use, where one was too small.

    Each part says it in its own words, some only as text.
    """
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full and not any(said in str(error) for said in _FULL):
        return None
    place = min((p for p in places if p.exists()), key=lambda p: shutil.disk_usage(p).free)
    free = shutil.disk_usage(place).free
    return LakeError(
        f"the disk is full: {free:,} bytes are left where {place} lies",
        hint="make room there and run again; what was committed before is whole",
    )


def folder(path: Path, sync: Callable[[Path], None] = sync) -> None:
    """Make a folder, with all above it that is missing, so that a power cut leaves it there."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)


def share(path: Path, other: Path) -> int:
    """Give a file that never changes another name; returns how many bytes had to be copied.

    Nothing is copied where a hard link will do. Where it will not (two file systems) the copy is
    durable before it gets its name. A name that stands for the same content already is left.
    """
    try:
        os.link(path, other)
    except FileExistsError:
        if not (other.samefile(path) or other.read_bytes() == path.read_bytes()):
            raise LakeError(f"{other} is there already, and is another file") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _copy(path, other)
    return 0


def _copy(path: Path, other: Path) -> int:
    draft = other.with_name(f".{other.name}.draft")
    shutil.copy2(path, draft)
    sync(draft)
    try:
        draft.rename(other)
    finally:
        draft.unlink(missing_ok=True)
    return other.stat().st_size
