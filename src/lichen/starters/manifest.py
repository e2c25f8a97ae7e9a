"""What dbt's `target/manifest.json` says, as far as a project can be made of it (schema v9–v12)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from lichen.core.errors import ProjectError, Where

LEAST, MOST = 9, 12  # versions of the manifest's schema that hold what is read here


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of the manifest; keys that are not read are passed over."""


class Metadata(Said, frozen=True, kw_only=True):
    """Who wrote the manifest."""

    dbt_schema_version: str = ""
    project_name: str | None = None
    adapter_type: str | None = None


class Column(Said, frozen=True, kw_only=True):
    """A documented column."""

    name: str
    data_type: str | None = None
    description: str = ""


class Generic(Said, frozen=True, kw_only=True):
    """What a generic test is: its name, its package and its arguments."""

    name: str
    kwargs: dict[str, Any] = {}
    namespace: str | None = None


class Depends(Said, frozen=True, kw_only=True):
    """What a node reads."""

    nodes: list[str] = []
    macros: list[str] = []


class Node(Said, frozen=True, kw_only=True):
    """A model, a seed, a snapshot, a test or another node."""

    resource_type: str
    name: str
    unique_id: str = ""
    package_name: str = ""
    original_file_path: str = ""
    language: str = "sql"
    raw_code: str = ""
    compiled_code: str | None = None
    relation_name: str | None = None
    alias: str | None = None
    identifier: str | None = None
    database: str | None = None
    schema_: str | None = msgspec.field(default=None, name="schema")
    source_name: str | None = None
    columns: dict[str, Column] = {}
    config: dict[str, Any] = {}
    depends_on: Depends = Depends()
    test_metadata: Generic | None = None
    column_name: str | None = None
    attached_node: str | None = None
    description: str = ""

    @property
    def called(self) -> str:
        """Return the relation's own name in the warehouse."""
        return self.identifier or self.alias or self.name


class Manifest(Said, frozen=True, kw_only=True):
    """The manifest; of what is left out only the names are read."""

    metadata: Metadata
    nodes: dict[str, Node] = {}
    sources: dict[str, Node] = {}
    macros: dict[str, Any] = {}
    exposures: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    semantic_models: dict[str, Any] = {}
    saved_queries: dict[str, Any] = {}
    unit_tests: dict[str, Any] = {}


def read(folder: Path) -> Manifest:
    """Read the manifest of a dbt project; raises ProjectError where there is none that reads."""
    path = folder / "target" / "manifest.json"
    if not path.is_file():
        hint = "run `dbt parse` there (or `dbt compile`, which also resolves macros), then again"
        if not (folder / "dbt_project.yml").is_file():
            hint = "name the folder that holds dbt_project.yml; " + hint
        raise ProjectError("there is no manifest", where=Where(path), hint=hint)
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ProjectError(
            f"this manifest does not read: {error}",
            where=Where(path),
            hint="write it anew with `dbt parse`",
        ) from error
    found = re.search(r"/manifest/v(\d+)", manifest.metadata.dbt_schema_version)
    if found is None or not LEAST <= int(found[1]) <= MOST:
        raise ProjectError(
            f"this manifest has the schema {manifest.metadata.dbt_schema_version or '(none)'}",
            where=Where(path),
            allowed=[f"v{number}" for number in range(LEAST, MOST + 1)],
            hint="write it anew with dbt 1.5 or newer",
        )
    return manifest
