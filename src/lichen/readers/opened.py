"""What readers need of a project that is opened at a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lichen.core.names import Name
from lichen.declared import Project
from lichen.ports.engine import Engine
from lichen.ports.lake import Lake
from lichen.ports.ledger import Ledger, Record, State
from lichen.stages.models.ask import Inquiry


class Opened(Protocol):
    """A project at a target; lake, ledger and engine open when they are first asked for."""

    @property
    def project(self) -> Project:
        """What the folder declares."""

    @property
    def folder(self) -> Path:
        """Where the target keeps everything."""

    @property
    def engine(self) -> Engine:
        """The engine of the target."""

    @property
    def lake(self) -> Lake:
        """The lake of the target."""

    @property
    def ledger(self) -> Ledger:
        """The ledger of the target."""

    def state(self) -> State:
        """Return the ledger's state; an empty one where nothing ever ran."""

    def inquiry(self, name: Name) -> Inquiry:
        """Return a model with all that its training set is made of."""

    def published(self) -> Mapping[str, Record]:
        """Return the records that everybody reads now, by node."""
