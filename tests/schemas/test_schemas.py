"""The shipped schemas accept what the strict decoder accepts, and refuse what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lichen.connectors import connector
from lichen.core.errors import LichenError
from lichen.core.settings import convert, decode, load, opening_comment
from lichen.schemas import FILES, ODCS, associations, schema, write_for_editors
from lichen.schemas.make import SPECS, encoded, make
from lichen.units.cases import CaseSettings

ROOT = Path(__file__).parents[2]
WORDS = (ROOT / "docs" / "words.md").read_text("utf-8")
ACCEPTED = [
    ("project", "name: flights"),
    ("project", "name: flights\ntargets: {dev: {}, prod: {lake: /lake, engine: {threads: 8}}}"),
    ("sources", "path: feeds/*.csv\nkey: id\nknown_at: at\nbackfill_until: 2013-12-01"),
    ("sources", "path: a.csv\nkey: [a, b]\nevent_time: at\nlag: 10 minutes\nnote: null"),
    ("tables", ""),
    ("tables", "key: [id]\nstatic: [planes]"),
    ("features", "entity: [origin, dest]\nevent_time: at\nwindow: [2 hours, 7 days]"),
    ("features", "at: request"),
    ("outcomes", "key: id\nlabel: delay > 15\nentities: [origin]\npredict_at: at"),
    ("tests", "node: landed\ncases: {one: {given: {a: []}, expect: [{x: 1}]}}"),
    ("tests", "cases: {one: {given: {a: 'x\\n1'}, now: 2013-12-01, questions: [{at: a}]}}"),
    ("services", "model: late\npromote: manual\nport: 0\nhorizon: 3 days"),
]
REFUSED = [
    ("project", "targets: {}"),  # no name
    ("project", "name: 5"),
    ("project", "name: a\ntargets: {dev: {thread: 4}}"),
    ("project", "name: a\ntargets: [dev]"),
    ("project", "name: a\ntargets: {dev: {threads: many}}"),
    ("sources", "key: id"),
    ("sources", "path: a.csv\nkeys: id"),
    ("sources", "path: [a.csv]"),
    ("sources", "path: a.csv\nkey: [1]"),
    ("tables", "static: planes"),
    ("tables", "key: {a: b}"),
    ("features", "at: response"),
    ("features", "entity: a\nwindow: 2 hours"),
    ("outcomes", "key: id"),
    ("outcomes", "key: id\nlabel: a\nentities: origin"),
    ("tests", "node: landed"),
    ("tests", "cases: {one: {give: {a: []}}}"),
    ("tests", "cases: {one: {given: {a: 5}}}"),
    ("tests", "cases: {one: []}"),
    ("services", "model: late\nport: '8000'"),
    ("services", "model: late\nport: true"),
    ("services", "model: late\npromote: always"),
    ("services", "late"),
]


@pytest.mark.parametrize(
    ("kind", "text", "right"), [(*each, True) for each in ACCEPTED] + [(*e, False) for e in REFUSED]
)
def test_schema_and_decoder_agree(kind: str, text: str, right: bool) -> None:
    value, _ = load(text, Path("sample.yml"))
    assert fits(value, schema(kind), schema(kind)) is right
    if right:
        read(kind, text)
    else:
        with pytest.raises(LichenError):
            read(kind, text)


def read(kind: str, text: str) -> None:
    """Decode a file as the project's reader does; cases of tests are decoded one by one."""
    path = Path("sample.yml")
    value, _ = load(text, path)
    spec = SPECS[kind][0]
    if kind == "sources":
        spec = connector(value.get("connector", "files")).Settings
    found = decode(text, spec, path)
    for case in getattr(found, "cases", {}).values():
        convert(case, CaseSettings, path, {"$": 1})


