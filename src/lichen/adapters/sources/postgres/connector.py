"""The postgres connector: reads a table or a query whole, by a column, or by its changes."""

from __future__ import annotations

from lichen.adapters.sources.postgres.changes import Changes
from lichen.adapters.sources.postgres.increments import Increments
from lichen.adapters.sources.postgres.link import Link
from lichen.adapters.sources.postgres.server import server_of
from lichen.adapters.sources.postgres.settings import PostgresSettings, checked
from lichen.adapters.sources.postgres.whole import Whole
from lichen.core.steps import Mark
from lichen.ports.source import Limits, Outside, Reading


class Postgres:
    """A source in PostgreSQL; nothing is opened before it is asked."""

    Settings = PostgresSettings

    def __init__(self, settings: PostgresSettings, outside: Outside) -> None:
        checked(settings)
        self._link = Link(settings, outside, server_of(settings, outside))
        ways: type[Whole | Increments | Changes] = Whole
        if settings.incremental is not None:
            ways = Increments
        elif settings.changes:
            ways = Changes
        self._way = ways(self._link)

    def look(self, cursor: str | None) -> Mark:
        """Return the point that the source has come to."""
        return self._way.look(cursor)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read on from a cursor up to a mark."""
        return self._way.read(cursor, mark, limits)

    def acknowledge(self, cursor: str) -> None:
        """Tell the server what is safe, where it keeps anything for us."""
        self._way.acknowledge(cursor)

    def close(self) -> None:
        """Close what is open."""
        self._way.close()
        self._link.close()
