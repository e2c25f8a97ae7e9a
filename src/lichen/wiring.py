"""The only place that picks adapters; each is imported when it is first needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lichen.core.errors import SourceError
from lichen.ports.engine import Engine
from lichen.ports.http import Server
from lichen.ports.lake import Lake
from lichen.ports.ledger import Ledger, State
from lichen.ports.online import Online
from lichen.ports.source import Connector
from lichen.stages.sources.spec import CONNECTORS

if TYPE_CHECKING:
    from lichen.stages.models.run import Learners


def open_engine(folder: Path, threads: int | None = None) -> Engine:
    """Return the engine of a target; it spills below the target's folder."""
    from lichen.adapters.duckdb import DuckDB

    return DuckDB(threads=threads, temp=folder / "spill")


def open_lake(folder: Path) -> Lake:
    """Return the lake of a target."""
    from lichen.adapters.delta import DeltaLake

    return DeltaLake(folder / "lake")


def open_ledger(folder: Path) -> Ledger:
    """Return the ledger of a target."""
    from lichen.adapters.sqlite import SqliteLedger

    return SqliteLedger(folder / "ledger.db")


def read_state(folder: Path) -> State:
    """Return the state of a target's ledger, without what writing needs; empty where none is."""
    from lichen.adapters.sqlite_state import state_of

    return state_of(folder / "ledger.db")


def open_connector(name: str) -> Connector:
    """Return the connector that a source names."""
    if name not in CONNECTORS:
        raise SourceError(f"there is no connector {name!r}", allowed=CONNECTORS, given=name)
    from lichen.adapters.files import Files

    return Files()


def open_online() -> Online:
    """Return an empty online state."""
    from lichen.adapters.duckonline import DuckOnline

    return DuckOnline()


def open_http() -> Server:
    """Return the HTTP server."""
    from lichen.adapters.http import serve

    return serve


def open_learners() -> Learners:
    """Return what training may use; the libraries themselves load when they are first called."""
    from lichen.adapters.lightgbm import Lightgbm
    from lichen.adapters.linear import Linear
    from lichen.adapters.optuna import Tpe
    from lichen.adapters.sklearn import Sklearn
    from lichen.stages.models.run import Learners

    return Learners({"lightgbm": Lightgbm(), "linear": Linear()}, Tpe, Sklearn())
