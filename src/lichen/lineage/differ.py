"""Whether what is computed again equals what was logged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lichen.core.errors import LichenError
from lichen.core.time import instant
from lichen.lineage.origin import plain

CLOSE = 1e-9  # running totals over fewer rows round differently


def differences(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return where values that were logged differ from those computed again."""
    told = {name.lower(): value for name, value in then.items()}
    return [
        {"of": what, "column": name, "logged": told.get(name), "now": plain(now.get(name))}
        for name in dict.fromkeys((*told, *now))
        if name not in told or name not in now or not _equal(told[name], now[name])
    ]


def _equal(then: Any, now: Any) -> bool:
    if isinstance(now, float) and math.isnan(now):
        now = None
    if then is None or now is None:
        return then is None and now is None
    if isinstance(now, datetime) and isinstance(then, str):
        try:
            return instant(then) == instant(now)
        except LichenError:
            return False
    if isinstance(then, int | float) and not isinstance(now, str):
        try:
            return math.isclose(float(then), float(now), rel_tol=CLOSE, abs_tol=CLOSE)
        except (TypeError, ValueError):
            return False
    return bool(then == plain(now)) or str(then) == str(now)