@pytest.mark.parametrize("kind", FILES)
def test_the_shipped_project_fits(kind: str) -> None:
    shipped = ROOT / "src/lichen/templates/flights"
    files = [p for p in shipped.glob(FILES[kind]) if not p.name.endswith(".odcs.yaml")]
    assert files
    for path in files:
        text = path.read_text("utf-8")
        text = opening_comment(text)[0] if path.suffix == ".sql" else text
        assert fits(load(text, path)[0], schema(kind), schema(kind)), path


@pytest.mark.parametrize("kind", FILES)
def test_they_are_what_the_specs_and_the_words_say(kind: str) -> None:
    made = make(WORDS)[kind]
    assert schema(kind) == json.loads(encoded(made)), (
        "make them again: python -m lichen.schemas.make docs/words.md"
    )


@pytest.mark.parametrize("kind", FILES)
def test_every_key_says_what_it_means(kind: str) -> None:
    whole = schema(kind)
    for part in (whole, *whole.get("definitions", {}).values()):
        assert all(p["description"] for p in part.get("properties", {}).values())


def test_an_editor_is_told_and_what_it_was_told_before_stays(tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    settings = tmp_path / ".vscode/settings.json"
    settings.write_text('{"editor.rulers": [100], "yaml.schemas": {"./mine.json": "mine.yml"}}')
    written = write_for_editors(tmp_path)
    said = json.loads(settings.read_text())
    assert said["editor.rulers"] == [100]
    assert said["yaml.schemas"] == {"./mine.json": "mine.yml", **associations()}
    own = [place for place in associations() if place.startswith("./")]
    assert {tmp_path / place for place in own} == set(written) - {settings}
    assert write_for_editors(tmp_path) == written


def test_settings_with_comments_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    settings = tmp_path / ".vscode/settings.json"
    settings.write_text('{\n// mine\n"a": 1}')
    with pytest.raises(LichenError, match=r'settings.json:2: .*\n.*add "yaml.schemas"'):
        write_for_editors(tmp_path)
    assert settings.read_text() == '{\n// mine\n"a": 1}'
    assert not (tmp_path / ".vscode/lichen").exists()


def test_contracts_have_the_schema_of_their_standard() -> None:
    assert associations()[ODCS] == "**/*.odcs.yaml"
    assert "v3.1.0" in ODCS


def test_another_kind_is_refused() -> None:
    with pytest.raises(LichenError, match="did you mean 'services'"):
        schema("service")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict,
    "array": list, "null": type(None),
}  # fmt: skip


def fits(value: Any, part: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Return whether a value fits a schema, of the words that our schemas use."""
    known = {"anyOf", "enum", "type", "properties", "required", "additionalProperties", "items"}
    told = {"$schema", "$ref", "title", "description", "default", "definitions"}
    assert set(part) <= known | told, "a word that this test cannot judge"
    if "$ref" in part:
        name = re.fullmatch("#/definitions/(.+)", part["$ref"])
        assert name is not None
        return fits(value, whole["definitions"][name[1]], whole)
    if "anyOf" in part:
        return any(fits(value, each, whole) for each in part["anyOf"])
    if "enum" in part:
        return value in part["enum"]
    if "type" in part and not _is(value, part["type"]):
        return False
    if isinstance(value, list):
        return all(fits(each, part.get("items", {}), whole) for each in value)
    return not isinstance(value, dict) or _object_fits(value, part, whole)


def _is(value: Any, type_: str) -> bool:
    whole_number = type_ in ("integer", "number") and isinstance(value, bool)
    return isinstance(value, _TYPES[type_]) and not whole_number


def _object_fits(value: dict[str, Any], part: dict[str, Any], whole: dict[str, Any]) -> bool:
    own, others = part.get("properties", {}), part.get("additionalProperties", True)
    if set(part.get("required", ())) - set(value):
        return False
    for key, each in value.items():
        if key in own:
            if not fits(each, own[key], whole):
                return False
        elif others is False or (isinstance(others, dict) and not fits(each, others, whole)):
            return False
    return True
