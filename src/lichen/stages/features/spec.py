"""Features: what is known about an entity at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
from sqlglot import exp

from lichen.core.decorated import read_decorated
from lichen.core.errors import FeaturesError, Where, placed
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, convert, line_of, load, opening_comment
from lichen.core.sql import col, parse_expression, parse_select
from lichen.core.time import duration
from lichen.stages.tables.spec import Table, table_of


class FeaturesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the comment that opens `features/NAME.sql` may say."""

    entity: str | list[str] | None = None
    event_time: str | None = None
    known_at: str | None = None
    max_age: str | None = None
    window: list[str] = []
    at: Literal["request"] | None = None
    note: str | None = None


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `@features(…)` may say."""

    entity: str | list[str]
    event_time: str
    known_at: str | None = None
    max_age: str | None = None
    key: str | list[str] | None = None
    columns: dict[str, str] = {}
    inputs: list[str] = []
    note: str | None = None


@dataclass(frozen=True)
class Features:
    """A features definition.

    `shape` says how a question at t is answered: `latest` by the newest event known at t,
    `window` by an aggregate over t − W < event_time ≤ t for each W in `windows`, `request` from
    the outcome's own row. `entity` names the columns that identify whom it is about.
    """

    kind: ClassVar[Kind] = Kind.features

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
    if settings.at is None:
        for key in ("entity", "event_time"):
            if not getattr(settings, key):
                raise FeaturesError(
                    f"the key {key!r} is missing",
                    where=Where(path, first),
                    hint="features say whom they are about (entity) and when they happened "
                    "(event_time), or `at: request` when they come with the question",
                )
    return Features(
        name=name,
        where=Where(path),
        select=parse_select(text, path),
        text=text,
        shape="request" if settings.at else "window" if settings.window else "latest",
        entity=_names(settings.entity),
        event_time=_expression(settings, "event_time", path, lines),
        known_at=_expression(settings, "known_at", path, lines),
        max_age=_max_age(settings, path, lines),
        windows=_lengths("window", settings.window, path, lines),
        lines=lines,
    )


def read_features_function(path: Path, name: Name) -> tuple[Table, Features]:
    """Read `features/NAME.py`: a table of the same name, and features over it.

    Each row that the function gives is an event of its entity, so that the key is by default the
    entity and the event time.
    """
    found = read_decorated(
        path,
        "features",
        FunctionSettings.__struct_encode_fields__,
        FeaturesError,
        'write @features(entity="COLUMN", event_time="COLUMN") above a function of tables that '
        "returns one; a file that is no features begins with an underscore",
    )
    lines = found.lines
    settings = convert(dict(found.settings), FunctionSettings, path, lines)
    event_time = _expression(settings, "event_time", path, lines)
    entity, key = _names(settings.entity), _names(settings.key)
    if not key and not isinstance(event_time, exp.Column):
        raise FeaturesError(
            "key is needed where event_time is no plain column",
            where=Where(path, line_of(lines, "$.event_time")),
            hint='write key=["COLUMN", …]: what identifies a row that the function gives',
        )
    rows = Name(Kind.table, name.name)
    table = table_of(
        found, rows, key or (*entity, settings.event_time), settings.inputs, settings.columns
    )
    assert table.function is not None
    table = dataclasses.replace(table, function=dataclasses.replace(table.function, events=True))
    select = exp.select(*map(col, table.select.named_selects))
    features = Features(
        name=name,
        where=table.where,
        select=select.from_(exp.table_(rows.name, db=rows.kind.value, quoted=True)),
        text=table.text,
        shape="latest",
        entity=entity,
        event_time=event_time,
        known_at=_expression(settings, "known_at", path, lines),
        max_age=_max_age(settings, path, lines),
        lines=lines,
    )
    return table, features


def _names(written: str | Sequence[str] | None) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(written or ())


def _expression(
    settings: FeaturesSettings | FunctionSettings,
    key: Literal["event_time", "known_at"],
    path: Path,
    lines: Lines,
) -> exp.Expr | None:
    written = getattr(settings, key)
    return parse_expression(written, path, line=line_of(lines, f"$.{key}")) if written else None


def _max_age(
    settings: FeaturesSettings | FunctionSettings, path: Path, lines: Lines
) -> timedelta | None:
    written = settings.max_age
    return _lengths("max_age", [written], path, lines)[0] if written else None


def _lengths(key: str, written: Sequence[str], path: Path, lines: Lines) -> tuple[timedelta, ...]:
    with placed(Where(path, line_of(lines, f"$.{key}")), key):
        return tuple(duration(text) for text in written)
