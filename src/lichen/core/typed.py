"""Plain values as what they say, from any thread."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# msgspec looks into a type when it first meets it, and crashes the process (0.22) if another
# thread meets the same type meanwhile.
_LOCK = threading.Lock()


def typed(value: Any, into: type[T]) -> T:
    """Convert builtins into a type; raises msgspec.ValidationError."""
    with _LOCK:
        return msgspec.convert(value, into)
