"""A source: where raw records come from, what identifies them and when they become known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract
from lichen.core.errors import SourceError, Where, placed
from lichen.core.names import Name
from lichen.core.settings import convert, line_of, load
from lichen.core.sql import columns_in, lit, parse_expression
from lichen.core.time import Instant, duration, instant

CONNECTORS = ("files",)
MOST_RETRIES = 10


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
    retries: int = 0
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
    retries: int = 0  # how often what fails outside is tried again


def read_source(path: Path, name: Name, root: Path) -> Source:
    """Read `sources/NAME.yml` and the contract beside it; raises SourceError with the line."""
    value, lines = load(path.read_text("utf-8"), path)
    settings = convert(value, SourceSettings, path, lines)

    def at(key: str) -> Where:
        return Where(path, line_of(lines, f"$.{key}"))

    if settings.connector not in CONNECTORS:
        raise SourceError(
            f"there is no connector {settings.connector!r}",
            where=at("connector"),
            allowed=CONNECTORS,
            given=settings.connector,
        )
    contract = read_contract(_contract_beside(path))
    prepare = root / settings.prepare if settings.prepare else None
    if prepare is not None and not prepare.is_file():
        raise SourceError(
            f"the file {settings.prepare!r} is missing",
            where=at("prepare"),
            allowed=sorted(p.name for p in root.glob("*.py")),
            given=settings.prepare,
        )
    known = _known_at(settings, path, at)
    columns = tuple(c.name for c in contract.columns)
    key = (settings.key,) if isinstance(settings.key, str) else tuple(settings.key or ())
    for what, used in (("key", set(key)), ("known_at", columns_in(known) if known else set())):
        for column in sorted(set(used) - {c.lower() for c in columns} - set(columns)):
            raise SourceError(
                f"{what}: the contract {contract.path.name} has no column {column!r}",
                where=at(what),
                allowed=columns,
                given=column,
            )
    backfill = None
    if settings.backfill_until:
        with placed(at("backfill_until"), "backfill_until"):
            backfill = instant(settings.backfill_until)
    if not 0 <= settings.retries <= MOST_RETRIES:
        raise SourceError(
            f"retries: {settings.retries} is no number of further attempts",
            where=at("retries"),
            allowed=(f"0 to {MOST_RETRIES}",),
        )
    return Source(
        name=name,
        where=Where(path),
        connector=settings.connector,
        path=settings.path,
        prepare=prepare,
        key=key,
        known_at=known,
        backfill_until=backfill,
        contract=contract,
        retries=settings.retries,
    )


def _contract_beside(path: Path) -> Path:
    contract = path.with_suffix(".odcs.yaml")
    if not contract.is_file():
        raise SourceError(
            "this source has no contract beside it",
            where=Where(path),
            hint=f"write {contract.name} (Open Data Contract Standard 3.1): a source promises its "
            "columns and their types",
        )
    return contract


def _known_at(settings: SourceSettings, path: Path, at: Callable[[str], Where]) -> exp.Expr | None:
    if settings.known_at and (settings.event_time or settings.lag):
        raise SourceError(
            "known_at and event_time + lag say the same thing twice",
            where=at("known_at"),
            allowed=("known_at", "event_time and lag"),
        )
    if settings.known_at:
        return parse_expression(settings.known_at, path, line=at("known_at").line)
    if settings.event_time:
        event = parse_expression(settings.event_time, path, line=at("event_time").line)
        with placed(at("lag"), "lag"):
            return exp.Add(this=event, expression=lit(duration(settings.lag or "0 s")))
    return None
