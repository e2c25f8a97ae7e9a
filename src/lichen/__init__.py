"""Lichen: data engineering and machine learning as one system."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lichen.api import auto, model

__all__ = ["auto", "model"]
__version__ = "0.1.0"

_LAZY = {"auto": "lichen.api", "model": "lichen.api"}  # a public name to the module that owns it


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use, so that `import lichen` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'lichen' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
