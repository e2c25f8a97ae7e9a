"""What a source of PostgreSQL may say, and what of it cannot be meant."""

from __future__ import annotations

import re
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lichen.core.errors import LichenError, SourceError
from lichen.core.time import duration
from lichen.ports.source import Settings, Tls

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_SLOT = re.compile(r"[a-z0-9_]{1,63}")


class PostgresSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of PostgreSQL may say besides.

    One of `table` and `query` says what is read. It is read whole each time, or from the greatest
    value of a column on (`incremental`), or its changes are followed (`changes`).
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset(
        {"host", "port", "user", "tls", "overlap", "slot", "publication"}
    )

    host: str = "localhost"
    port: int = 5432
    database: str
    user: str
    password: str | None = None
    tls: Tls | None = None
    table: str | None = None
    query: str | None = None
    incremental: str | None = None
    overlap: str | None = None
    changes: bool = False
    slot: str | None = None
    publication: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key or ())


def checked(settings: PostgresSettings) -> PostgresSettings:
    """Return settings that can be meant; raises SourceError."""
    if (settings.table is None) == (settings.query is None):
        raise SourceError("it must say what to read, once", allowed=("table", "query"))
    if settings.incremental is not None and settings.changes:
        raise SourceError(
            "changes tell of every row, and incremental would read rows besides",
            allowed=("incremental", "changes"),
        )
    for setting, wanted in (("incremental", settings.incremental), ("changes", settings.changes)):
        if wanted and not settings.keys:
            raise SourceError(f"{setting}: it needs a key", hint="name what identifies a row: key")
    if settings.changes and settings.table is None:
        raise SourceError("changes are followed of a table, not of a query", allowed=("table",))
    _only_with(settings)
    if settings.query is not None:
        _one_select(settings.query)
    if settings.slot is not None and not _SLOT.fullmatch(settings.slot):
        raise SourceError(
            f"slot: {settings.slot!r} is no name of a replication slot",
            allowed=("a to z, 0 to 9 and _, 63 at most",),
        )
    if settings.table is not None:
        name_of(settings.table)
    if settings.overlap is not None:
        overlap_of(settings.overlap)
    return settings


def _only_with(settings: PostgresSettings) -> None:
    if settings.overlap is not None and settings.incremental is None:
        raise SourceError(
            "overlap: it says how far an incremental reading goes back", hint="leave it away"
        )
    for setting in ("slot", "publication"):
        if getattr(settings, setting) is not None and not settings.changes:
            raise SourceError(f"{setting}: it is for following changes", hint="add changes: true")


def _one_select(query: str) -> None:
    try:
        trees = sqlglot.parse(query, dialect="postgres")
    except SqlglotError as error:
        what = str(error).partition("\n")[0]
        raise SourceError(f"query: this SQL does not read: {what}") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SourceError("query: this must be exactly one SELECT")


def name_of(table: str) -> tuple[str, str]:
    r"""Return schema and name of a table; a name with dots stands in double quotes.

    Case is as written, quotes or not.

    >>> name_of("orders"), name_of("Shop.orders"), name_of('shop."a.b"')
    (('public', 'orders'), ('Shop', 'orders'), ('shop', 'a.b'))
    """
    parts: list[str] = []
    at = 0
    while found := _PART.match(table, at):
        parts.append(found[1].replace('""', '"') if found[1] else found[2].strip())
        at = found.end() + 1
        if at > len(table) or table[found.end() : at] != ".":
            break
    if at != len(table) + 1 or len(parts) not in (1, 2) or not all(parts):
        raise SourceError(
            f"table: {table!r} is no name of a table",
            allowed=("name", "schema.name", '"a name.with dots"'),
        )
    return ("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def overlap_of(text: str) -> float:
    """Return an overlap: seconds, or a number where the text is one.

    >>> overlap_of("10 minutes"), overlap_of("500")
    (600.0, 500.0)
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return duration(text).total_seconds()
    except LichenError as error:
        raise SourceError(
            f"overlap: {error.what}", allowed=error.allowed, hint=error.hint
        ) from error
