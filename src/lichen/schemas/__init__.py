"""JSON Schemas of the YAML that a project is written in, for editors; shipped as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lichen.core.errors import ProjectError, Where

FILES: dict[str, str] = {
    "project": "lichen.yml",
    "sources": "sources/**/*.yml",
    "tables": "tables/**/*.sql",
    "features": "features/**/*.sql",
    "outcomes": "outcomes/**/*.sql",
    "services": "services/**/*.yml",
    "tests": "tests/**/*.yml",
}  # what each schema is for; in an SQL file it is the comment that opens it
CONTRACTS = "**/*.odcs.yaml"
ODCS = (
    "https://raw.githubusercontent.com/bitol-io/open-data-contract-standard/main/schema/"
    "odcs-json-schema-v3.1.0.json"
)
PLACE = ".vscode/lichen"


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file.

    >>> schema("services")["required"]
    ['model']
    """
    if kind not in FILES:
        raise ProjectError(f"there is no schema {kind!r}", allowed=FILES, given=kind)
    found: dict[str, Any] = json.loads((_FOLDER / f"{kind}.json").read_bytes())
    return found


def write_for_editors(root: Path) -> list[Path]:
    """Write the schemas beside a project, and tell VS Code about them; returns the files.

    `.vscode/settings.json` keeps what else it says. Where it holds comments it is left alone, and
    ProjectError says what to add.
    """
    place, settings = root / PLACE, root / ".vscode" / "settings.json"
    said = _settings(settings)
    place.mkdir(parents=True, exist_ok=True)
    written = [place / f"{kind}.json" for kind, files in FILES.items() if files.endswith(".yml")]
    for path in written:
        path.write_bytes((_FOLDER / path.name).read_bytes())
    said["yaml.schemas"] = {**said.get("yaml.schemas", {}), **associations()}
    settings.write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    return [*written, settings]


def associations() -> Mapping[str, str]:
    """Return which schema is for which files, as the YAML extension of VS Code asks for it."""
    own = {f"./{PLACE}/{kind}.json": f for kind, f in FILES.items() if f.endswith(".yml")}
    return {**own, ODCS: CONTRACTS}


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ProjectError(
            "this holds comments or does not read, so that it is not touched",
            where=Where(path, error.lineno),
            hint=f'add "yaml.schemas": {json.dumps(associations())}',
        ) from error
    return found


_FOLDER = Path(__file__).parent
