"""What is measured, as values: an area lists cases, a case is the same work done by several."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

LICHEN = "lichen"  # the environment that runs the harness
Value = float | int | str | bool | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Side:
    """One way to do a case's work: a command, and the environment that runs it.

    The command's first word is a program of the environment. `{data}` stands for the case's folder,
    `{here}` for that of the area's scripts. What it prints last may be one JSON object: figures.
    """

    name: str
    command: tuple[str, ...]
    env: str = LICHEN  # or the name of a file in peers/
    folder: str = "{data}"  # where it runs
    shows: str = ""  # the distribution whose version is shown; "" is the side's name
    once: bool = False  # too slow to repeat: measured in the first round only


@dataclass(frozen=True)
class Figure:
    """A number of a run: `wall`, `cpu` (both s), `peak` (MB), or one that the command printed.

    `goal` is `value ≤ N`, or `ratio ≤ N` for Lichen's value through the peer's. `scale` multiplies
    what was measured; `peers` says which sides it is compared with (None is all the others).
    """

    of: str
    title: str
    unit: str
    goal: str | None = None
    side: str = LICHEN
    peers: tuple[str, ...] | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    """The same work done by several sides; Lichen's comes first.

    `setup` runs once and prepares `{data}`. `same` names printed values on which all sides have to
    agree, since else they did not do the same. `warmup` rounds are not counted, `repeat` are.
    """

    name: str
    what: str
    sides: tuple[Side, ...]
    figures: tuple[Figure, ...]
    warmup: int
    repeat: int
    setup: tuple[Side, ...] = ()
    same: tuple[str, ...] = ()


class Area(NamedTuple):
    """Cases that are reported together, and the folder of their scripts."""

    name: str
    here: Path
    cases: tuple[Case, ...]


Runs = Mapping[str, Sequence[Mapping[str, object]]]  # by side, one mapping of figures for each run


class Disagreement(Exception):
    """Sides that should have done the same work came to different results."""


def rows(case: Case, runs: Runs, versions: Mapping[str, str]) -> list[Row]:
    """Return the case's figures: medians, and how they compare with each peer's.

    Raises Disagreement where the sides' results differ.
    """
    refuse_differences(case, runs)
    found: list[Row] = []
    for figure in case.figures:
        peers = figure.peers
        if peers is None:
            peers = tuple(s.name for s in case.sides if s.name != figure.side)
        value = middle(runs[figure.side], figure)
        for peer in peers or ("",):
            other = middle(runs[peer], figure) if peer else None
            ratio = value / other if other else None
            found.append(
                {
                    "name": f"{case.name}: {figure.title}",
                    "value": _short(value),
                    "unit": figure.unit,
                    "peer": f"{peer} {versions.get(peer, '')}".strip() or None,
                    "peer_value": _short(other),
                    "ratio": _short(ratio),
                    "goal": figure.goal,
                    "holds": holds(figure.goal, value, ratio),
                }
            )
    return found


def middle(runs: Sequence[Mapping[str, object]], figure: Figure) -> float:
    """Return the median of a figure over the runs of one side."""
    return float(median(float(str(run[figure.of])) for run in runs)) * figure.scale


def holds(goal: str | None, value: float, ratio: float | None) -> bool | None:
    """Return whether a goal is reached; None where there is none.

    >>> holds("ratio ≤ .5", 3.0, 0.4), holds("value ≤ 0.35", 0.4, None), holds(None, 1.0, 1.0)
    (True, False, None)
    """
    if goal is None:
        return None
    read = re.fullmatch(r"(value|ratio) ≤ (\d*\.?\d+)", goal)
    if read is None:
        raise ValueError(f"a goal is 'value ≤ N' or 'ratio ≤ N', not {goal!r}")
    measured = value if read[1] == "value" else ratio
    if measured is None:
        raise ValueError(f"the goal {goal!r} needs a peer")
    return measured <= float(read[2])


def refuse_differences(case: Case, runs: Runs) -> None:
    """Raise Disagreement where the sides did not all print the same under the names of `same`."""
    for name in case.same:
        printed = {side: run[name] for side, found in runs.items() for run in found if name in run}
        if len({json.dumps(value, sort_keys=True) for value in printed.values()}) > 1:
            raise Disagreement(f"{case.name}: the sides differ in {name}: {printed}")


def _short(value: float | None) -> float | None:
    """Return four significant digits: more would claim what was not measured."""
    return None if value is None else float(f"{value:.4g}")
