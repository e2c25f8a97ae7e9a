"""A project in one picture: its nodes, who reads whom, and how each one stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lichen.core import graph
from lichen.core.names import Kind, Name
from lichen.core.time import iso
from lichen.notebook.markup import Html, grid, page, tag
from lichen.notebook.relation import aligned
from lichen.planner import below
from lichen.ports.ledger import Record, State
from lichen.project import Project
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
    arrows = [
        _arrow(places[read], places[name])
        for name, reads in project.reads.items()
        for read in reads
        if name in places and read in places
    ]
    drawn = [_box(box, how.get(box.name, "")) for box in boxes]
    return tag(
        "svg", *arrows, *drawn, xmlns="http://www.w3.org/2000/svg", width=wide, height=high,
        viewBox=f"0 0 {wide} {high}", font_family="sans-serif", role="img",
    )  # fmt: skip


def _placed(project: Project) -> list[Box]:
    """Put each node one column to the right of all that it reads, near the middle of these."""
    depth: dict[Name, int] = {}
    for name in graph.ordered(project.reads):
        depth[name] = max((depth[read] + 1 for read in project.reads[name]), default=0)
    rank: dict[Name, float] = {}
    boxes = []
    for column in range(max(depth.values(), default=-1) + 1):
        names = sorted(
            (n for n in depth if depth[n] == column), key=lambda n: (_middle(n, project, rank), n)
        )
        for place, name in enumerate(names):
            rank[name] = place
            boxes.append(Box(name, 4 + column * (_WIDE + _ACROSS), 4 + place * (_HIGH + _DOWN)))
    return boxes


def _middle(name: Name, project: Project, rank: Mapping[Name, float]) -> float:
    above = [rank[read] for read in project.reads[name] if read in rank]
    return sum(above) / len(above) if above else 0.0


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
