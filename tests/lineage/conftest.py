"""The market, run twice, with predictions that were logged before and after the second run."""

from __future__ import annotations

import warnings
from datetime import datetime

import market
import pytest
from market import FIRST, SECOND, Market
from market_oracle import snapshot
from market_world import EARLY, LATE, World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = market.make(tmp_path_factory.mktemp("market"))
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
    with warnings.catch_warnings():  # of libraries among themselves: scikit-learn's of pandas'
        warnings.filterwarnings("ignore", message="The inplace keyword in DataFrame.drop")
        events = made.loop.run(now=now)
    for event in events:
        assert getattr(event.result, "error", None) is None, event
