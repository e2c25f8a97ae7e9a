"""Follow the sources: run again and again, over connections that stay open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event as Stop

from lichen.core.errors import LedgerError, LichenError
from lichen.loop import Event, Loop, Report

Told = Callable[[Sequence[Event], LichenError | None], None]


def watch(
    loop: Loop, nodes: Sequence[str], every: float, stop: Stop, report: Report, told: Told
) -> None:
    """Run again and again until `stop`, waiting `every` so many seconds where nothing is new.

    Each run is one like any other: with a time of its own, and published whole. While there is
    more to land the next one follows at once. Where another run holds the lease, or the project
    cannot be read by a run, that is told and tried again; a source that fails does not stop the
    others.
    """
    with loop.connected():
        while not stop.is_set():
            events, trouble = _once(loop, nodes, report)
            told(events, trouble)
            if not any(landed(event) for event in events):
                stop.wait(every)


def _once(
    loop: Loop, nodes: Sequence[str], report: Report
) -> tuple[tuple[Event, ...], LichenError | None]:
    try:
        return loop.run(*nodes, report=report), None
    except LedgerError as error:
        return (), error


def landed(event: Event) -> bool:
    """Return whether a step brought rows."""
    return bool(getattr(event.result, "facts", {}).get("added"))
