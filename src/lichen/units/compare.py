"""Expected rows against those that are there: which belong together, which differ. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

RELATIVE = 1e-9  # floats that differ by less than this part of themselves are equal
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A row that is missing, unexpected, or there with other values.

    `cells` has the expected and the found value; `rule` is the one that holds the row back.
    """

    kind: Literal["missing", "unexpected", "differs"]
    row: Values
    cells: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    rule: str | None = None


def differences(
    expected: Sequence[Values], found: Sequence[Values], key: Sequence[str] = ()
) -> tuple[Difference, ...]:
    """Return how rows differ from the expected ones, whatever their order.

    An expected row speaks of the columns that it names. Rows that differ are shown together where
    their `key` is equal, or else where more than half of what is expected is.

    >>> differences([{"k": 1, "v": 2}], [{"k": 1, "v": 3, "w": 0}], ["k"])[0].cells
    {'v': (2, 3)}
    """
    pairs = _paired(expected, found)
    left = [e for i, e in enumerate(expected) if i not in pairs]
    over = [f for j, f in enumerate(found) if j not in pairs.values()]
    shown = tuple(dict.fromkeys(name for row in expected for name in row))
    told = []
    for row in left:
        near = _nearest(row, over, key)
        if near is None:
            told.append(Difference("missing", row))
            continue
        over = [each for each in over if each is not near]
        told.append(Difference("differs", _same_part(row, near, key), cells_of(row, near)))
    told += [Difference("unexpected", _told(row, shown)) for row in over]
    return tuple(told)


def cells_of(expected: Values, found: Values) -> dict[str, tuple[Any, Any]]:
    """Return the expected and the found value of each column in which they differ."""
    return {n: (v, found[n]) for n, v in expected.items() if not equal(v, found[n])}


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same, floats but for the last digits.

    >>> equal(0.1 + 0.2, 0.3), equal(None, 0), equal([1.0], [1])
    (True, False, True)
    """
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-12)
    return bool(one == other)


def _paired(expected: Sequence[Values], found: Sequence[Values]) -> dict[int, int]:
    """Return the greatest pairing of expected rows with equal ones that are there.

    Rows that name few columns may fit many: a row that is taken is given up where the one that
    took it fits another.
    """
    fits = [[j for j, f in enumerate(found) if not cells_of(e, f)] for e in expected]
    taken: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in fits[i]:
            if j not in tried:
                tried.add(j)
                if j not in taken or place(taken[j], tried):
                    taken[j] = i
                    return True
        return False

    for i in range(len(expected)):
        place(i, set())
    return {i: j for j, i in taken.items()}


def _nearest(row: Values, others: Sequence[Values], key: Sequence[str]) -> Values | None:
    if key and set(key) <= set(row):
        same = [o for o in others if all(equal(row[k], o[k]) for k in key)]
        return same[0] if same else None
    score = {id(o): len(row) - len(cells_of(row, o)) for o in others}
    best = max(others, key=lambda o: score[id(o)], default=None)
    return best if best is not None and 2 * score[id(best)] > len(row) else None


def _told(row: Values, shown: Sequence[str]) -> Values:
    """Return the columns that are spoken of, or else those that hold something."""
    return {n: v for n, v in row.items() if (n in shown if shown else v is not None)}


def _same_part(row: Values, near: Values, key: Sequence[str]) -> Values:
    wrong = cells_of(row, near)
    same = {n: v for n, v in row.items() if n not in wrong}
    told = {n: same[n] for n in key if n in same}
    return told or same
