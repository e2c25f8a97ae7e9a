"""How an error reaches the user: its text, or one object with --json; a traceback on request."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lichen.core.errors import LichenError, did_you_mean


def tell(error: Exception, words: Sequence[str]) -> None:
    """Print an error: to stderr as text, or to stdout as `{"error": …}` with --json."""
    if "--debug" in words:
        traceback.print_exception(error, file=sys.stderr)
    if "--json" in words:
        print(json.dumps({"error": as_json(error)}, ensure_ascii=False))
    elif isinstance(error, LichenError):
        print(nearby(str(error)), file=sys.stderr)
    else:
        what = str(error).partition("\n")[0]
        print(f"unexpected {type(error).__name__}: {what}", file=sys.stderr)
        if "--debug" not in words:
            print("  next: run again with --debug to see where", file=sys.stderr)


def as_json(error: Exception) -> dict[str, Any]:
    """Return the stable shape of an error: what, where, allowed, did_you_mean, next."""
    if not isinstance(error, LichenError):
        what = f"unexpected {type(error).__name__}: {error}"
        hint = "run again with --debug to see where"
        return {"what": what, "where": None, "allowed": [], "did_you_mean": None, "next": hint}
    place = error.where
    return {
        "what": error.what,
        "where": {"file": nearby(str(place.path)), "line": place.line or None} if place else None,
        "allowed": list(error.allowed),
        "did_you_mean": did_you_mean(error.given, error.allowed),
        "next": error.hint,
    }


def nearby(text: str) -> str:
    """Return the text with the paths below the working folder made relative to it."""
    return text.replace(f"{Path.cwd()}{os.sep}", "")
