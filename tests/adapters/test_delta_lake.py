"""Delta tables do what every lake must."""

from __future__ import annotations

from pathlib import Path

from lichen.adapters.delta import DeltaLake
from lichen.adapters.duckdb import DuckDB
from lichen.ports.engine import Engine
from lichen.ports.lake import Lake
from lichen.testing.lake import LakeKit

_ENGINE = DuckDB(threads=2)


class TestDeltaLake(LakeKit):
    def lake(self, root: Path) -> Lake:
        return DeltaLake(root)

    def engine(self) -> Engine:
        return _ENGINE
