"""Trying again what failed outside: an exchange that is down for a minute is no finding."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

FIRST, MOST = 0.5, 30.0  # seconds


def waits(retries: int, chance: Callable[[], float]) -> Iterator[float]:
    """Yield how long to wait before each further attempt: twice as long each time, jittered.

    Many who failed together would else come back together.

    >>> [round(wait, 2) for wait in waits(3, lambda: 0.5)]
    [0.38, 0.75, 1.5]
    """
    for nth in range(retries):
        yield min(FIRST * 2**nth, MOST) * (0.5 + chance() / 2)


def attempted(
    what: Callable[[], T],
    retries: int,
    worth: Callable[[Exception], bool],
    *,
    wait: Callable[[float], None] | None = None,
    chance: Callable[[], float] = random.random,
) -> T:
    """Return what a call gives, made again up to so many times where its error is `worth` it."""
    for seconds in waits(retries, chance):
        try:
            return what()
        except Exception as error:
            if not worth(error):
                raise
        (wait or time.sleep)(seconds)
    return what()
