"""Errors that say what happened, where, what was allowed and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Where:
    """A place in a user's file; `line` counts from 1, and 0 means the whole file."""

    path: Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


class LichenError(Exception):
    """Every error that Lichen raises on purpose; its text is complete for a reader."""

    def __init__(
        self,
        what: str,
        *,
        where: Where | None = None,
        allowed: Iterable[str] = (),
        given: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.where, self.hint = what, where, hint
        self.allowed = tuple(allowed)
        self.given = given
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.allowed:
            lines.append(f"  allowed: {', '.join(self.allowed)}")
        if near := did_you_mean(self.given, self.allowed):
            lines.append(f"  did you mean {near!r}?")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class ProjectError(LichenError):
    """The project folder as a whole does not read."""


class SourceError(LichenError):
    """A source is declared wrongly or cannot be read."""


class SourceAway(SourceError):
    """A source cannot be reached now. It may be back soon: it is tried again, as `retries` says."""


class FileUnreadable(SourceError):
    """A file of a source cannot be read at all; the others of the source can."""


class TableError(LichenError):
    """A table or its contract is declared wrongly or cannot be built."""


class FeaturesError(LichenError):
    """A features definition cannot be used."""


class OutcomeError(LichenError):
    """An outcome definition cannot be used."""


class ModelError(LichenError):
    """A model is declared wrongly or cannot be trained."""


class ServiceError(LichenError):
    """A service is declared wrongly or cannot answer."""


class QuarantineError(LichenError):
    """What is asked of a quarantine cannot be done."""


class QueryError(LichenError):
    """A query cannot be read, or asks for what a query may not do."""


class LakeError(LichenError):
    """A stored table cannot be read or written."""


class LedgerError(LichenError):
    """The ledger cannot be read or written."""


@contextmanager
def placed(where: Where, what: str) -> Iterator[None]:
    """Let an error from inside that names no place name this one, and what stands there."""
    try:
        yield
    except LichenError as error:
        if error.where is not None:
            raise
        raise type(error)(
            f"{what}: {error.what}",
            where=where,
            allowed=error.allowed,
            given=error.given,
            hint=error.hint,
        ) from error


def did_you_mean(given: str | None, allowed: Iterable[str]) -> str | None:
    """Return the allowed word nearest to `given`, if one is near.

    >>> did_you_mean("departure_delai", ["departure_delay", "carrier"])
    'departure_delay'
    """
    if given is None:
        return None
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return near[0] if near and near[0] != given else None
