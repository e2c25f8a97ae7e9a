"""From a frame to numbers: what was learned about each column in training, and its use.

Numbers and booleans are taken as they are. Text becomes codes of the levels that were frequent in
training; a rare or a new level becomes "other", a missing one stays missing. A moment becomes its
hour of the day and its weekday in UTC: its position in time would only tell the rows of training
from all later ones. Everything else, a column with one value, and a column in which nearly every
row has a value of its own are ignored, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lichen.core.errors import ModelError
from lichen.ports.learner import Matrix

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MOST_LEVELS = 128
RARE = 10  # a level needs this many rows, and one row in RARE_SHARE
RARE_SHARE = 2000


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column as training saw it; `kind` is number, text, moment or ignored."""

    name: str
    dtype: str
    kind: str
    levels: tuple[str, ...] = ()
    why: str = ""


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that a model was trained on, in order."""

    columns: tuple[Column, ...]

    @property
    def ignored(self) -> dict[str, str]:
        """Return the columns that are not used, with the reason."""
        return {column.name: column.why for column in self.columns if column.kind == "ignored"}


def learn(frame: pd.DataFrame) -> Encoder:
    """Return what the columns of a training frame hold. Raises ModelError if none is usable."""
    encoder = Encoder(columns=tuple(_column(str(name), frame[name]) for name in frame.columns))
    if all(column.kind == "ignored" for column in encoder.columns):
        reasons = "; ".join(f"{name}: {why}" for name, why in encoder.ignored.items())
        raise ModelError(f"no column is usable ({reasons or 'there are none'})")
    return encoder


def encode(encoder: Encoder, frame: pd.DataFrame) -> Matrix:
    """Return a frame as numbers. Raises ModelError if a column of training is missing."""
    used = [column for column in encoder.columns if column.kind != "ignored"]
    check_columns([column.name for column in used], frame)
    names: list[str] = []
    levels: list[int] = []
    parts: list[NDArray[np.float64]] = []
    for column in used:
        for suffix, values in _encoded(column, frame[column.name]):
            names.append(column.name + suffix)
            levels.append(len(column.levels))
            parts.append(values)
    return Matrix(np.stack(parts, axis=1), tuple(names), tuple(levels))


def check_columns(needed: list[str], frame: pd.DataFrame) -> None:
    """Raise ModelError if a column that the model was trained on is not there."""
    present = set(frame.columns)
    for name in needed:
        if name not in present:
            raise ModelError(
                f"the model was trained with the column {name!r}, which is not there",
                allowed=[str(column) for column in frame.columns],
                given=name,
            )


def _column(name: str, values: pd.Series[Any]) -> Column:
    from pandas.api import types

    known = values.dropna()
    held = types.infer_dtype(known)
    dtype = str(values.dtype)
    if held not in (_TEXT | _NUMBERS | _MOMENTS | {"empty"}):
        return Column(name=name, dtype=dtype, kind="ignored", why=f"it holds {held} values")
    distinct = known.nunique()
    if distinct < 2 and len(known) in (0, len(values)):
        return Column(name=name, dtype=dtype, kind="ignored", why="it never varies")
    if held in _NUMBERS:
        return Column(name=name, dtype=dtype, kind="number")
    if held in _MOMENTS:
        return Column(name=name, dtype=dtype, kind="moment")
    if len(known) >= 50 and distinct > len(known) / 2:
        why = "nearly every row has a value of its own"
        return Column(name=name, dtype=dtype, kind="ignored", why=why)
    levels = _levels(known)
    if not levels:
        return Column(name=name, dtype=dtype, kind="ignored", why="no value is frequent")
    return Column(name=name, dtype=dtype, kind="text", levels=levels)


def _levels(known: pd.Series[Any]) -> tuple[str, ...]:
    counts = known.astype(object).map(str).value_counts()
    frequent = counts[counts >= max(min(RARE, len(known) / 20), len(known) / RARE_SHARE)]
    # equal counts in the order of their names: the order of the rows must not matter
    ranked = sorted(frequent.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple(sorted(str(level) for level, _ in ranked[:MOST_LEVELS]))


def _encoded(column: Column, values: pd.Series[Any]) -> list[tuple[str, NDArray[np.float64]]]:
    if column.kind == "number":
        return [("", _number(column, values))]
    if column.kind == "text":
        return [("", _code(column.levels, values))]
    return [*_clock(column, values)]


def _number(column: Column, values: pd.Series[Any]) -> NDArray[np.float64]:
    try:
        if values.dtype == object:
            return np.array([_float(value) for value in values.tolist()], dtype=np.float64)
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the column {column.name!r} was {column.dtype} in training and is {values.dtype} now",
            hint="send numbers, or null where there is none",
        ) from error


def _float(value: Any) -> float:
    if isinstance(value, str):
        raise ValueError(value)
    return float("nan") if value is None or value != value else float(value)


def _code(levels: tuple[str, ...], values: pd.Series[Any]) -> NDArray[np.float64]:
    codes = {level: float(code) for code, level in enumerate(levels)}
    other, missing = float(len(levels)), float("nan")
    listed = values.tolist()
    return np.array(
        [
            codes.get(v, other)
            if isinstance(v, str)
            else missing
            if v is None or v != v
            else codes.get(str(v), other)
            for v in listed
        ],
        dtype=np.float64,
    )


def _clock(column: Column, values: pd.Series[Any]) -> list[tuple[str, NDArray[np.float64]]]:
    import pandas as pd

    try:
        moments = pd.to_datetime(values, utc=True, format="ISO8601")
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the column {column.name!r} held moments in training; a value now is none",
            hint="send ISO 8601 texts such as 2013-12-01T06:30:00Z",
        ) from error
    hour = moments.dt.hour + moments.dt.minute / 60
    return [(".hour", _floats(hour)), (".weekday", _floats(moments.dt.day_of_week))]


def _floats(values: pd.Series[Any]) -> NDArray[np.float64]:
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "boolean"}
_TEXT = {"string", "categorical"}
_MOMENTS = {"datetime64", "datetime", "date"}
