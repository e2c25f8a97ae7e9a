"""Secrets are referred to, never written out: `env:NAME`, `file:PATH`, or a name of the target."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from lichen.core.errors import LichenError

_OUTRIGHT = re.compile(r"(env|file):(\S.*)")
_NAMED = re.compile(r"secret:(\w+)")
ALLOWED = ("env:VARIABLE", "file:PATH", "secret:NAME (one of the target's, in lichen.yml)")


def refers(text: str) -> bool:
    """Return whether a text only says where a secret is kept.

    >>> refers("env:DB_PASSWORD"), refers("file:~/.db"), refers("secret:db"), refers("hunter2")
    (True, True, True, False)
    """
    return bool(_OUTRIGHT.fullmatch(text) or _NAMED.fullmatch(text))


def outright(text: str) -> bool:
    """Return whether a text says so by itself, without a target."""
    return bool(_OUTRIGHT.fullmatch(text))


def resolved(reference: str, root: Path, named: Mapping[str, str]) -> str:
    """Return what a reference refers to; no error ever tells what that is."""
    if found := _NAMED.fullmatch(reference):
        if found[1] not in named:
            raise LichenError(
                f"this target has no secret {found[1]!r}", allowed=sorted(named), given=found[1]
            )
        reference = named[found[1]]
    kind, _, rest = reference.partition(":")
    if kind == "env":
        if rest not in os.environ:
            what = f"a secret is to be in the environment variable {rest}, which is not set"
            raise LichenError(what)
        return os.environ[rest]
    try:
        return (root / Path(rest).expanduser()).read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise LichenError(
            f"a secret is to be in the file {rest}, which cannot be read", hint=error.strerror
        ) from None
