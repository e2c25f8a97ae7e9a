"""Where a part of a contract stands in its file, and Lichen's own keys in its customProperties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lichen.core.contract.document import CustomProperty
from lichen.core.errors import TableError, Where
from lichen.core.findings import Severity
from lichen.core.settings import Lines, line_of

SEVERITY, MISSING = "lichen.severity", "lichen.missing"


@dataclass(frozen=True)
class Place:
    """A path inside the document, such as `$.schema[0].properties[2]`."""

    file: Path
    lines: Lines
    path: str = "$"

    def at(self, path: str) -> Place:
        """Return the place of a part of this one, such as `.quality[0]`."""
        return Place(self.file, self.lines, self.path + path)

    @property
    def where(self) -> Where:
        return Where(self.file, line_of(self.lines, self.path))


@dataclass(frozen=True)
class OwnKeys:
    """What the `lichen.…` keys of one customProperties say."""

    severity: Severity | None = None
    missing: tuple[str, ...] | None = None


def own_keys(properties: Sequence[CustomProperty], place: Place, allowed: Sequence[str]) -> OwnKeys:
    """Return Lichen's own keys; raises TableError for one that it does not know here."""
    severity, missing = None, None
    for index, item in enumerate(properties):
        if not item.property.startswith("lichen."):
            continue
        where = place.at(f".customProperties[{index}]").where
        if item.property not in allowed:
            raise TableError(
                f"unknown key {item.property!r}",
                where=where,
                allowed=allowed or ("no lichen.… key here",),
                given=item.property,
            )
        if item.property == SEVERITY:
            severity = _severity(item.value, where)
        else:
            missing = _texts(item.value, where)
    return OwnKeys(severity, missing)


def _severity(value: object, where: Where) -> Severity:
    allowed = tuple(member.value for member in Severity)
    if value not in allowed:
        given = str(value)
        raise TableError(
            f"{SEVERITY}: {given!r} is not allowed", where=where, allowed=allowed, given=given
        )
    return Severity(str(value))


def _texts(value: object, where: Where) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TableError(
            f"{MISSING} must be a list of texts", where=where, allowed=('["NA", "-"]',)
        )
    return tuple(value)
