"""Which nodes a plan or a run is about, and what of them is to be done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lichen.core import graph
from lichen.core.errors import ProjectError, Where
from lichen.core.names import Kind, Name
from lichen.core.time import Span
from lichen.declared import Project


@dataclass(frozen=True)
class Selection:
    """The nodes that are meant, None for all; `full` and `span` say what is done again of them.

    `named` are those that the user named, without what a `+` or a pattern added.
    """

    only: frozenset[Name] | None = None
    named: frozenset[Name] = frozenset()
    full: bool = False
    span: Span | None = None

    def takes(self, name: Name) -> bool:
        """Return whether a node is meant."""
        return self.only is None or name in self.only

    def again(self, name: Name) -> str | None:
        """Return why a node's data is made again though nothing changed; None where it is not."""
        if self.full:
            return "--full was asked for"
        if self.span is not None and name.kind in (Kind.source, Kind.table):
            return f"the time {self.span.words()} was asked for"
        return None


EVERYTHING = Selection()


def select(
    project: Project, words: Sequence[str], *, full: bool = False, span: Span | None = None
) -> Selection:
    """Return what selectors name: `NODE`, `NODE+`, `+NODE`, `+NODE+`, and patterns with `*`.

    A `+` before a node adds everything that it is made of, one behind it everything that is made
    of it. Raises ProjectError for a selector that names nothing.
    """
    if not words:
        return _of_rows(Selection(None, frozenset(), full, span), project)
    only: set[Name] = set()
    named: set[Name] = set()
    for word in words:
        bare = word.removeprefix("+").removesuffix("+")
        found = _found(bare, project)
        named |= set(found) if not _is_pattern(bare) else set()
        only |= set(found)
        for name in found:
            if word.startswith("+"):
                only |= _above(name, project)
            if word.endswith("+"):
                only |= set(graph.downstream(project.reads, name))
    return _of_rows(Selection(frozenset(only), frozenset(named), full, span), project)


def _above(name: Name, project: Project) -> frozenset[Name]:
    """What a node is made of, and what its contract and theirs refer to."""
    needed = frozenset([name]) | graph.upstream(project.reads, name)
    return needed.union(*(project.refers.get(each, ()) for each in needed))


def _found(word: str, project: Project) -> list[Name]:
    if not _is_pattern(word):
        return [project.node(word)]
    found = [n for n in project.reads if fnmatchcase(str(n), word) or fnmatchcase(n.name, word)]
    if not found:
        raise ProjectError(
            f"no node of this project is named like {word!r}",
            where=Where(project.root),
            allowed=sorted(map(str, project.reads)),
        )
    return found


def _is_pattern(word: str) -> bool:
    return any(mark in word for mark in "*?[")


def _of_rows(selection: Selection, project: Project) -> Selection:
    """A stretch of time is one of rows: refuse it where no selected node holds any."""
    span = selection.span
    if span is None:
        return selection
    if selection.full:
        raise ProjectError(
            "--full makes everything again, so --from and --to add nothing",
            allowed=("--full", "--from and --to"),
        )
    if span.begin is not None and span.end is not None and span.begin >= span.end:
        raise ProjectError(f"the time ends before it begins: {span.words()}")
    rows = (Kind.source, Kind.table)
    if not any(selection.takes(n) and n.kind in rows for n in project.nodes):
        names = ", ".join(sorted(map(str, selection.only or ())))
        raise ProjectError(
            f"--from and --to are about rows, and {names} holds none",
            hint="name a source or a table; what reads them follows with a + behind the name",
        )
    return selection
