"""The files connector: CSV files below the project that match a glob."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lichen.core.errors import SourceError
from lichen.core.steps import Seen
from lichen.ports.source import Outside, Settings


class FilesSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of files may say besides."""

    path: str
    prepare: str | None = None


class Files:
    """Lists files by a glob relative to the project, in the order of their paths."""

    Settings = FilesSettings

    def __init__(self, settings: FilesSettings, outside: Outside) -> None:
        self._path, self._root = settings.path, outside.root

    def list(self, known: Mapping[str, Seen]) -> tuple[Seen, ...]:
        """Return the files with their hashes; untouched files keep the hash they had."""
        path, root = self._path, self._root
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise SourceError(
                f"the path {path!r} leads out of the project",
                hint="give a path relative to the project, such as feeds/weather/*.csv",
            )
        found = sorted(p for p in root.glob(path) if p.is_file() and not p.name.startswith("."))
        if not found and not any(mark in path for mark in "*?["):
            beside = (root / path).parent
            names = sorted(p.name for p in beside.iterdir()) if beside.is_dir() else []
            name = Path(path).name
            raise SourceError(f"the file {path!r} is missing", allowed=names, given=name)
        return tuple(_seen(p, root, known) for p in found)

    def local(self, seen: Seen) -> Path:
        """Return the path of a file."""
        return self._root / seen.path

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""


def _seen(path: Path, root: Path, known: Mapping[str, Seen]) -> Seen:
    name, stat = path.relative_to(root).as_posix(), path.stat()
    before = known.get(name)
    if before and (before.size, before.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return before
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Seen(path=name, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256)
