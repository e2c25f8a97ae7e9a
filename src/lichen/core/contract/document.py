"""The shape of an Open Data Contract Standard 3.1 document, key by key.

Keys that Lichen reads are typed; those that it leaves to other tools are accepted as they are.
Field names are the standard's own, so that errors speak of them.
Source: the JSON schema and the pages of the standard, version 3.1.0.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Number = int | float
Scalar = str | int | float | bool | None
Ignored = Any


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A mapping whose unknown keys are errors."""


class CustomProperty(Strict, frozen=True, kw_only=True):
    """One key and value that the standard does not know."""

    property: str
    value: Any
    id: str | None = None
    description: str | None = None


class Options(Strict, frozen=True, kw_only=True):
    """`logicalTypeOptions` of all logical types together."""

    minimum: Number | str | None = None
    maximum: Number | str | None = None
    exclusive_minimum: Number | str | None = None
    exclusive_maximum: Number | str | None = None
    multiple_of: Number | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    timezone: bool | None = None
    default_timezone: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    required: list[str] | None = None


class Arguments(Strict, frozen=True, kw_only=True):
    """`arguments` of the library metrics."""

    valid_values: list[Scalar] | None = None
    missing_values: list[Scalar] | None = None
    pattern: str | None = None
    properties: list[str] | None = None


class Quality(Strict, frozen=True, kw_only=True):
    """One quality rule: text, library, sql or custom."""

    type: Literal["text", "library", "sql", "custom"] = "library"
    id: str | None = None
    name: str | None = None
    description: str | None = None
    severity: str | None = None
    metric: (
        Literal["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount"]
        | None
    ) = None
    arguments: Arguments | None = None
    unit: str | None = None
    query: str | None = None
    engine: str | None = None
    implementation: str | dict[str, Any] | None = None
    must_be: Number | bool | None = None
    must_not_be: Number | bool | None = None
    must_be_greater_than: Number | None = None
    must_be_greater_or_equal_to: Number | None = None
    must_be_less_than: Number | None = None
    must_be_less_or_equal_to: Number | None = None
    must_be_between: tuple[Number, Number] | None = None
    must_not_be_between: tuple[Number, Number] | None = None
    custom_properties: list[CustomProperty] = []
    rule: Ignored = None
    dimension: Ignored = None
    method: Ignored = None
    business_impact: Ignored = None
    scheduler: Ignored = None
    schedule: Ignored = None
    tags: Ignored = None
    authoritative_definitions: Ignored = None


class Relationship(Strict, frozen=True, kw_only=True):
    """A foreign key; on a property `from` is the property itself."""

    to: str | list[str]
    from_: str | list[str] | None = msgspec.field(default=None, name="from")
    type: Literal["foreignKey"] = "foreignKey"
    custom_properties: list[CustomProperty] = []
    id: str | None = None
    description: str | None = None


class Element(Strict, frozen=True, kw_only=True):
    """What objects, properties and the items of arrays have in common."""

    id: str | None = None
    description: str | None = None
    physical_type: str | None = None
    physical_name: str | None = None
    quality: list[Quality] = []
    relationships: list[Relationship] = []
    custom_properties: list[CustomProperty] = []
    business_name: Ignored = None
    authoritative_definitions: Ignored = None
    tags: Ignored = None


class Item(Element, frozen=True, kw_only=True):
    """The items of an array."""

    name: str | None = None
    logical_type: (
        Literal[
            "string", "date", "timestamp", "time", "number", "integer",
            "object", "array", "boolean",
        ]
        | None
    ) = None  # fmt: skip
    logical_type_options: Options | None = None
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    primary_key_position: int = -1
    properties: list[Column] = []
    items: Item | None = None
    partitioned: Ignored = None
    partition_key_position: Ignored = None
    classification: Ignored = None
    encrypted_name: Ignored = None
    transform_source_objects: Ignored = None
    transform_logic: Ignored = None
    transform_description: Ignored = None
    examples: Ignored = None
    critical_data_element: Ignored = None


class Column(Item, frozen=True, kw_only=True):
    """A property: a column of the object, or a field of one."""

    name: str


class SchemaObject(Element, frozen=True, kw_only=True):
    """The table that the contract is about."""

    name: str
    logical_type: Literal["object"] | None = None
    properties: list[Column] = []
    data_granularity_description: Ignored = None


class ServiceLevel(Strict, frozen=True, kw_only=True):
    """One service level; `latency` and `freshness` become rules."""

    property: str
    value: Scalar
    unit: str | None = None
    element: str | None = None
    id: str | None = None
    description: str | None = None
    value_ext: Ignored = None
    driver: Ignored = None
    scheduler: Ignored = None
    schedule: Ignored = None


class Document(Strict, frozen=True, kw_only=True):
    """The whole file."""

    api_version: Literal["v3.1.0"]
    kind: Literal["DataContract"]
    id: str
    version: str
    status: str
    schema: list[SchemaObject]
    sla_properties: list[ServiceLevel] = []
    sla_default_element: str | None = None
    custom_properties: list[CustomProperty] = []
    name: str | None = None
    tenant: Ignored = None
    tags: Ignored = None
    servers: Ignored = None
    data_product: Ignored = None
    description: Ignored = None
    domain: Ignored = None
    support: Ignored = None
    price: Ignored = None
    team: Ignored = None
    roles: Ignored = None
    authoritative_definitions: Ignored = None
    contract_created_ts: Ignored = None
