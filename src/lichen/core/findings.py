"""What a look at data found: bad data is a finding, never an exception."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Severity(StrEnum):
    """What follows from a finding."""

    warn = "warn"
    quarantine = "quarantine"
    block = "block"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's result that a person should see; `count` is rows, or 1 for a table rule."""

    node: str
    rule: str
    severity: Severity
    message: str
    count: int = 1
    measured: float | str | None = None

    def line(self) -> str:
        return f"{self.severity.value:<10} {self.node} {self.rule}: {self.message}"


def as_json(finding: Finding) -> dict[str, Any]:
    """Return the finding as plain builtins."""
    return dict(msgspec.to_builtins(finding))
