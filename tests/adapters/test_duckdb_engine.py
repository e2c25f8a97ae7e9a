"""DuckDB does what every engine must."""

from __future__ import annotations

from lichen.adapters.duckdb import DuckDB
from lichen.ports.engine import Engine
from lichen.testing.engine import EngineKit


class TestDuckDB(EngineKit):
    def engine(self) -> Engine:
        return DuckDB(threads=2)
