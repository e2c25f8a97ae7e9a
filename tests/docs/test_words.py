"""The page of words names every setting, verb and system column, and none that is not there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

import lichen
from lichen.cli import VERBS
from lichen.connectors import OWN as OWN_CONNECTORS
from lichen.connectors import connector
from lichen.core.contract.breaks import RAW
from lichen.core.contract.place import MISSING, SEVERITY
from lichen.core.names import Kind
from lichen.core.versions import OWN
from lichen.declared import ProjectSettings
from lichen.ports.source import LimitSettings, Settings
from lichen.stages.features.spec import FeaturesSettings
from lichen.stages.models.metric import METRICS
from lichen.stages.outcomes.spec import OutcomeSettings
from lichen.stages.services.spec import ServiceSettings
from lichen.stages.tables.spec import TableSettings
from lichen.targets.place import EngineSettings, TargetSettings
from lichen.units.cases import CaseSettings, FileSettings

PAGE = (Path(__file__).parents[2] / "docs" / "words.md").read_text("utf-8")
STORED = (Kind.predictions, Kind.feedback)


def section(title: str) -> str:
    """Return what stands under a heading."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def _first_column(title: str) -> list[str]:
    rows = re.findall(r"^\| ([^|]+) \|", section(title), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize(
    ("title", "settings"),
    [
        ("lichen.yml", (ProjectSettings, TargetSettings, EngineSettings)),
        ("Sources", (Settings, LimitSettings)),
        ("Tables", (TableSettings,)),
        ("Features", (FeaturesSettings,)),
        ("Outcomes", (OutcomeSettings,)),
        ("Services", (ServiceSettings,)),
        ("Tests", (FileSettings, CaseSettings)),
    ],
)
def test_each_setting_is_told_once(title: str, settings: Sequence[type]) -> None:
    known = [f for struct in settings for f in struct.__struct_encode_fields__]  # type: ignore[attr-defined]
    assert sorted(_first_column(title)) == sorted(known)


def test_each_setting_of_a_connector_is_told_once() -> None:
    told = re.split(r"^### (.+)$", section("Connectors"), flags=re.MULTILINE)
    tables = dict(zip(told[1::2], told[2::2], strict=True))
    assert list(tables) == list(OWN_CONNECTORS)
    for name, text in tables.items():
        own = connector(name).Settings.__struct_encode_fields__
        rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
        assert sorted(rows) == sorted(set(own) - set(Settings.__struct_encode_fields__))


def test_each_setting_of_a_model_is_told_once() -> None:
    assert _first_column("Models") == list(inspect.signature(lichen.model).parameters)
    for name in (*METRICS, *inspect.signature(lichen.auto).parameters):
        assert f"`{name}`" in section("Models")


def test_each_setting_of_a_function_is_told() -> None:
    told = _first_column("Functions")
    for decorator in (lichen.table, lichen.features):
        assert set(inspect.signature(decorator).parameters) <= set(told)
    assert set(told) == set(inspect.signature(lichen.features).parameters)


def test_each_system_column_is_told() -> None:
    # A span's end, and what a relation says of its rows, are never stored.
    held_in_memory = {"_until", "_apart"}
    assert set(_first_column("System columns")) == {*OWN, RAW} - held_in_memory


def test_each_own_key_of_contracts_is_told() -> None:
    assert {SEVERITY, MISSING} <= set(_first_column("Contracts"))


def test_each_kind_is_told() -> None:
    for kind in Kind:
        assert f"`{kind.value}{'.NAME' if kind in STORED else '/'}" in PAGE


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_told_with_its_answer(verb: str) -> None:
    rows = section("Verbs").splitlines()
    (row,) = [line for line in rows if re.match(rf"\| `{verb}\b", line)]
    docstring = inspect.getdoc(getattr(import_module(f"lichen.cli.{verb}"), verb)) or ""
    shape = docstring.partition("--json:")[2].partition("\n\n")[0]
    assert set(re.findall(r'"(\w+)"', row)) == set(re.findall(r'"(\w+)"', shape))


def test_no_verb_is_invented() -> None:
    assert set(re.findall(r"^\| `(\w+)", section("Verbs"), re.MULTILINE)) == set(VERBS)
