"""What reading a project found, kept by a run: while no file changes, a plan reads no SQL again."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lichen.connectors import connector
from lichen.core.digest import Print
from lichen.core.names import Kind, Name
from lichen.core.pycode import modules_of
from lichen.declared import FOLDERS, Project, read_file, read_settings
from lichen.stages.sources.spec import read_feed

if TYPE_CHECKING:
    from lichen.prints import Node

T = TypeVar("T")

_PLACE = Path(".lichen") / "project.json"


class Nodes(Mapping[Name, T]):
    """Nodes, or their feeds, by name, each read from its file when somebody first asks for it."""

    def __init__(self, names: tuple[Name, ...], read: Callable[[Name], T]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read
        self._found: dict[Name, T] = {}

    def __getitem__(self, name: Name) -> T:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[Name]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A project without its trees. Names are `kind.name`, files are relative to the project."""

    digest: str
    files: dict[str, str]
    reads: dict[str, list[str]]
    refers: dict[str, list[str]]
    rules: dict[str, str]
    prints: dict[str, tuple[str, dict[str, str]]]
    columns: dict[str, tuple[str, ...]]


def open_project(root: Path) -> Project:
    """Return the project in a folder; its nodes are read when asked for, if no file has changed.

    Raises what `read_project` raises: what is kept was read without a mistake.
    """
    digest = _digest(root)
    kept = _read(root)
    if kept is None or not digest or kept.digest != digest:
        from lichen.project import read_project  # it parses SQL, which is not needed otherwise

        return dataclasses.replace(read_project(root), digest=digest)
    return _restored(kept, root)


def keep(project: Project) -> None:
    """Keep what reading the project found, unless it is kept or its files have changed since."""
    kept = _read(project.root)
    if not project.digest or (kept is not None and kept.digest == project.digest):
        return
    if _digest(project.root) != project.digest:
        return
    place = project.root / _PLACE
    with suppress(OSError):  # it only saves time
        place.parent.mkdir(exist_ok=True)
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(_without_trees(project)))
        part.replace(place)


def _read(root: Path) -> _Kept | None:
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((root / _PLACE).read_bytes(), type=_Kept)
    return None


def _digest(root: Path) -> str:
    """Return a digest of all that reading depends on, or "" where something cannot be read.

    That is the project's files, the modules that models import, what is installed (models count
    the versions that they use), and Lichen itself.
    """
    found = hashlib.sha256("\n".join((*_installed(), *_program())).encode())
    try:
        paths = [root / "lichen.yml"]
        for kind in FOLDERS:
            folder = root / kind.value
            paths += sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else ()
        for path in [p for p in paths if p.suffix == ".py"]:
            paths += modules_of(path, root)
        for path in paths:
            text = path.read_bytes()
            found.update(f"{path.relative_to(root)}\0{len(text)}\0".encode() + text)
    except Exception:  # noqa: BLE001 - reading the project says what is wrong
        return ""
    return found.hexdigest()


def _installed() -> Iterator[str]:
    """Yield the names of the installed distributions, which hold their versions."""
    for folder in sys.path:
        with suppress(OSError):
            names = (path.name for path in Path(folder or ".").iterdir())
            yield from sorted(name for name in names if name.endswith("-info"))


def _program() -> Iterator[str]:
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        stat = path.stat()
        yield f"{path.relative_to(package)} {stat.st_size} {stat.st_mtime_ns}"


def _without_trees(project: Project) -> _Kept:
    places = {str(n): str(node.where.path) for n, node in project.nodes.items()}
    return _Kept(
        digest=project.digest,
        files={n: str(Path(path).relative_to(project.root)) for n, path in places.items()},
        reads={str(n): list(map(str, read)) for n, read in project.reads.items()},
        refers={str(n): list(map(str, named)) for n, named in project.refers.items()},
        rules={str(n): rules for n, rules in project.rules.items()},
        prints={str(n): (p.rows, dict(p.columns)) for n, p in project.prints.items()},
        columns={str(n): columns for n, columns in project.columns.items()},
    )


def _restored(kept: _Kept, root: Path) -> Project:
    settings = read_settings(root)
    places = {Name.parse(n): root / path for n, path in kept.files.items()}
    project = Project(
        root,
        settings.name,
        settings.targets,
        Nodes(tuple(places), lambda name: _node(name, project, places)),
        {Name.parse(n): tuple(map(Name.parse, read)) for n, read in kept.reads.items()},
        {Name.parse(n): tuple(map(Name.parse, named)) for n, named in kept.refers.items()},
        {Name.parse(n): rules for n, rules in kept.rules.items()},
        {Name.parse(n): Print(*print_) for n, print_ in kept.prints.items()},
        {Name.parse(n): columns for n, columns in kept.columns.items()},
        Nodes(
            tuple(name for name in places if name.kind is Kind.source),
            lambda name: read_feed(places[name], name, root, connector),
        ),
        kept.digest,
    )
    return project


def _node(name: Name, known: Project, places: Mapping[Name, Path]) -> Node:
    path = places[name]
    kind = Kind(path.relative_to(known.root).parts[0])
    node = next(node for node in read_file(kind, path, known.root) if node.name == name)
    if name.kind in (Kind.source, Kind.model, Kind.service):
        return node  # checking these leaves nothing behind
    from lichen.project import checked

    return checked(node, known, places)
