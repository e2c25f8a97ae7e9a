"""A source: where raw records come from, what identifies them and when they become known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlglot import exp

from lichen.core.contract.spec import Contract
from lichen.core.errors import Where
from lichen.core.names import Name
from lichen.core.time import Instant


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `sources/NAME.yml` may say."""

    path: str
    connector: str = "files"
    prepare: str | None = None
    key: str | list[str] | None = None
    known_at: str | None = None
    event_time: str | None = None
    lag: str | None = None
    backfill_until: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Source:
    """A source as declared; `known_at` is an expression over the contract's columns."""

    name: Name
    where: Where
    connector: str
    path: str
    prepare: Path | None
    key: tuple[str, ...]
    known_at: exp.Expr | None
    backfill_until: Instant | None
    contract: Contract
