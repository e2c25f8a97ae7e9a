"""A new project's folder: written beside its place, and there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lichen.core.errors import ProjectError, Where


@contextmanager
def draft(place: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `place` unless something goes wrong meanwhile.

    Raises ProjectError where something is there already: nothing is overwritten.
    """
    refuse_taken(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield beside
        beside.chmod(0o755)
        if place.is_dir():
            place.rmdir()
        beside.rename(place)
    finally:
        if beside.exists():
            shutil.rmtree(beside)


def refuse_taken(place: Path) -> None:
    """Raise ProjectError where a new project cannot be written."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ProjectError(
            "there is something here already, and nothing is overwritten",
            where=Where(place),
            hint="name a new or an empty folder",
        )


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts by their paths below a folder."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def files_in(folder: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
