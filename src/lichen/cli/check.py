"""`lichen check`: the project is read as a whole; no ledger, no lake, no engine."""

from __future__ import annotations

from pathlib import Path

from lichen.cli.options import USUAL, Options
from lichen.cli.page import EMPTY, counted, emit


def check(*, options: Options = USUAL) -> int:
    """Read the project and say what is wrong with it; touches nothing.

    --json: {"project", "target", "nodes": {kind: [name, …]}}
    """
    from lichen.core.names import Kind
    from lichen.project import read_project
    from lichen.targets.place import place_of
    from lichen.units.cases import read_cases

    root = Path(options.folder).absolute()
    project = read_project(root)
    read_cases(project)
    place_of(options.target, project.targets, root)
    nodes = {
        kind.value: sorted(name.name for name in project.nodes if name.kind is kind)
        for kind in Kind
        if kind not in (Kind.predictions, Kind.feedback)
    }
    if options.json:
        emit({"project": project.name, "target": options.target, "nodes": nodes})
        return 0
    if not project.nodes:
        print(EMPTY)
        return 0
    for kind, names in nodes.items():
        if names:
            print(f"{kind:<10}{', '.join(names)}")
    print(f"{project.name}: {counted(len(project.nodes), 'node')}, and nothing is wrong with them")
    return 0
