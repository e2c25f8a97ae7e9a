"""dbt's generic tests as rules of a contract. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lichen.starters.manifest import Node
from lichen.starters.words import scalar

_TO = re.compile(r"""(ref|source)\s*\(\s*['"]([^'"]+)['"]\s*(?:,\s*['"]([^'"]+)['"]\s*)?\)""")
_TYPES = (
    (r"(big|small|tiny)?int|integer|serial|number\(\d+, ?0\)|byteint", "integer"),
    (r"float|double|real|numeric|decimal|number", "number"),
    (r"bool", "boolean"),
    (r"timestamp|datetime", "timestamp"),
    (r"date$", "date"),
)
KNOWN = ("not_null", "unique", "accepted_values", "relationships")


@dataclass
class Promises:
    """What the tests of a node promise of each of its columns, as lines of YAML."""

    flags: dict[str, dict[str, str]] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    relations: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)  # types that values of tests tell

    @property
    def columns(self) -> list[str]:
        """Return the columns that any test is about."""
        return list(dict.fromkeys([*self.flags, *self.rules, *self.relations]))

    def key(self) -> str | None:
        """Return the first column that is tested to be unique and never missing."""
        both = (c for c, told in self.flags.items() if {"unique", "required"} <= set(told))
        return next(both, None)


def add(promises: Promises, test: Node, names: Mapping[str, str]) -> str | None:
    """Add a test's rule; returns why not, where it cannot be one.

    `names` gives the new names of models, seeds and sources by dbt's own, sources as `a.b`.
    """
    told = test.test_metadata
    if told is None:
        return "a test in SQL of its own"
    if told.namespace is not None or told.name not in KNOWN:
        return f"a test {'.'.join(filter(None, (told.namespace, told.name)))}"
    if odd := [k for k in ("where", "error_if", "warn_if") if _odd(k, test.config.get(k))]:
        return f"a test {told.name} with {odd[0]}: {test.config[odd[0]]}"
    column = test.column_name or told.kwargs.get("column_name")
    if not isinstance(column, str):
        return f"a test {told.name} of no single column"
    mild = str(test.config.get("severity", "error")).lower() == "warn"
    if told.name == "relationships":
        return _relationship(promises, column.strip('"'), told.kwargs, names)
    _about_values(promises, told.name, column.strip('"'), told.kwargs, mild=mild)
    return None


def logical(data_type: str | None) -> str:
    """Return the contract's type for a warehouse's; a text where nothing is said.

    >>> logical("NUMBER(38,0)"), logical("timestamp_ntz"), logical(None)
    ('integer', 'timestamp', 'string')
    """
    said = (data_type or "").lower().replace(", ", ",")
    return next((kind for known, kind in _TYPES if re.match(known.replace(", ?", ",?"), said)),
                "string")  # fmt: skip


def _odd(name: str, value: Any) -> bool:
    return value is not None and not (name in ("error_if", "warn_if") and value == "!= 0")


def _about_values(
    promises: Promises, test: str, column: str, kwargs: Mapping[str, Any], *, mild: bool
) -> None:
    flag = {"not_null": "required", "unique": "unique"}.get(test)
    if flag is not None and not mild:
        promises.flags.setdefault(column, {})[flag] = "true"
        return
    metric = {"not_null": "nullValues", "unique": "duplicateValues"}.get(test, "invalidValues")
    rule = f"{{metric: {metric}"
    if test == "accepted_values":
        values = list(kwargs.get("values", []))
        if kwargs.get("quote", True) is not False:
            values = [str(value) for value in values]
        elif all(isinstance(value, int) for value in values):
            promises.kinds[column] = "integer"
        rule += f", arguments: {{validValues: [{', '.join(map(scalar, values))}]}}"
    rule += ", mustBe: 0" + (", severity: warn}" if mild else "}")
    promises.rules.setdefault(column, []).append(rule)


def _relationship(
    promises: Promises, column: str, kwargs: Mapping[str, Any], names: Mapping[str, str]
) -> str | None:
    found = _TO.search(str(kwargs.get("to", "")))
    target = None
    if found is not None:
        kind, first, second = found.groups()
        target = names.get(f"{first}.{second}" if kind == "source" else second or first)
    if target is None:
        return f"a test relationships to {kwargs.get('to')}"
    promises.relations.setdefault(column, []).append(f"{{to: {target}.{kwargs.get('field')}}}")
    return None


def contract(name: str, node: Node, promises: Promises, columns: Sequence[str]) -> str:
    """Return the contract of a node with these columns."""
    lines = [
        f"# From dbt: {node.original_file_path or node.name}",
        "apiVersion: v3.1.0\nkind: DataContract",
        f"id: {scalar(name)}\nversion: 1.0.0\nstatus: draft\nschema:\n  - name: {scalar(name)}",
        "    properties:",
    ]
    documented = {column.lower(): node.columns[column] for column in node.columns}
    for column in columns:
        about = documented.get(column.lower())
        kind = promises.kinds.get(column) or logical(about.data_type if about else None)
        lines.append(f"      - name: {scalar(column)}\n        logicalType: {kind}")
        if about is not None and about.description:
            lines.append(f"        description: {scalar(' '.join(about.description.split()))}")
        told = promises.flags.get(column, {})
        lines += [f"        {flag}: {value}" for flag, value in told.items()]
        for what, listed in (("quality", promises.rules), ("relationships", promises.relations)):
            if rules := listed.get(column):
                lines.append(f"        {what}:")
                lines += [f"          - {rule}" for rule in rules]
    return "\n".join(lines) + "\n"
