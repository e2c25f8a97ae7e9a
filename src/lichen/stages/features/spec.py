"""Features: what is known about an entity at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.names import Name


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
