"""Clients that are installed only by those who need them."""

from __future__ import annotations

import importlib
from typing import Any

from lichen.core.errors import LichenError


def needed(module: str, extra: str) -> Any:
    """Import a client's module; raises LichenError with what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # it is there, and lacks something of its own
        raise LichenError(
            f"the package {error.name!r} is not installed",
            hint=f'pip install "lichen[{extra}]"',
        ) from error
