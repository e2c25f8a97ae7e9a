"""A project in one picture: its nodes, who reads whom, and how each one stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lichen.core import graph
from lichen.core.names import Kind, Name
from lichen.core.time import iso
from lichen.declared import Project
from lichen.notebook.markup import Html, grid, page, tag
from lichen.notebook.relation import aligned
from lichen.planner import below
from lichen.ports.ledger import Record, State
from lichen.stages.models.spec import Model
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table

if TYPE_CHECKING:
    from lichen.loop import Loop

Stands = Mapping[Name, str]  # a node to how it stands; "" for questions, which hold nothing
CURRENT, NEVER, STALE = "current", "never built", "stale"
FAILED, BLOCKED, CHANGED = "failed", "blocked", "changed"
_MARK = {CURRENT: "✓", NEVER: "○", STALE: "!", FAILED: "✗", BLOCKED: "✗", CHANGED: "~", "": ""}
_COLOUR = {
    CURRENT: "#2f7d5b", NEVER: "#888888", STALE: "#c98a00", FAILED: "#c0392b",
    BLOCKED: "#c0392b", CHANGED: "#c98a00", "": "#6b7fa3",
}  # fmt: skip
_WIDE, _HIGH, _ACROSS, _DOWN = 150, 30, 56, 12


_QUESTIONS = (Kind.features, Kind.outcome)
_FED = (Kind.predictions, Kind.feedback)  # by a service: they are there once it was asked


@dataclass(frozen=True)
class Box:
    """A node's place in the drawing."""

    name: Name
    x: int
    y: int


def stands(project: Project, state: State, records: Mapping[str, Record]) -> Stands:
    """Return how each node stands, as the ledger tells it; new files of sources are not looked for.

    A node is `changed` if its definition is another than that of its last version, and `stale` if
    something above it is not current, or went on since it was made.
    """
    found: dict[Name, str] = {}
    for name in graph.ordered(project.reads):
        record, tried = records.get(str(name)), state.tried.get(str(name))
        if name.kind in _QUESTIONS or (name.kind in _FED and record is None):
            found[name] = ""
        elif tried is not None:
            found[name] = FAILED if tried.state == "failed" else BLOCKED
        elif record is None:
            found[name] = NEVER
        elif _changed(name, project, record):
            found[name] = CHANGED
        else:
            found[name] = STALE if _behind(name, project, found, records) else CURRENT
    return found


def _changed(name: Name, project: Project, record: Record) -> bool:
    """Whether the definition is another one; the stored form of a table's is by column."""
    told = record.body.get("fingerprint")
    if not isinstance(project.nodes.get(name), Source | Table | Model) or not told:
        return False
    return bool(told != project.prints[name].whole())


def _behind(name: Name, project: Project, found: Stands, records: Mapping[str, Record]) -> bool:
    above = graph.upstream(project.reads, name)
    if any(found.get(n, "") not in ("", CURRENT) for n in above):
        return True
    if not isinstance(project.nodes.get(name), Table | Model):
        return False
    now: dict[str, int] = {}
    for node in below(project, name):
        now |= records[node].facts["leaves"] if node in records else {}
    return bool(records[str(name)].facts["seen"] != now)


def drawing(project: Project, how: Stands) -> Html:
    """Return the graph of nodes as SVG, from sources on the left to services on the right."""
    boxes = _placed(project)
    places = {box.name: box for box in boxes}
    wide = max((box.x for box in boxes), default=0) + _WIDE + 8
    high = max((box.y for box in boxes), default=0) + _HIGH + 8
    arrows = [_arrow(places[read], places[name]) for name, read in _edges(project)]
    drawn = [_box(box, how.get(box.name, "")) for box in boxes]
    return tag(
        "svg", *arrows, *drawn, xmlns="http://www.w3.org/2000/svg", width=wide, height=high,
        viewBox=f"0 0 {wide} {high}", font_family="sans-serif", role="img",
    )  # fmt: skip


def _placed(project: Project) -> list[Box]:
    """Put each kind right of what it reads, each node near the middle of those around it."""
    column = _columns(project)
    members = [sorted(n for n in column if column[n] == c) for c in sorted(set(column.values()))]
    tallest = max(map(len, members), default=0)
    around = _around(project)
    height: dict[Name, float] = {}
    for names in members:
        _spread(names, tallest, height)
    for _ in range(SWEEPS):
        for names in (*members, *reversed(members)):
            names.sort(key=lambda n: (_middle(n, around[n], column, height), n))
            _spread(names, tallest, height)
    return [
        Box(name, 4 + place * (_WIDE + _ACROSS), 4 + round(height[name] * (_HIGH + _DOWN)))
        for place, names in enumerate(members)
        for name in names
    ]


