"""Contracts: Open Data Contract Standard 3.1, decoded into columns and rules.

One file is one contract about one table, so `schema` holds exactly one object. What becomes a
rule, and how severe a breach is unless something says otherwise:

| in the file | rule | severity |
|---|---|---|
| a property's type | `COLUMN.type`: a text that is not empty and does not cast | quarantine |
| `required`, `primaryKey` | `COLUMN.not_null` | quarantine |
| `unique`, `primaryKey` (several: one key together, `primary_key.unique`) | unique | quarantine |
| `logicalTypeOptions`: minimum … exclusiveMaximum | `COLUMN.range` | quarantine |
| minLength, maxLength; pattern; multipleOf | length; pattern; row_sql | quarantine |
| `relationships` | `COLUMN.reference`: a value must stand in the other column | warn |
| `quality`: nullValues, missingValues, invalidValues, duplicateValues with `mustBe: 0` | as above | quarantine |
| the same with another limit (`mustBeLessThan: 1`, `unit: percent`): how many staged rows break it | as above | block |
| `quality`: rowCount; `type: sql` with a query that gives one number | row_count, table_sql | block |
| `quality`: `type: custom`, `engine: lichen`, `implementation: CONDITION` | row_sql: false for no row | quarantine |
| `slaProperties`: latency or freshness of an `element` | `COLUMN.freshness` | block |

A missing value breaks not_null only; every other row rule lets it pass.

Lichen's own keys stand under `customProperties`:
- `lichen.severity` (quarantine, warn, block) on a quality rule, a relationship, a property (all
  its rules) or the object (its table rules and service levels). The nearest one counts. Table
  rules cannot quarantine: they take quarantine from a property as their default.
- `lichen.missing` (a list of texts such as `["NA"]`) on a property or the object: raw texts that
  stand for no value.

The standard's own `severity` of a quality rule maps too: info, low, minor, warn, warning → warn;
error, medium, major, high → the rule's default; critical, blocker, block → block; quarantine.
`lichen.severity` beats it. `mustBeBetween` leaves out both ends, as the standard defines it.

Not judged, and listed in `Contract.unjudged`: other engines' custom rules, and options about
arrays and objects. Keys about people, prices and servers are accepted and left alone.
"""  # noqa: E501 (a table row cannot break)

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
from sqlglot import exp

from lichen.core.contract.document import (
    Column,
    Document,
    Item,
    Options,
    Relationship,
    SchemaObject,
)
from lichen.core.contract.place import MISSING, SEVERITY, OwnKeys, Place, own_keys
from lichen.core.contract.quality import (
    About,
    default_severity,
    inherited,
    pattern,
    quality_rule,
)
from lichen.core.contract.service_levels import freshness
from lichen.core.contract.spec import Contract, Property, Reference, Rule, RuleKind
from lichen.core.contract.types import MOMENT, is_number, type_of
from lichen.core.errors import LichenError, TableError, Where
from lichen.core.findings import Severity
from lichen.core.settings import convert, load
from lichen.core.sql import col
from lichen.core.time import instant

_IGNORED_OPTIONS = (
    "min_items", "max_items", "unique_items", "min_properties", "max_properties", "required",
)  # fmt: skip


