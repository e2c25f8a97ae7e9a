"""Avro in the wire format of schema registries, as JSON that loses nothing."""

from __future__ import annotations

import math
import struct
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lichen.adapters.sources.schemaregistry import Registered, Registry, decoded
from lichen.core.errors import SourceError, Where
from lichen.core.extras import needed

_ODD = ("float", "double", "bytes", "fixed")  # types with values that JSON cannot say


class NoRecord(Exception):
    """Bytes that cannot be read, and why."""


class _Schema(NamedTuple):
    """A writer's schema, and whether its values hold what JSON cannot say."""

    writer: Any
    odd: bool


class AvroRecords:
    """Decodes records by the schema with which each was written.

    `reader` is a schema that all are resolved to; without it each has the fields it was written
    with.
    """

    def __init__(self, registry: Registry, reader: Any = None) -> None:
        self._registry, self._reader = registry, reader
        self._schemas: dict[int, _Schema] = {}

    def json(self, raw: bytes) -> bytes:
        """Return a record as JSON; raises NoRecord where it is none."""
        if len(raw) < 5 or raw[0] != 0:
            raise NoRecord("it does not begin with the id of a schema")
        (number,) = struct.unpack_from(">I", raw, 1)
        schema = self._schemas.get(number)
        if schema is None:
            schema = self._schemas[number] = self._schema(number)
        stream = BytesIO(raw)
        stream.seek(5)
        try:
            read = needed("fastavro", "kafka").schemaless_reader
            value = read(stream, schema.writer, self._reader)
            if stream.tell() != len(raw):
                raise NoRecord(f"it is longer than schema {number} says")
            return msgspec.json.encode(plain(value) if schema.odd else value)
        except NoRecord:
            raise
        except Exception as error:  # what bytes may bring about in the reader is open
            why = str(error) or type(error).__name__
            raise NoRecord(f"it does not read by schema {number}: {why}") from error

    def _schema(self, number: int) -> _Schema:
        found = self._registry.by_id(number)
        if found is None:
            raise NoRecord(f"the registry has no schema {number}")
        if found.schema_type != "AVRO":
            raise NoRecord(f"schema {number} is {found.schema_type}, not Avro")
        try:
            writer = self._parsed(found, {})
            return _Schema(
                writer, self._reader is not None or any(name in f"{writer}" for name in _ODD)
            )
        except (SourceError, NoRecord):
            raise
        except Exception as error:
            raise NoRecord(f"schema {number} does not read: {error}") from error

    def _parsed(self, found: Registered, named: dict[str, Any]) -> Any:
        for reference in found.references:
            if reference.name not in named:
                other = self._registry.named(reference)
                if other is None:
                    raise NoRecord(f"the registry has no schema {reference.subject}")
                self._parsed(other, named)
        return needed("fastavro", "kafka").parse_schema(decoded(found.schema), named)


def read_schema(path: Path) -> Any:
    """Return the Avro schema in a file; raises SourceError where there is none."""
    try:
        return needed("fastavro", "kafka").parse_schema(decoded(path.read_text("utf-8")))
    except OSError as error:
        raise SourceError(f"the file {path.name} cannot be read: {error.strerror}") from error
    except Exception as error:
        what = f"this is no Avro schema: {error}"
        raise SourceError(what, where=Where(path)) from error


def plain(value: Any) -> Any:
    r"""Return what of a value JSON cannot say as text, as SQL reads it: NaN, and bytes.

    >>> plain({"a": [float("nan"), 1.5], "b": b"\xff"})
    {'a': ['nan', 1.5], 'b': '\\xFF'}
    """
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return "".join(f"\\x{byte:02X}" for byte in value)
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case _:
            return value
