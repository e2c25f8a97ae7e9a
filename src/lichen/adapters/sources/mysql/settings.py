"""What a source of MySQL or MariaDB may say, and what of it cannot be meant."""

from __future__ import annotations

import re
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lichen.core.errors import LichenError, SourceError
from lichen.core.time import duration
from lichen.ports.source import Settings, Tls


class MysqlSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of MySQL or MariaDB may say besides.

    One of `table` and `query` says what is read. It is read whole each time, or from the greatest
    value of a column on (`incremental`), or its changes are followed (`changes`).
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset({"host", "port", "user", "tls", "overlap"})

    host: str = "localhost"
    port: int = 3306
    database: str
    user: str
    password: str | None = None
    tls: Tls | None = None
    table: str | None = None
    query: str | None = None
    incremental: str | None = None
    overlap: str | None = None
    changes: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key or ())

    @property
    def part(self) -> str:
        """The name of what is read, in the records that come of it."""
        return f"{self.database}.{self.table}" if self.table is not None else self.database


def checked(settings: MysqlSettings) -> MysqlSettings:
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
    _plain(settings)
    if settings.query is not None:
        _one_select(settings.query)
    return settings


def _plain(settings: MysqlSettings) -> None:
    if not 0 < settings.port < 2**16:
        raise SourceError(f"port: {settings.port} is none", allowed=("1 to 65535",))
    for setting in ("database", "table"):
        if (name := getattr(settings, setting)) is not None and (not name or "\0" in name):
            raise SourceError(f"{setting}: {name!r} is no name")
    if settings.overlap is not None and settings.incremental is None:
        raise SourceError(
            "overlap: it says how far an incremental reading goes back", hint="leave it away"
        )
    if settings.overlap is not None:
        overlap_of(settings.overlap)


def _one_select(query: str) -> None:
    try:
        trees = sqlglot.parse(query, dialect="mysql")
    except SqlglotError as error:
        what = str(error).partition("\n")[0]
        raise SourceError(f"query: this SQL does not read: {what}") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SourceError("query: this must be exactly one SELECT")


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
        raise SourceError(f"overlap: {error.what}", allowed=error.allowed) from error
