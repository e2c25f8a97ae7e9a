"""`lichen schema`: prints a schema, lists them, or writes them for an editor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Lichen = Callable[..., Any]


def test_a_kind_is_printed(lichen: Lichen) -> None:
    said = lichen("schema", "sources")
    assert said.code == 0
    assert said.json["definitions"]["files"]["properties"]["path"]["type"] == "string"
    assert lichen("schema", "source").code == 1


def test_they_are_written_beside_the_project(shop: Path, lichen: Lichen) -> None:
    said = lichen("schema", "--editor", "--json")
    assert ".vscode/settings.json" in said.json["files"]
    assert all((shop / path).is_file() for path in said.json["files"])
    assert lichen("check").code == 0


def test_elsewhere_nothing_is_written(tmp_path: Path, lichen: Lichen) -> None:
    said = lichen("schema", "--editor", "-C", str(tmp_path))
    assert said.code == 1
    assert "not a Lichen project" in said.err
    assert not any(tmp_path.iterdir())
    assert lichen("schema", "--json", "-C", str(tmp_path)).json["files"] == []
