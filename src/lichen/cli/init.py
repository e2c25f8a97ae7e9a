"""`lichen init`: a new project from a shipped template."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lichen.cli.options import USUAL, Options
from lichen.cli.page import emit
from lichen.core.errors import ProjectError, Where

_SHIPPED = Path(__file__).parent.parent / "templates"


def init(
    folder: Path,
    *,
    template: Annotated[str, Parameter(name="--template", help="Which one.")] = "flights",
    options: Options = USUAL,
) -> int:
    """Write a new project from a shipped template.

    --json: {"folder", "template", "files": [path, …]}

    Parameters
    ----------
    folder
        Where to; made if it is missing, and it must be empty.
    """
    place = options.folder / folder
    source = _template(template)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ProjectError(
            "there is something here already, and nothing is overwritten",
            where=Where(place),
            hint="name a new or an empty folder",
        )
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(source, place, dirs_exist_ok=True, ignore=ignore)
    files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
    if options.json:
        emit({"folder": str(place), "template": template, "files": files})
        return 0
    print(f"the project {template} is in {place} ({len(files)} files)")
    print(f"next: lichen plan -C {place}")
    return 0


def _template(name: str) -> Path:
    shipped = sorted(p.name for p in _SHIPPED.iterdir() if (p / "lichen.yml").is_file())
    if name not in shipped:
        raise ProjectError(f"there is no template {name!r}", allowed=shipped, given=name)
    return _SHIPPED / name
