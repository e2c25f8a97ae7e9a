"""Tables and queries of MySQL and MariaDB: whole, by a column, or by the changes in the binlog."""

from __future__ import annotations

import uuid
from contextlib import closing

from lichen.adapters.sources.mysql.changes import follow, look_changes
from lichen.adapters.sources.mysql.rows import (
    IncrementalReading,
    WholeReading,
    look_by,
)
from lichen.adapters.sources.mysql.server import Server, Session, server_of
from lichen.adapters.sources.mysql.settings import MysqlSettings, checked
from lichen.core.steps import Mark
from lichen.ports.source import Limits, Outside, Reading


class Mysql:
    """Reads one table, or what one query gives."""

    Settings = MysqlSettings

    def __init__(self, settings: MysqlSettings, outside: Outside) -> None:
        self._settings, self._outside = checked(settings), outside

    def look(self, cursor: str | None) -> Mark:
        """Return how far the column or the binlog went; what is read whole is always new."""
        settings = self._settings
        if not settings.changes and settings.incremental is None:
            return Mark(until=uuid.uuid4().hex, said="it is read whole")
        with closing(Session(self._server())) as session:
            if settings.changes:
                return look_changes(session, cursor)
            return look_by(session, settings, cursor)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read on from a cursor."""
        settings, server = self._settings, self._server()
        if settings.changes:
            return follow(settings, server, cursor, mark, limits)
        if settings.incremental is None:
            return WholeReading(settings, server)
        return IncrementalReading(settings, server, cursor, mark, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a server keeps its binlog as long as it was told to."""

    def close(self) -> None:
        """Do nothing: connections live as long as a reading."""

    def _server(self) -> Server:
        return server_of(self._settings, self._outside)
