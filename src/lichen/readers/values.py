"""Values as JSON has them: whole numbers, numbers, texts, truth values, nothing."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from lichen.core.time import iso


def plain(value: Any) -> Any:
    """Return a value as JSON's own: times as ISO 8601 in UTC, what is no number as None.

    >>> from decimal import Decimal
    >>> plain(Decimal("12")), plain(Decimal("0.5")), plain(float("nan"))
    (12, 0.5, None)
    """
    match value:
        case datetime():
            return iso(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value
