"""A connector: what a source holds now, so that a plan can tell what is new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lichen.core.steps import Seen


class Connector(Protocol):
    """Lists what may be landed; reading is the engine's."""

    def list(self, root: Path, path: str, known: Mapping[str, Seen]) -> tuple[Seen, ...]:
        """Return what is there; `known` saves reading again what has not been touched."""
