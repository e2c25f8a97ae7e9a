"""`lichen init`: a new project: an empty one, one from a CSV file, or a shipped example."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.mistakes import nearby
from lichen.cli.options import USUAL, Options
from lichen.cli.page import counted, emit
from lichen.core.errors import LichenError, ProjectError

if TYPE_CHECKING:
    from lichen.starters.project import Choice

_SHIPPED = Path(__file__).parent.parent / "templates"


def init(
    folder: Path,
    *,
    template: Annotated[
        str | None, Parameter(name="--template", help="A shipped project, such as flights.")
    ] = None,
    file: Annotated[
        Path | None, Parameter(name="--from", help="A CSV file to make a project of.")
    ] = None,
    predict: Annotated[
        str | None, Parameter(name="--predict", help="Its column that is to be predicted.")
    ] = None,
    key: Annotated[
        str | None, Parameter(name="--key", help="Its column that tells the rows apart.")
    ] = None,
    time: Annotated[
        str | None,
        Parameter(name="--time", help="Its column that says when each row was known and asked."),
    ] = None,
    task: Annotated[
        str | None, Parameter(name="--task", help="binary, multiclass or regression.")
    ] = None,
    positive: Annotated[
        str | None, Parameter(name="--positive", help="The value that is meant by yes.")
    ] = None,
    dbt: Annotated[
        Path | None, Parameter(name="--from-dbt", help="The folder of a dbt project.")
    ] = None,
    options: Options = USUAL,
) -> int:
    """Write a new project: an empty one that explains itself, unless something is named.

    --json: {"folder", "template", "files": [path, …]}; from a CSV file also {"target", "task",
    "positive", "features": [column, …], "left_out": {column: reason}, "repairs": [reason, …]};
    from dbt also {"nodes": {id: name}, "left_out": {id: reason}, "to_do": [text, …]}

    Parameters
    ----------
    folder
        Where to; made if it is missing, and it must be empty.
    """
    place = options.folder / folder
    about = {"--predict": predict, "--key": key, "--time": time, "--task": task}
    about["--positive"] = positive
    if dbt is not None and (file is not None or template is not None):
        raise Misuse("a project is made from one thing", allowed=["--from-dbt FOLDER"])
    if file is None:
        _refuse_alone(about)
        if dbt is not None:
            return _from_dbt(dbt, place, options)
        return _shipped(template or "blank", place, options)
    if template is not None:
        raise Misuse("a project is made from a template or from a file", allowed=["--from FILE"])
    if predict is None:
        raise Misuse("say which column is to be predicted", allowed=["--predict COLUMN"])
    return _from_csv(file, place, {name[2:]: value for name, value in about.items()}, options)


def _refuse_alone(about: dict[str, str | None]) -> None:
    for name, value in about.items():
        if value is not None:
            raise Misuse(f"{name} is about a file", allowed=["--from FILE.csv"])


def _shipped(template: str, place: Path, options: Options) -> int:
    from lichen.starters.place import draft, files_in, write

    source = _template(template)
    with draft(place) as beside:
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(source, beside, dirs_exist_ok=True, ignore=ignore)
        if template == "blank":
            from lichen.starters.blank import named

            write(beside, named(place.resolve().name))
    files = files_in(place)
    if options.json:
        emit({"folder": str(place), "template": template, "files": files})
        return 0
    print(f"the project {template} is in {place} ({len(files)} files)")
    if template == "blank":
        print(f"each folder holds an example that explains it; begin with {place / 'README.md'}")
        print(f"next: lichen check -C {place}")
    else:
        print(f"next: lichen plan -C {place}")
    return 0


def _template(name: str) -> Path:
    shipped = sorted(p.name for p in _SHIPPED.iterdir() if (p / "lichen.yml").is_file())
    if name not in shipped:
        raise ProjectError(f"there is no template {name!r}", allowed=shipped, given=name)
    return _SHIPPED / name


def _from_csv(file: Path, place: Path, about: dict[str, Any], options: Options) -> int:
    from lichen.core.time import wall
    from lichen.starters.csvfile import Wish, begin
    from lichen.starters.place import draft, files_in
    from lichen.targets.place import place_in
    from lichen.wiring import open_engine

    with draft(place) as beside:
        engine = open_engine(place_in(beside.parent))
        choice = begin(file, Wish(**about), beside, place.resolve().name, engine, wall())
    files = files_in(place)
    if options.json:
        emit(_as_json(choice, place, files))
    else:
        _tell(choice, place, files)
    return 0


def _as_json(choice: Choice, place: Path, files: Sequence[str]) -> dict[str, Any]:
    return {
        "folder": str(place),
        "template": None,
        "files": list(files),
        "target": choice.target.column.name,
        "task": choice.target.task,
        "positive": choice.target.positive,
        "features": choice.features,
        "left_out": choice.left_out,
        "repairs": list(choice.raw.repairs),
    }


def _tell(choice: Choice, place: Path, files: Sequence[str]) -> None:
    from lichen.starters.project import sentence

    rows = choice.columns[0].rows
    print(
        f"{counted(rows, 'row')} of {counted(len(choice.columns), 'column')} in {choice.raw.path}"
    )
    for why in choice.raw.repairs:
        print(f"  {why}; {place / 'prepare.py'} sees to it")
    print(sentence(choice))
    for name, why in choice.left_out.items():
        if name != choice.target.column.name:
            print(f"  {name} is no feature: {why}")
    for column in choice.columns:
        if column.nothing:
            words = ", ".join(repr(text) for text in column.nothing)
            print(f"  {column.given}: {words} stands for no value")
    print(
        f"the project is in {place} ({len(files)} files); {place / 'README.md'} says what is what"
    )
    print(f"next: lichen run -C {place}")


def _from_dbt(dbt: Path, place: Path, options: Options) -> int:
    from lichen.project import read_project
    from lichen.starters.dbt import begin, kinds
    from lichen.starters.place import draft, files_in
    from lichen.targets.place import place_in
    from lichen.wiring import open_engine

    with draft(place) as beside:
        taken = begin(dbt, beside, place.resolve().name, open_engine(place_in(beside.parent)))
    try:
        read_project(place.resolve())
    except LichenError as error:
        taken.to_do.append(nearby(str(error)))
    files = files_in(place)
    if options.json:
        told = {"nodes": taken.names, "left_out": taken.left_out, "to_do": taken.to_do}
        emit({"folder": str(place), "template": None, "files": files, **told})
        return 0
    print(
        f"{counted(taken.count('model'), 'model')}, {counted(taken.count('source'), 'source')} and "
        f"{counted(taken.count('seed'), 'seed')} of dbt are in {place} ({len(files)} files)"
    )
    if taken.left_out:
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds(taken.left_out).items())
        print(f"left out: {shown}")
        for what, why in sorted(taken.left_out.items()):
            print(f"  {what}: {why}")
    for what in taken.to_do:
        print(f"to do: {what}")
    print(f"next: lichen check -C {place}")
    return 0
