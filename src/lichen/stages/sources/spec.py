"""A source: where raw records come from, what identifies them and when they become known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract
from lichen.core.errors import LichenError, SourceError, Where, placed
from lichen.core.names import Name
from lichen.core.secrets import ALLOWED, refers
from lichen.core.settings import convert, line_of, load
from lichen.core.size import size
from lichen.core.sql import columns_in, lit, parse_expression
from lichen.core.time import Instant, duration, instant
from lichen.ports.source import Limits, Settings

MOST_RETRIES = 10
ONE_LANDING = Limits(250_000, 128 * 10**6, 30.0)  # where a source says nothing else


@dataclass(frozen=True)
class Source:
    """A source as declared; `known_at` is an expression over the contract's columns."""

    name: Name
    where: Where
    settings: Settings
    prepare: Path | None
    key: tuple[str, ...]
    known_at: exp.Expr | None
    backfill_until: Instant | None
    contract: Contract
    retries: int = 0  # how often what fails outside is tried again
    timeout: float = 30.0  # seconds
    limits: Limits = ONE_LANDING

    def told(self) -> str:
        """Return what of the settings says which records these are, as one text."""
        settings = self.settings
        aside = {*_SHARED, *settings.SECRETS, *settings.ASIDE}
        said = {
            field.name: getattr(settings, field.name)
            for field in msgspec.structs.fields(settings)
            if field.name not in aside and getattr(settings, field.name) != field.default
        }
        return f"{settings.connector} {sorted(said.items())}"


_SHARED = {name for name in Settings.__struct_fields__} | {"prepare"}


def read_source(
    path: Path, name: Name, root: Path, connector: Callable[[str], type[Any]]
) -> Source:
    """Read `sources/NAME.yml` and the contract beside it; raises SourceError with the line.

    `connector` gives the class of a connector by its name.
    """
    value, lines = load(path.read_text("utf-8"), path)

    def at(key: str) -> Where:
        return Where(path, line_of(lines, f"$.{key}"))

    named = value.get("connector", "files") if isinstance(value, dict) else "files"
    try:
        spec = connector(named).Settings if isinstance(named, str) else Settings
    except SourceError as error:
        raise SourceError(
            error.what,
            where=at("connector"),
            allowed=error.allowed,
            given=error.given,
            hint=error.hint,
        ) from None
    _refuse_written_out(value, spec, at)
    settings: Settings = convert(value, spec, path, lines)
    contract = read_contract(_contract_beside(path))
    prepare = _prepare(settings, root, at)
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
        settings=settings,
        prepare=prepare,
        key=key,
        known_at=known,
        backfill_until=backfill,
        contract=contract,
        retries=settings.retries,
        timeout=_timeout(settings, at),
        limits=_limits(settings, at),
    )


def _refuse_written_out(value: Any, spec: type[Settings], at: Callable[[str], Where]) -> None:
    """Refuse a secret that is not a reference, before anything of the file is ever shown."""
    for name in sorted(spec.SECRETS & set(value if isinstance(value, dict) else ())):
        if value[name] is not None and not (isinstance(value[name], str) and refers(value[name])):
            raise SourceError(
                f"{name} is written out",  # the text is never told: it may be the secret
                where=at(name),
                allowed=ALLOWED,
                hint="name where it is kept; and if this file was ever shared, change it",
            )


def _prepare(settings: Settings, root: Path, at: Callable[[str], Where]) -> Path | None:
    said = getattr(settings, "prepare", None)
    prepare = root / said if said else None
    if prepare is not None and not prepare.is_file():
        raise SourceError(
            f"the file {said!r} is missing",
            where=at("prepare"),
            allowed=sorted(p.name for p in root.glob("*.py")),
            given=said,
        )
    return prepare


def _timeout(settings: Settings, at: Callable[[str], Where]) -> float:
    with placed(at("timeout"), "timeout"):
        seconds = duration(settings.timeout).total_seconds()
    if seconds <= 0:
        raise SourceError("timeout: a server needs some time to answer", where=at("timeout"))
    return seconds


def _limits(settings: Settings, at: Callable[[str], Where]) -> Limits:
    said = settings.limits
    try:
        most = size(said.bytes)
    except LichenError as error:
        where = at("limits.bytes")
        raise SourceError(error.what, where=where, allowed=error.allowed) from error
    for name in ("rows", "seconds"):
        if getattr(said, name) <= 0:
            raise SourceError(f"limits: no {name} at all land nothing", where=at(f"limits.{name}"))
    return Limits(said.rows, most, said.seconds)


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


def _known_at(settings: Settings, path: Path, at: Callable[[str], Where]) -> exp.Expr | None:
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
