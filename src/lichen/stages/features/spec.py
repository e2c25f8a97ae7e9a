"""Features: what is known about an entity at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec
from sqlglot import exp

from lichen.core.errors import FeaturesError, Where, placed
from lichen.core.names import Name
from lichen.core.settings import Lines, convert, line_of, load, opening_comment
from lichen.core.sql import parse_expression, parse_select
from lichen.core.time import duration


class FeaturesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the comment that opens `features/NAME.sql` may say."""

    entity: str | list[str] | None = None
    event_time: str | None = None
    known_at: str | None = None
    max_age: str | None = None
    window: list[str] = []
    at: Literal["request"] | None = None
    note: str | None = None


@dataclass(frozen=True)
class Features:
    """A features definition.

    `shape` says how a question at t is answered: `latest` by the newest event known at t,
    `window` by an aggregate over t − W < event_time ≤ t for each W in `windows`, `request` from
    the outcome's own row. `entity` names the columns that identify whom it is about.
    """

    name: Name
    where: Where
    select: exp.Select
    text: str
    shape: Literal["latest", "window", "request"]
    entity: tuple[str, ...] = ()
    event_time: exp.Expr | None = None
    known_at: exp.Expr | None = None
    max_age: timedelta | None = None
    windows: tuple[timedelta, ...] = ()
    lines: Lines = field(default_factory=dict, compare=False, repr=False)


def read_features(path: Path, name: Name) -> Features:
    """Read `features/NAME.sql`; raises FeaturesError with the line."""
    text = path.read_text("utf-8")
    comment, first = opening_comment(text)
    value, lines = load(comment, path, first_line=first)
    settings = convert(value, FeaturesSettings, path, lines)

    def expression(key: Literal["event_time", "known_at"]) -> exp.Expr | None:
        written = getattr(settings, key)
        line = line_of(lines, f"$.{key}")
        return parse_expression(written, path, line=line) if written else None

    def lengths(key: str, written: Sequence[str]) -> tuple[timedelta, ...]:
        with placed(Where(path, line_of(lines, f"$.{key}")), key):
            return tuple(duration(text) for text in written)

    if settings.at is None:
        for key in ("entity", "event_time"):
            if not getattr(settings, key):
                raise FeaturesError(
                    f"the key {key!r} is missing",
                    where=Where(path, first),
                    hint="features say whom they are about (entity) and when they happened "
                    "(event_time), or `at: request` when they come with the question",
                )
    entity = settings.entity or ()
    return Features(
        name=name,
        where=Where(path),
        select=parse_select(text, path),
        text=text,
        shape="request" if settings.at else "window" if settings.window else "latest",
        entity=(entity,) if isinstance(entity, str) else tuple(entity),
        event_time=expression("event_time"),
        known_at=expression("known_at"),
        max_age=lengths("max_age", [settings.max_age])[0] if settings.max_age else None,
        windows=lengths("window", settings.window),
        lines=lines,
    )
