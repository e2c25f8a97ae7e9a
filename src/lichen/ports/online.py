"""The online state: a few relations held in memory, and questions asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from lichen.ports.engine import Relations


class Draft(Protocol):
    """The next state of the held relations, which nobody else sees before it is committed."""

    def forget(self) -> None:
        """Hold nothing: what is held next may have other columns."""

    def hold(self, name: str, question: str, given: Relations) -> None:
        """Make the answer the whole of a held relation.

        A question is SQL that was made from a tree; it names held relations and given ones.
        """

    def extend(self, name: str, question: str, given: Relations) -> None:
        """Add the answer's rows to a held relation."""

    def ask(self, question: str, given: Relations) -> Any:
        """Return the answer in this state as an Arrow table."""

    def commit(self) -> None:
        """Make this the state that everybody reads."""

    def abandon(self) -> None:
        """Leave the state as it was; does nothing after a commit."""


class Online(Protocol):
    """Relations in memory. Safe to call from several threads."""

    def ask(self, question: str, given: Mapping[str, Any]) -> Any:
        """Return the answer as an Arrow table.

        `given` are Arrow tables, whose columns must be the same for every ask.
        """

    def steady(self) -> AbstractContextManager[None]:
        """Keep the state as it is while questions that belong together are asked."""

    def draft(self) -> Draft:
        """Begin the next state; there is one draft at a time."""
