"""A project as its folder declares it, and the reading of its single files.

What reads a kind of file is imported when one is read: models and services hold no SQL, so that a
plan of what was read before (see `kept`) need not load its parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, cast

import msgspec

from lichen.core import graph
from lichen.core.digest import Print
from lichen.core.errors import ProjectError, Where
from lichen.core.names import Kind, Name
from lichen.core.settings import convert, load
from lichen.stages.sources.spec import Feed
from lichen.targets.place import TargetSettings, read_targets

if TYPE_CHECKING:
    from lichen.prints import Node


class _Spec(Protocol):
    kind: ClassVar[Kind]


N = TypeVar("N", bound=_Spec)
FOLDERS: dict[Kind, tuple[str, ...]] = {
    Kind.source: (".yml",), Kind.table: (".sql", ".py"), Kind.features: (".sql", ".py"),
    Kind.outcome: (".sql",), Kind.model: (".py",), Kind.service: (".yml",),
}  # fmt: skip


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `lichen.yml` may say."""

    name: str
    targets: dict[str, TargetSettings] = {}


@dataclass(frozen=True)
class Project:
    """A project as declared: its nodes, which nodes each one reads, and what each one means.

    `refers` names the nodes that a contract's references look things up in: they come first, but
    what they hold does not make anything stale. `rules` are the fingerprints of contracts' rules.
    """

    root: Path
    name: str
    targets: Mapping[str, TargetSettings]
    nodes: Mapping[Name, Node]
    reads: Mapping[Name, tuple[Name, ...]]
    refers: Mapping[Name, tuple[Name, ...]]
    rules: Mapping[Name, str]
    prints: Mapping[Name, Print]
    columns: Mapping[Name, tuple[str, ...]]
    feeds: Mapping[Name, Feed]  # of the sources
    digest: str = ""  # of the files that it was read from, where it is known

    def of(self, spec: type[N]) -> Iterator[N]:
        """Yield the nodes of one spec type, each after what it reads."""
        for name in graph.ordered(self.reads):
            if name.kind is spec.kind and name in self.nodes:
                yield cast("N", self.nodes[name])

    def node(self, text: str) -> Name:
        """Return the node that a user names, by `kind.name` or by a name that stands once."""
        found = [n for n in self.reads if text in (str(n), n.name)]
        exact = [n for n in found if str(n) == text]
        if len(found) == 1 or exact:
            return (exact or found)[0]
        if found:
            raise ProjectError(f"{text!r} names several nodes", allowed=map(str, found))
        raise ProjectError(
            f"this project has no node {text!r}",
            where=Where(self.root),
            allowed=sorted(map(str, self.reads)),
            given=text,
        )


def read_settings(root: Path) -> ProjectSettings:
    path = root / "lichen.yml"
    if not path.is_file():
        raise ProjectError(
            "there is no lichen.yml here, so this is not a Lichen project",
            where=Where(root),
            hint="go to the project's folder, or name it with -C FOLDER",
        )
    value, lines = load(path.read_text("utf-8"), path)
    said = value.pop("targets", {}) if isinstance(value, dict) else {}
    settings = convert(value, ProjectSettings, path, lines)
    targets = read_targets(said, path, {"$.targets": 1, **lines})
    return msgspec.structs.replace(settings, targets=targets)


def read_file(kind: Kind, path: Path, root: Path) -> tuple[Node, ...]:
    """Read the nodes of one file: a function that gives features is a table, too."""
    try:
        found = _read(kind, path, Name(kind, path.stem), root)
    except UnicodeDecodeError as error:
        raise ProjectError(f"this is no UTF-8 text: {error.reason}", where=Where(path)) from error
    return found if isinstance(found, tuple) else (found,)


def _read(kind: Kind, path: Path, name: Name, root: Path) -> Node | tuple[Node, ...]:
    match kind, path.suffix:
        case Kind.source, _:
            from lichen.connectors import connector
            from lichen.stages.sources.spec import read_source

            return read_source(path, name, root, connector)
        case Kind.table, ".sql":
            from lichen.stages.tables.spec import read_table

            return read_table(path, name)
        case Kind.table, _:
            from lichen.stages.tables.spec import read_table_function

            return read_table_function(path, name)
        case Kind.features, ".sql":
            from lichen.stages.features.spec import read_features

            return read_features(path, name)
        case Kind.features, _:
            from lichen.stages.features.spec import read_features_function

            return read_features_function(path, name)
        case Kind.outcome, _:
            from lichen.stages.outcomes.spec import read_outcome

            return read_outcome(path, name)
        case Kind.model, _:
            from lichen.stages.models.spec import read_model

            return read_model(path, name)
        case _:
            from lichen.stages.services.spec import read_service

            return read_service(path, name)
