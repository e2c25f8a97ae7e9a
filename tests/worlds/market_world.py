"""The market as it was run: its files at each landing, and predictions as they were logged."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import market
from market import FIRST, SECOND, Market
from market_oracle import Answer, Oracle, snapshot

from lichen.lineage.origin import Origin
from lichen.lineage.why import why
from lichen.loop import Loop


@dataclass(frozen=True)
class Asked:
    """A prediction that was logged: what was asked when, of which publication."""

    id: str
    key: str
    at: datetime
    publication: int


@dataclass(frozen=True)
class World:
    """The market as it was run, and the oracle that knows its files."""

    market: Market
    loop: Loop
    landings: tuple[tuple[datetime, Any], ...]
    asked: dict[str, Origin] = field(default_factory=dict)

    def oracle(self, publication: int) -> Oracle:
        return Oracle(self.landings, publication)

    def answer(self, asked: Asked) -> Answer:
        return self.oracle(asked.publication).answer(asked.key, asked.at)

    def why(self, id_: str) -> Origin:
        """Return where a prediction came from; each is asked for once."""
        if id_ not in self.asked:
            self.asked[id_] = why(self.loop, f"predictions.fined:{id_}")
        return self.asked[id_]

    def log(self, *questions: Asked, **changed: Any) -> None:
        """Log what the oracle answers, with features changed where a test says so."""
        self.market.log(*(line(each, self.answer(each), changed) for each in questions))


def line(asked: Asked, answer: Answer, changed: Mapping[str, Any]) -> dict[str, Any]:

    return {
        "prediction_id": asked.id,
        "model": "models.fined",
        "model_version": 1,
        "publication": asked.publication,
        "key": asked.key,
        "at": asked.at.isoformat().replace("+00:00", "Z"),
        "value": 1.0,
        "probability": 0.75,
        "request": json.dumps(answer.request),
        "features": json.dumps({**answer.features, **changed}),
    }


EARLY = tuple(
    Asked(f"early-{key}", key, at, 1)
    for key, at in (
        ("o30", datetime.fromisoformat("2020-02-06T00:00Z")),
        ("o60", datetime.fromisoformat("2020-02-20T13:00Z")),
        ("o70", datetime.fromisoformat("2020-03-02T00:00Z")),
    )
)
LATE = tuple(
    Asked(f"late-{key}-{at:%m%d}", key, at, 2)
    for key, at in (
        ("o30", datetime.fromisoformat("2020-02-06T00:00Z")),
        ("o33", datetime.fromisoformat("2020-03-10T12:00Z")),
        ("o30", datetime.fromisoformat("2020-03-10T00:00Z")),
        ("o300", datetime.fromisoformat("2020-03-10T00:00Z")),
        ("o405", datetime.fromisoformat("2020-03-10T05:00Z")),
    )
)


@cache
def the_market() -> World:
    """Return the market, run twice, with predictions logged before and after the second run."""
    folder = Path(tempfile.mkdtemp(prefix="market-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = market.make(folder)
    landings = [(FIRST, snapshot(made.root / "feeds"))]
    _run(made, FIRST)
    before = World(made, made.loop, tuple(landings))
    before.log(*EARLY)  # the second run drains these
    market.grow(made)
    landings.append((SECOND, snapshot(made.root / "feeds")))
    _run(made, SECOND)
    after = World(made, made.loop, tuple(landings))
    after.log(*LATE)
    return after


def _run(made: Market, now: datetime) -> None:
    with warnings.catch_warnings():  # DuckDB's use of pandas, not ours
        warnings.filterwarnings("ignore", message="The inplace keyword in DataFrame.drop")
        events = made.loop.run(now=now)
    for event in events:
        assert getattr(event.result, "error", None) is None, event
