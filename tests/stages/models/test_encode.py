"""Columns become numbers as training saw them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lichen.core.errors import ModelError
from lichen.stages.models.encode import Encoder, encode, learn

T0 = pd.Timestamp("2013-06-03T06:30:00Z")  # a Monday


def _learned(values: Any, name: str = "a__x") -> tuple[Encoder, str, str]:
    filler = pd.DataFrame({"a__fill": np.arange(len(values))})
    encoder = learn(filler.assign(**{name: values}))
    return encoder, encoder.columns[1].kind, encoder.columns[1].why


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([1, 2] * 30, "number", ""),
        ([1.5, None] * 30, "number", ""),
        (pd.array([1, None] * 30, dtype="Int64"), "number", ""),
        (pd.array([True, None] * 30, dtype="boolean"), "number", ""),
        ([True, False] * 30, "number", ""),
        (["a", "b", None] * 20, "text", ""),
        (pd.Categorical(["a", "b"] * 30), "text", ""),
        ([T0, T0 + pd.Timedelta(hours=1)] * 30, "moment", ""),
        ([5] * 60, "ignored", "never varies"),
        ([None] * 60, "ignored", "never varies"),
        ([f"id{i}" for i in range(60)], "ignored", "value of its own"),
        ([["list"], ["of"]] * 30, "ignored", "mixed values"),
    ],
)
def test_the_kind_of_a_column(values: Any, kind: str, why: str) -> None:
    _, found, reason = _learned(pd.Series(values))
    assert found == kind
    assert why in reason


def test_levels_are_those_of_training() -> None:
    encoder, _, _ = _learned(pd.Series(["x"] * 40 + ["y"] * 30 + ["rare"] * 2 + [None] * 8))
    asked = pd.DataFrame({"a__fill": 0, "a__x": ["x", "y", "rare", "new", None, math.nan]})
    codes = encode(encoder, asked).values[:, 1]
    assert codes[:4].tolist() == [0.0, 1.0, 2.0, 2.0]  # rare and new are "other"
    assert np.isnan(codes[4:]).all()


def test_many_values_are_capped_at_the_frequent_ones() -> None:
    random = np.random.default_rng(0)
    tails = pd.Series([f"N{i}" for i in random.integers(0, 800, 20_000)])
    encoder, kind, _ = _learned(tails)
    assert kind == "text"
    assert len(encoder.columns[1].levels) == 128
    shuffled = tails.iloc[random.permutation(20_000)].reset_index(drop=True)
    assert _learned(shuffled)[0] == encoder  # the order of the rows does not matter


def test_a_moment_becomes_hour_and_weekday() -> None:
    encoder, _, _ = _learned(pd.Series([T0, T0 + pd.Timedelta(days=1)] * 30))
    for asked in ([T0], ["2013-06-03T02:30:00-04:00"]):
        matrix = encode(encoder, pd.DataFrame({"a__fill": [1], "a__x": asked}))
        assert matrix.names == ("a__fill", "a__x.hour", "a__x.weekday")
        assert matrix.values[0].tolist() == [1.0, 6.5, 0.0]


def test_a_row_of_json_types_equals_a_row_of_the_frame() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.0] * 30, "b": ["x", "y"] * 30, "c": [True, False] * 30})
    encoder = learn(frame)
    asked = pd.DataFrame([{"a": 2, "b": "y", "c": False}], dtype=object)
    assert (encode(encoder, asked).values == encode(encoder, frame.iloc[1:2]).values).all()


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"a__xx": ["x"], "a__fill": [1]}), "did you mean 'a__xx'"),
        (pd.DataFrame({"a__x": ["x"], "a__fill": ["one"]}), "'a__fill' was int64 in training"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame: pd.DataFrame, says: str) -> None:
    encoder, _, _ = _learned(pd.Series(["x", "y"] * 30))
    with pytest.raises(ModelError, match=says):
        encode(encoder, frame)


def test_nothing_usable_is_refused_with_the_reasons() -> None:
    with pytest.raises(ModelError, match="a: it never varies"):
        learn(pd.DataFrame({"a": [1] * 20}))
