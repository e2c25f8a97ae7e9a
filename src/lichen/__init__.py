"""Lichen: data engineering and machine learning as one system."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lichen.api import auto, features, model, table
    from lichen.notebook.workspace import open_workspace as open  # noqa: A004 - never star-imported

__all__ = ["auto", "features", "model", "open", "table"]
__version__ = "0.1.0"

_LAZY = {  # a public name to the module that owns it, and its name there
    "auto": ("lichen.api", "auto"),
    "features": ("lichen.api", "features"),
    "model": ("lichen.api", "model"),
    "open": ("lichen.notebook.workspace", "open_workspace"),
    "table": ("lichen.api", "table"),
}


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use, so that `import lichen` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'lichen' has no attribute {name!r}")
    module, own = _LAZY[name]
    return getattr(import_module(module), own)
