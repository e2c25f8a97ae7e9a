"""A service: a model behind an API, with its promotion policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from lichen.core.errors import LichenError, ServiceError, Where
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, convert, line_of, load
from lichen.core.time import duration


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `services/NAME.yml` may say."""

    model: str
    promote: Literal["auto", "manual"] = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    horizon: str = "2 days"
    note: str | None = None


@dataclass(frozen=True)
class Service:
    """A service as declared; it is quickest for questions from `horizon` before its data on."""

    kind: ClassVar[Kind] = Kind.service

    name: Name
    where: Where
    model: Name
    promote: Literal["auto", "manual"]
    host: str
    port: int
    horizon: timedelta
    lines: Lines = field(default_factory=dict, compare=False, repr=False)


def read_service(path: Path, name: Name) -> Service:
    """Read `services/NAME.yml`; raises ProjectError with the line."""
    value, lines = load(path.read_text("utf-8"), path)
    settings = convert(value, ServiceSettings, path, lines)
    return Service(
        name=name,
        where=Where(path),
        model=Name(Kind.model, settings.model.removeprefix("models.")),
        promote=settings.promote,
        host=settings.host,
        port=settings.port,
        horizon=_horizon(settings.horizon, Where(path, line_of(lines, "$.horizon"))),
        lines=lines,
    )


def _horizon(written: str, where: Where) -> timedelta:
    try:
        return duration(written)
    except LichenError as error:
        what = f"horizon: {error.what}"
        raise ServiceError(what, where=where, allowed=error.allowed) from error