SWEEPS = 3  # how often the order within columns is made again


def _columns(project: Project) -> dict[Name, int]:
    """Return a column for each node: sources, tables by their depth, then kind by kind."""
    found: dict[Name, int] = {}
    stored = (Kind.source, Kind.table)
    for name in graph.ordered(project.reads):
        reads = [found[n] + 1 for n in project.reads[name] if n in found and n.kind in stored]
        found[name] = max(reads, default=0) if name.kind in stored else 0
    last = max(found.values(), default=0)
    later = {
        Kind.features: 1, Kind.outcome: 1, Kind.model: 2, Kind.service: 3, Kind.predictions: 4,
        Kind.feedback: 4,
    }  # fmt: skip
    return {n: last + later[n.kind] if n.kind in later else c for n, c in found.items()}


def _around(project: Project) -> dict[Name, list[Name]]:
    """Return what each node reads and who reads it."""
    found: dict[Name, list[Name]] = {name: [] for name in project.reads}
    for name, read in _edges(project):
        found[name].append(read)
        found[read].append(name)
    return found


def _edges(project: Project) -> Iterator[tuple[Name, Name]]:
    """Yield each reader with what it reads; a service's tables read the service."""
    for name, reads in project.reads.items():
        yield from ((name, read) for read in reads if read in project.reads)
        if name.kind in _FED:
            yield name, Name(Kind.service, name.name)


def _middle(
    name: Name, around: Sequence[Name], column: Mapping[Name, int], height: Mapping[Name, float]
) -> float:
    near = [height[n] for n in around if abs(column[n] - column[name]) <= 2]
    return sum(near) / len(near) if near else height[name]


def _spread(names: Sequence[Name], tallest: int, height: dict[Name, float]) -> None:
    """Put the names of a column below each other, around the middle of the drawing."""
    begin = (tallest - len(names)) / 2
    height.update({name: begin + place for place, name in enumerate(names)})


def _box(box: Box, state: str) -> Html:
    colour, mark = _COLOUR[state], _MARK[state]
    said = f"{box.name}: {state}" if state else str(box.name)
    return tag(
        "g",
        tag("title", said),
        tag(
            "rect", x=box.x, y=box.y, width=_WIDE, height=_HIGH, rx=5, fill=colour,
            fill_opacity="0.12", stroke=colour,
        ),
        tag(
            "text", box.name.kind.value, x=box.x + 7, y=box.y + 11, font_size=8,
            fill="currentColor", fill_opacity="0.65",
        ),
        tag(
            "text", _fitting(box.name.name), x=box.x + 7, y=box.y + 24, font_size=12,
            fill="currentColor",
        ),
        tag("text", mark, x=box.x + _WIDE - 16, y=box.y + 20, font_size=12, fill=colour),
    )  # fmt: skip


def _arrow(read: Box, reader: Box) -> Html:
    x, y = read.x + _WIDE, read.y + _HIGH // 2
    to, at = reader.x, reader.y + _HIGH // 2
    bend = (to - x) // 2
    path = f"M{x},{y} C{x + bend},{y} {to - bend},{at} {to},{at}"
    return tag("path", d=path, fill="none", stroke="rgba(128,128,128,0.5)", stroke_width="1.2")


def _fitting(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def html_of(loop: Loop) -> str:
    """Return what a notebook shows of a project."""
    project, state = loop.project, loop.state()
    how = stands(project, state, loop.published())
    clock = iso(state.clock) if state.clock else "never run"
    rows = [(str(n), how[n], _why(n, state)) for n in how if how[n] not in ("", CURRENT)]
    troubled: Sequence[Html] = [grid(("node", "stands", "why"), rows)] if rows else []
    return page(f"{project.name}, target {loop.target}, {clock}", drawing(project, how), *troubled)


def text_of(loop: Loop) -> str:
    """Return the same as text: each kind with its nodes, and a mark where one is not current."""
    project, state = loop.project, loop.state()
    how = stands(project, state, loop.published())
    clock = f"as of {iso(state.clock)}" if state.clock else "never run"
    lines = []
    for kind in Kind:
        names = sorted(n for n in project.reads if n.kind is kind)
        if names:
            told = (
                f"{n.name} ({how[n]})" if how[n] not in ("", CURRENT) else n.name for n in names
            )
            lines.append((kind.value, ", ".join(told)))
    return f"{project.name}, target {loop.target}, {clock}\n" + aligned(lines)


def _why(name: Name, state: State) -> str:
    tried = state.tried.get(str(name))
    if tried is None:
        return ""
    if tried.error:
        return tried.error.partition("\n")[0]
    return "; ".join(str(f.get("message", "")) for f in tried.findings)
