"""Digests: of texts, and of what a node means. They know no SQL; `core.fingerprint` does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NORMALISER = "1"  # raise it when the same definition begins to give another fingerprint


@dataclass(frozen=True)
class Print:
    """Fingerprints of a node: which rows it has, and what each column means in them."""

    rows: str
    columns: Mapping[str, str]

    def whole(self) -> str:
        """Return one fingerprint of the node, the order of its columns included."""
        return digest(self.rows, *(f"{name}={value}" for name, value in self.columns.items()))

    def of(self, columns: Iterable[str]) -> str:
        """Return the fingerprint of what a reader of these columns sees."""
        return digest(self.rows, *(f"{c}={self.columns[c]}" for c in sorted(columns)))


def digest(*parts: str) -> str:
    """Return a short stable hash of texts.

    >>> digest("a", "b") != digest("ab")
    True
    """
    return hashlib.sha256("\x1f".join((NORMALISER, *parts)).encode()).hexdigest()[:20]
