"""The only place that picks adapters; each is imported when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lichen.connectors import connector

if TYPE_CHECKING:  # the ports' own words; what they say of SQL trees would load its parser
    from lichen.ports.engine import Engine
    from lichen.ports.http import Server
    from lichen.ports.lake import Lake
    from lichen.ports.ledger import Ledger, State
    from lichen.ports.online import Online
    from lichen.ports.source import Connector, Outside
    from lichen.stages.models.run import Learners
    from lichen.stages.sources.spec import Feed
    from lichen.targets.place import Place


def open_engine(place: Place) -> Engine:
    """Return the engine of a target."""
    from lichen.adapters.duckdb import DuckDB

    return DuckDB(threads=place.threads, memory=place.memory, temp=place.temp)


def open_lake(place: Place) -> Lake:
    """Return the lake of a target."""
    from lichen.adapters.delta import DeltaLake

    return DeltaLake(place.lake)


def open_ledger(place: Place, *, borrowed: bool = False) -> Ledger:
    """Return the ledger of a target; one that another target borrows can only be read."""
    from lichen.adapters.sqlite import SqliteLedger

    return SqliteLedger(place.ledger, borrowed=borrowed)


def branch_ledger(parent: Place, place: Place, publication: int) -> None:
    """Make a target's ledger: what its parent's held when a publication was the last."""
    from lichen.adapters.sqlitebranch import branch

    branch(parent.ledger, place.ledger, publication)


def read_state(place: Place) -> State:
    """Return the state of a target's ledger, without what writing needs; empty where none is."""
    from lichen.adapters.sqlite_state import state_of

    return state_of(place.ledger)


def open_connector(source: Feed, outside: Outside) -> Connector:
    """Return what reads a source; nothing is opened before it is asked."""
    made: Connector = connector(source.settings.connector)(source.settings, outside)
    return made


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
