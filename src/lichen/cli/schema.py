"""`lichen schema`: JSON Schemas, so that editors complete and check a project's YAML."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from lichen.cli.candidates import schemas
from lichen.cli.options import USUAL, Options
from lichen.cli.page import emit, table
from lichen.core.errors import ProjectError, Where


def schema(
    kind: Annotated[str | None, Parameter(completer=schemas)] = None,
    *,
    editor: Annotated[
        bool,
        Parameter(name="--editor", negative=(), help="Write them for VS Code, into .vscode/."),
    ] = False,
    options: Options = USUAL,
) -> int:
    """Print the JSON Schema of a kind of file, or write them all for an editor.

    Other editors name a schema in the first line of a file:
    # yaml-language-server: $schema=../.vscode/lichen/sources.json

    --json: {"schemas": {KIND: files}, "files": [path, …]}; with a KIND the schema itself

    Parameters
    ----------
    kind
        project, sources, tables, features, outcomes, services or tests.
    """
    from lichen import schemas as shipped

    if kind is not None:
        emit(shipped.schema(kind))
        return 0
    root = options.folder.absolute()
    if editor and not (root / "lichen.yml").is_file():
        raise ProjectError(
            "there is no lichen.yml here, so this is not a Lichen project",
            where=Where(root),
            hint="go to the project's folder, or name it with -C FOLDER",
        )
    written = shipped.write_for_editors(root) if editor else []
    files = [path.relative_to(root).as_posix() for path in written]
    if options.json:
        emit({"schemas": shipped.FILES, "files": files})
        return 0
    if not editor:
        table(("schema", "of"), [*shipped.FILES.items(), (shipped.ODCS, shipped.CONTRACTS)])
        print("next: lichen schema --editor")
        return 0
    for path in files:
        print(f"wrote {path}")
    return 0
