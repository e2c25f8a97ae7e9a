"""Instants and durations; the clock is an argument everywhere else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lichen.core.errors import LichenError

Instant = datetime  # always aware, always UTC

_UNITS = {
    "s": "seconds", "sec": "seconds", "second": "seconds", "seconds": "seconds",
    "m": "minutes", "min": "minutes", "minute": "minutes", "minutes": "minutes",
    "h": "hours", "hour": "hours", "hours": "hours",
    "d": "days", "day": "days", "days": "days",
    "w": "weeks", "week": "weeks", "weeks": "weeks",
}  # fmt: skip
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$")


def instant(text: str | datetime) -> Instant:
    """Return the instant that an ISO 8601 text names; a text without offset is UTC.

    >>> instant("2013-12-01").isoformat()
    '2013-12-01T00:00:00+00:00'
    """
    try:
        value = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError as error:
        raise LichenError(
            f"{text!r} is not a time",
            allowed=("2013-12-01", "2013-12-01T06:30:00Z", "2013-12-01T01:30:00-05:00"),
        ) from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def duration(text: str) -> timedelta:
    """Return the length of time that a text such as '30 days' or '60s' names.

    >>> duration("2 hours")
    datetime.timedelta(seconds=7200)
    """
    match = _DURATION.match(text.lower())
    if not match or match[2] not in _UNITS:
        raise LichenError(
            f"{text!r} is not a duration",
            allowed=("90 seconds", "20 minutes", "6 hours", "30 days", "2 weeks"),
        )
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


def short(length: timedelta) -> str:
    """Return the shortest exact spelling, used in column names.

    >>> short(timedelta(hours=2)), short(timedelta(days=7)), short(timedelta(minutes=90))
    ('2h', '7d', '90m')
    """
    seconds = int(length.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def iso(moment: Instant) -> str:
    """Return the instant as ISO 8601 in UTC with a trailing Z.

    >>> iso(instant("2013-12-01"))
    '2013-12-01T00:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def wall() -> Instant:
    """Return the machine's time: for operations only, never for known-at."""
    return datetime.now(UTC)


class Span(NamedTuple):
    """A stretch of time: its begin belongs to it, its end does not."""

    begin: Instant | None
    end: Instant | None

    def words(self) -> str:
        """Return the stretch as a reader says it.

        >>> Span(instant("2020-01-01"), None).words()
        'from 2020-01-01T00:00:00Z on'
        """
        if self.begin is None or self.end is None:
            return f"before {iso(self.end)}" if self.end else f"from {_iso(self.begin)} on"
        return f"from {iso(self.begin)} to {iso(self.end)}"


def _iso(moment: Instant | None) -> str:
    return iso(moment) if moment else "the beginning"
