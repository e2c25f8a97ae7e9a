"""Sizes as people write them."""

from __future__ import annotations

import re

from lichen.core.errors import LichenError

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(KB|MB|GB)")
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def size(text: str) -> int:
    """Return a size in bytes; raises LichenError where it is none.

    >>> size("64 MB"), size("1.5GB")
    (64000000, 1500000000)
    """
    found = _SIZE.fullmatch(text)
    if found is None or not float(found[1]):
        raise LichenError(f"{text!r} is no size", allowed=("such as 500 KB, 64 MB, 1 GB",))
    return int(float(found[1]) * _BYTES[found[2]])
