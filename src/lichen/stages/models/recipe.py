"""How a model is to be found, when its function leaves that to Lichen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from lichen.core.errors import ModelError

CANDIDATES = ("lightgbm", "linear")


@dataclass(frozen=True)
class Auto:
    """A search over candidates; `budget` is wall-clock time for the search and the final fit."""

    budget: timedelta = timedelta(seconds=60)
    candidates: tuple[str, ...] = CANDIDATES
    trials: int | None = None

    def __post_init__(self) -> None:
        """Refuse a recipe that cannot be followed."""
        for name in self.candidates:
            if name not in CANDIDATES:
                raise ModelError(f"unknown candidate {name!r}", allowed=CANDIDATES, given=name)
        if not self.candidates:
            raise ModelError("auto needs at least one candidate", allowed=CANDIDATES)
        if self.budget <= timedelta(0):
            raise ModelError(f"a budget of {self.budget} leaves no time", allowed=("60s", "5 min"))
        if self.trials is not None and self.trials < 1:
            raise ModelError(f"{self.trials} trials find nothing", allowed=("1", "20", "None"))
