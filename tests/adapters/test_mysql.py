"""Tables of MariaDB: the kit for streams, by a column and by the changes in the binlog."""

from __future__ import annotations

import pytest
from mysql import Rows
from servers import Place

from lichen.testing.source import StreamKit, Wire


class TestByAColumn(StreamKit):
    @pytest.fixture
    def ready(self, mariadb_database: Place) -> Wire:
        return Rows(mariadb_database, "incremental: n\nkey: n")


class TestChanges(StreamKit):
    @pytest.fixture
    def ready(self, mariadb_database: Place) -> Wire:
        return Rows(mariadb_database, "changes: true\nkey: n", tells_removals=True)