def read_contract(path: Path) -> Contract:
    """Read a contract; raises ProjectError or TableError with the line that is wrong."""
    value, lines = load(_text(path), path)
    document = convert(value, Document, path, lines)
    place = Place(path, lines)
    own_keys(document.custom_properties, place, ())
    if len(document.schema) != 1:
        raise TableError(
            f"a contract is about one table, and this one has {len(document.schema)}",
            where=place.at(".schema").where,
            hint="give each table a file of its own",
        )
    table, at = document.schema[0], place.at(".schema[0]")
    own = own_keys(table.custom_properties, at, (SEVERITY, MISSING))
    columns = tuple(_columns(table, own, at))
    rules = [
        *_column_rules(table, columns, at),
        *_object_rules(table, own, at),
        *freshness(document, columns, own.severity, place),
    ]
    return Contract(path, document.version, columns, _numbered(rules), tuple(_unjudged(table, at)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TableError("there is no such file", where=Where(path)) from error
    except UnicodeDecodeError as error:
        raise TableError("this is not UTF-8 text", where=Where(path)) from error


def _columns(table: SchemaObject, own: OwnKeys, place: Place) -> Iterator[Property]:
    seen: dict[str, Where] = {}
    for index, column in enumerate(table.properties):
        at = place.at(f".properties[{index}]")
        if (earlier := seen.get(column.name.lower())) is not None:
            raise TableError(
                f"the column {column.name!r} stands twice (first on line {earlier.line})",
                where=at.where,
            )
        seen[column.name.lower()] = at.where
        if (column.physical_name or column.name).lower() != column.name.lower():
            raise TableError(
                f"the column is {column.name!r} and its physicalName {column.physical_name!r}",
                where=at.at(".physicalName").where,
                hint="name it as in the data, and rename it in a table",
            )
        keys = own_keys(column.custom_properties, at, (SEVERITY, MISSING))
        missing = keys.missing if keys.missing is not None else own.missing or ()
        required = column.required or column.primary_key
        description = column.description or ""
        type_ = type_of(column, at.where)
        yield Property(column.name, type_, required, description, missing, at.where)


def _column_rules(table: SchemaObject, columns: Sequence[Property], place: Place) -> Iterator[Rule]:
    for index, (column, promised) in enumerate(zip(table.properties, columns, strict=True)):
        at = place.at(f".properties[{index}]")
        severity = own_keys(column.custom_properties, at, (SEVERITY, MISSING)).severity
        about = About(table.name, column.name, promised.type, severity)
        if promised.type != "VARCHAR":
            yield _rule("type", about, at)
        if promised.required:
            yield _rule("not_null", about, at)
        if column.unique and not column.primary_key:
            yield _rule("unique", about, at)
        yield from _option_rules(column.logical_type_options or Options(), about, at)
        for number, relationship in enumerate(column.relationships):
            yield _reference(relationship, table, about, at.at(f".relationships[{number}]"))
        for number, quality in enumerate(column.quality):
            if rule := quality_rule(quality, about, at.at(f".quality[{number}]")):
                yield rule
    yield from _primary_key(table, place)


def _object_rules(table: SchemaObject, own: OwnKeys, place: Place) -> Iterator[Rule]:
    about = About(table.name, None, "", own.severity)
    for number, quality in enumerate(table.quality):
        if rule := quality_rule(quality, about, place.at(f".quality[{number}]")):
            yield rule
    for number, relationship in enumerate(table.relationships):
        yield _reference(relationship, table, about, place.at(f".relationships[{number}]"))


def _rule(kind: RuleKind, about: About, place: Place, **fields: object) -> Rule:
    column = about.column or ""
    rule = Rule(
        f"{column}.{kind}", kind, Severity.warn, place.where, column=column, columns=(column,)
    )
    severity = inherited(about.severity, rule, default_severity(kind))
    return replace(rule, severity=severity, **fields)  # type: ignore[arg-type]


def _primary_key(table: SchemaObject, place: Place) -> Iterator[Rule]:
    indexes = [i for i, column in enumerate(table.properties) if column.primary_key]
    if not indexes:
        return
    at = place.at(f".properties[{indexes[0]}]")
    keys = sorted((table.properties[i] for i in indexes), key=lambda c: c.primary_key_position)
    severity = own_keys(keys[0].custom_properties, at, (SEVERITY, MISSING)).severity
    about = About(table.name, keys[0].name, "", severity)
    if len(keys) == 1:
        yield _rule("unique", about, at)
    else:
        columns = tuple(key.name for key in keys)
        yield _rule("unique", about, at, id="primary_key.unique", column=None, columns=columns)


def _option_rules(options: Options, about: About, place: Place) -> Iterator[Rule]:
    place = place.at(".logicalTypeOptions")
    yield from _range(options, about, place)
    if options.min_length is not None or options.max_length is not None:
        yield _rule("length", about, place, low=options.min_length, high=options.max_length)
    if options.pattern is not None:
        at = place.at(".pattern")
        yield _rule("pattern", about, at, pattern=pattern(options.pattern, at.where))
    if options.multiple_of is not None:
        remainder = exp.Mod(
            this=col(about.column or ""), expression=exp.convert(options.multiple_of)
        )
        at = place.at(".multipleOf")
        condition = remainder.eq(0)
        yield _rule("row_sql", about, at, sql=condition, id=f"{about.column}.multiple_of")


def _range(options: Options, about: About, place: Place) -> Iterator[Rule]:
    low, high = options.exclusive_minimum, options.exclusive_maximum
    if low is not None and options.minimum is not None:
        raise TableError("give minimum or exclusiveMinimum, not both", where=place.where)
    if high is not None and options.maximum is not None:
        raise TableError("give maximum or exclusiveMaximum, not both", where=place.where)
    ends = (options.minimum if low is None else low, options.maximum if high is None else high)
    if ends != (None, None):
        for end in ends:
            _comparable(end, about, place.where)
        yield _rule(
            "range", about, place, low=ends[0], high=ends[1],
            low_open=low is not None, high_open=high is not None,
        )  # fmt: skip


def _comparable(end: float | str | None, about: About, where: Where) -> None:
    if end is None:
        return
    try:
        if about.type == MOMENT and isinstance(end, str):
            instant(end)
            return
        if about.type == "DATE" and isinstance(end, str):
            date.fromisoformat(end)
            return
    except (LichenError, ValueError) as error:
        raise TableError(
            f"{end!r} is no limit for {about.column}, which is {about.type}",
            where=where,
            allowed=("2013-01-01", "2013-01-01T06:30:00Z"),
        ) from error
    if isinstance(end, str) or not is_number(about.type):
        hint = "drop the quotes" if is_number(about.type) else "use minLength or pattern"
        raise TableError(
            f"{end!r} is no limit for {about.column}, which is {about.type}",
            where=where,
            hint=hint,
        )


def _reference(relationship: Relationship, table: SchemaObject, about: About, place: Place) -> Rule:
    if about.column and relationship.from_ is not None:
        raise TableError(
            "a relationship of a property has no 'from'", where=place.at(".from").where
        )
    if not about.column and relationship.from_ is None:
        raise TableError("the key 'from' is missing", where=place.where)
    targets = [_target(text, place) for text in _listed(relationship.to)]
    sources = (about.column,) if about.column else _own_columns(relationship, table)
    names = {name for name, _ in targets}
    if len(names) != 1 or len(targets) != len(sources):
        raise TableError(
            "'from' and 'to' must name equally many columns, of one table each",
            where=place.where,
        )
    severity = own_keys(relationship.custom_properties, place, (SEVERITY,)).severity
    to = Reference(names.pop(), tuple(column for _, column in targets))
    named = About(table.name, "_".join(sources), "", severity or about.severity)
    column = sources[0] if len(sources) == 1 else None
    return _rule("reference", named, place, column=column, columns=sources, refers_to=to)


def _target(text: str, place: Place) -> tuple[str, str]:
    plain = text.rpartition("#")[2].strip("/")
    parts = plain.split("/")
    if len(parts) == 4 and (parts[0], parts[2]) == ("schema", "properties"):
        return parts[1], parts[3]
    name, _, column = plain.rpartition(".")
    kinds = name.count(".") == 0 or name.split(".")[0] in ("sources", "tables")
    if name and column and kinds and len(parts) == 1:
        return name, column
    raise TableError(
        f"{text!r} is not a column",
        where=place.at(".to").where,
        allowed=("planes.tailnum", "sources.planes.tailnum", "schema/planes/properties/tailnum"),
    )


def _own_columns(relationship: Relationship, table: SchemaObject) -> tuple[str, ...]:
    names = {column.id: column.name for column in table.properties if column.id}
    ends = (text.strip("/").replace("/", ".").rpartition(".")[2] for text in
            _listed(relationship.from_ or []))  # fmt: skip
    return tuple(names.get(end, end) for end in ends)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _numbered(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    seen: Counter[str] = Counter()
    result = []
    for rule in rules:
        seen[rule.id] += 1
        count = seen[rule.id]
        result.append(replace(rule, id=f"{rule.id}_{count}") if count > 1 else rule)
    return tuple(result)


def _unjudged(table: SchemaObject, place: Place) -> Iterator[str]:
    for owner, prefix in _owners(table):
        for number, quality in enumerate(owner.quality):
            if quality.type == "custom" and quality.engine != "lichen":
                where = place.at(f"{prefix}.quality[{number}]").where
                yield f"{where}: a rule of the engine {quality.engine}"
        options = owner.logical_type_options if isinstance(owner, Column) else None
        for name in _IGNORED_OPTIONS:
            if options is not None and getattr(options, name) is not None:
                yield f"{place.at(f'{prefix}.logicalTypeOptions').where}: the option {name}"
        if isinstance(owner, Column):
            for field in _fields_that_promise(owner):
                yield f"{place.at(prefix).where}: what its field {field} promises besides its type"


def _fields_that_promise(item: Item) -> Iterator[str]:
    """Yield the fields within a column of which more is said than their type."""
    for field in [*item.properties, *([item.items] if item.items else [])]:
        options = field.logical_type_options
        ranges = options and msgspec.structs.replace(options, format=None) != Options()
        if field.required or field.unique or field.quality or field.relationships or ranges:
            yield field.name or "of the items"
        yield from _fields_that_promise(field)


def _owners(table: SchemaObject) -> Iterator[tuple[SchemaObject | Column, str]]:
    yield table, ""
    for index, column in enumerate(table.properties):
        yield column, f".properties[{index}]"
