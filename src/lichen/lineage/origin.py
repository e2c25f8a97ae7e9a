"""What came from what: one nested value that the terminal and `--json` both show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec

from lichen.core.errors import LichenError
from lichen.core.time import iso


class LineageError(LichenError):
    """A question about where something comes from cannot be answered."""


@dataclass(frozen=True)
class Origin:
    """A node at a version, what was read of it (`told`), and what that was made of."""

    node: str
    version: int | None
    inputs: tuple[Origin, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return `{"node", "version", …, "inputs": [...]}`, all of it plain JSON values.

        >>> Origin("sources.weather", 2, told={"columns": ("temp",)}).as_json()
        {'node': 'sources.weather', 'version': 2, 'columns': ['temp'], 'inputs': []}
        """
        told = {name: plain(value) for name, value in self.told.items()}
        inputs = [each.as_json() for each in self.inputs]
        return {"node": self.node, "version": self.version, **told, "inputs": inputs}

    def walk(self) -> Iterator[Origin]:
        """Yield this and everything below it, parents first."""
        yield self
        for each in self.inputs:
            yield from each.walk()


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: times in ISO 8601, no NaN.

    >>> plain({"a": (1, float("nan"))})
    {'a': [1, None]}
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return iso(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
        case msgspec.Struct():
            return plain(msgspec.to_builtins(value))
        case _:
            return str(value)
