"""Small projects in a folder, for tests that run the whole machine on real parts."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.steps import AnyStep
from lichen.core.time import Instant, instant
from lichen.core.versions import current
from lichen.loop import Event, Loop, open_loop
from lichen.stages.context import Shelf, verdict_table

CONTRACT = """
kind: DataContract
apiVersion: v3.1.0
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties: {properties}
    quality: {quality}
"""
LOGICAL = {
    "varchar": "string", "bigint": "integer", "double": "number", "timestamptz": "timestamp",
    "boolean": "boolean",
}  # fmt: skip


class SmallProject:
    """A project folder that is written file by file, run at given times, and looked into."""

    def __init__(self, root: Path) -> None:
        """Begin an empty project in a folder."""
        self.root = root
        self._parts: dict[str, Any] = {}
        self._last: Loop | None = None
        self.write("lichen.yml", "name: small\ntargets: {dev: {engine: {threads: 1}}}")

    def write(self, path: str, text: str) -> None:
        """Write a file below the project, its indentation taken off."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")

    def csv(self, path: str, header: str, rows: Iterable[Sequence[object]]) -> None:
        """Write a CSV file; None is an empty field."""
        lines = (",".join("" if v is None else str(v) for v in row) for row in rows)
        self.write(path, "\n".join([header, *lines]) + "\n")

    def source(
        self,
        name: str,
        columns: Mapping[str, str],
        settings: str = "",
        *,
        rules: Mapping[str, Mapping[str, Any]] | None = None,
        quality: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Declare a source of `feeds/NAME/*.csv`; `rules` adds to its columns' promises."""
        self.write(f"sources/{name}.yml", f"path: feeds/{name}/*.csv\n" + textwrap.dedent(settings))
        self.contract(f"sources/{name}", columns, rules=rules, quality=quality)

    def contract(
        self,
        path: str,
        columns: Mapping[str, str],
        *,
        rules: Mapping[str, Mapping[str, Any]] | None = None,
        quality: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write the contract of `sources/NAME` or `tables/NAME`."""
        properties = [
            {"name": c, "logicalType": LOGICAL.get(t, "string"), "physicalType": t}
            | dict((rules or {}).get(c, {}))
            for c, t in columns.items()
        ]
        said = {
            "name": path.rpartition("/")[2],
            "properties": msgspec.json.encode(properties).decode(),
            "quality": msgspec.json.encode(list(quality)).decode(),
        }
        self.write(f"{path}.odcs.yaml", CONTRACT.format(**said))

    def loop(self) -> Loop:
        """Open the project as it is now; lake, ledger and engine stay open."""
        self._last = dataclasses.replace(open_loop(self.root), _parts=self._parts)
        return self._last

    def plan(self, now: str, *nodes: str) -> tuple[AnyStep, ...]:
        """Return what is due at a time."""
        return self.loop().plan(*nodes, now=instant(now))

    def run(self, now: str, *nodes: str) -> tuple[Event, ...]:
        """Run the project at a time."""
        return self.loop().run(*nodes, now=instant(now))

    def versions(self, node: str) -> list[dict[str, Any]]:
        """Return all stored rows of a node, those that are held back too, in their order."""
        loop = self._last or self.loop()
        query = exp.select("*").from_(rel(node)).order_by(col("_row"))
        relations = Shelf(loop.published(), loop.lake).relations([node])
        return [dict(row) for row in loop.engine.rows(query, relations)]

    def current(self, node: str, at: str | Instant) -> list[dict[str, Any]]:
        """Return the user columns of the rows that hold at a moment, sorted."""
        loop = self._last or self.loop()
        shelf = Shelf(loop.published(), loop.lake)
        held = current(shelf.versions(node), lit(instant(at)))
        users = [c for c in held.named_selects if not c.startswith("_")]
        query = exp.select(*map(col, users)).from_(held.subquery("h"))
        rows = loop.engine.rows(query, shelf.relations([node]))
        return sorted((dict(row) for row in rows), key=repr)

    def verdicts(self, node: str) -> list[dict[str, Any]]:
        """Return the verdicts on a node's rows."""
        loop = self._last or self.loop()
        relations = Shelf(loop.published(), loop.lake).relations([node])
        table = verdict_table(node)
        if table not in relations:
            return []
        query = exp.select("*").from_(rel(table)).order_by(col("_row"), col("rule"))
        return [dict(row) for row in loop.engine.rows(query, relations)]
