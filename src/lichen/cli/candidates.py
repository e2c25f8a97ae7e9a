"""What a shell may complete: the names in a project's folders. No file is opened for nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

FOLDERS = ("sources", "tables", "features", "outcomes", "models", "services")
SUFFIXES = (".yml", ".sql", ".py")


def nodes(context: CompletionContext) -> list[str]:
    """Return the nodes as `kind.name`, or by their names where that is how the word begins."""
    found = _nodes(_root(context))
    written = context.incomplete
    full = [f"{folder}.{name}" for folder, name in found]
    if not written or any(name.startswith(written) for name in full):
        return full
    return sorted({name for _, name in found})


def services(context: CompletionContext) -> list[str]:
    """Return the names of the services."""
    return [name for folder, name in _nodes(_root(context)) if folder == "services"]


def models(context: CompletionContext) -> list[str]:
    """Return the names of the models."""
    return [name for folder, name in _nodes(_root(context)) if folder == "models"]


def targets(context: CompletionContext) -> list[str]:
    """Return the targets that lichen.yml names, `dev` where it names none."""
    from lichen.core.errors import LichenError
    from lichen.core.settings import load

    path = _root(context) / "lichen.yml"
    try:
        value, _ = load(path.read_text("utf-8"), path)
    except (OSError, LichenError):
        return []
    named = value.get("targets") if isinstance(value, dict) else None
    return sorted(named) if isinstance(named, dict) else ["dev"]


def schemas(_context: CompletionContext) -> list[str]:
    """Return the kinds of files that have a schema."""
    from lichen.schemas import FILES

    return list(FILES)


def _root(context: CompletionContext) -> Path:
    given = context.get("--folder")
    return Path(given.raw or "") if given else Path()


def _nodes(root: Path) -> list[tuple[str, str]]:
    """Return the folder and the name of each node, as the names of files say it."""
    return [
        (folder, path.stem)
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in SUFFIXES and path.name[0] not in "._" and "__pycache__" not in path.parts
    ]
