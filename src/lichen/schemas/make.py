"""Makes the shipped schemas: their shape from the specs, their words from docs/words.md.

python -m lichen.schemas.make docs/words.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lichen.connectors import OWN, connector
from lichen.declared import ProjectSettings
from lichen.ports.source import Settings
from lichen.stages.features.spec import FeaturesSettings
from lichen.stages.outcomes.spec import OutcomeSettings
from lichen.stages.services.spec import ServiceSettings
from lichen.stages.tables.spec import TableSettings
from lichen.units.cases import CaseSettings, FileSettings

SPECS: dict[str, tuple[type[msgspec.Struct], str]] = {  # and the heading in docs/words.md
    "project": (ProjectSettings, "lichen.yml"),
    "sources": (Settings, "Sources"),
    "tables": (TableSettings, "Tables"),
    "features": (FeaturesSettings, "Features"),
    "outcomes": (OutcomeSettings, "Outcomes"),
    "services": (ServiceSettings, "Services"),
    "tests": (FileSettings, "Tests"),
}
DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors' YAML servers read


def make(words: str) -> dict[str, dict[str, Any]]:
    """Return the schema of each kind; `words` is the text of docs/words.md."""
    made = {kind: _schema(spec, meanings(words, head)) for kind, (spec, head) in SPECS.items()}
    return {**made, "sources": _sources(words)}


def meanings(words: str, heading: str, below: str | None = None) -> dict[str, str]:
    r"""Return what the tables below a heading, and one below that, say of each key.

    With "" below it: what they say before the first heading there.

    >>> meanings("## Tables\n\n| key | means |\n|---|---|\n| `static` | a list |\n", "Tables")
    {'static': 'a list'}
    """
    parts = re.split(r"^## (.+)$", words, flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    if below is not None:
        parts = re.split(r"^### (.+)$", section, flags=re.MULTILINE)
        section = {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}[below]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))


def _sources(words: str) -> dict[str, Any]:
    """Return the schema of a source: that of its connector, each with what all of them may say."""
    definitions: dict[str, Any] = {}
    for name in OWN:
        said = meanings(words, "Sources") | meanings(words, "Connectors", name)
        own = _schema(connector(name).Settings, said)
        definitions |= own.pop("definitions", {})
        del own["$schema"]
        own["properties"]["connector"] |= {"enum": [name]}
        if name != "files":
            own["required"] = sorted({*own.get("required", ()), "connector"})
        definitions[name] = own
    shared = meanings(words, "Connectors", "")
    for part in ("Tls", "PageSettings", "IncrementalSettings", "OauthSettings"):
        for name, property_ in definitions[part]["properties"].items():
            property_["description"] = shared[name]
    any_of = [{"$ref": f"#/definitions/{name}"} for name in OWN]
    return {"$schema": DRAFT, "title": "Source", "anyOf": any_of, "definitions": definitions}


def encoded(schema: Mapping[str, Any]) -> bytes:
    """Return a schema as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n"


def _schema(spec: type[msgspec.Struct], said: Mapping[str, str]) -> dict[str, Any]:
    inside = [CaseSettings] if spec is FileSettings else []  # it is decoded by itself
    ref = "#/definitions/{name}"
    _, parts = msgspec.json.schema_components([spec, *inside], ref_template=ref)
    if inside:
        case = {"$ref": ref.format(name=CaseSettings.__name__)}
        parts[spec.__name__]["properties"]["cases"]["additionalProperties"] = case
    for part in parts.values():
        for name, property_ in part.get("properties", {}).items():
            if name in said:
                property_["description"] = said[name]
            if property_.get("default", ...) is None:
                del property_["default"]
    own = parts.pop(spec.__name__)
    return {"$schema": DRAFT, **own, **({"definitions": parts} if parts else {})}


if __name__ == "__main__":
    for kind, made in make(Path(sys.argv[1]).read_text("utf-8")).items():
        Path(__file__).with_name(f"{kind}.json").write_bytes(encoded(made))
