"""Which rows train and which judge; decided before anything is learned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lichen.core.errors import ModelError
from lichen.core.time import iso, short
from lichen.stages.models.data import TrainingSet, moment, utc

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FOLDS = 3


@dataclass(frozen=True)
class Split:
    """Training rows and holdout rows, and what was left out of both.

    `unlabelled` rows have no label known by `now`; `late` rows lie before the cutoff, but their
    label was not known by then.
    """

    training: TrainingSet
    holdout: TrainingSet
    cutoff: datetime | None
    unlabelled: int = 0
    late: int = 0


class Fold(NamedTuple):
    """Positions to fit on and positions to judge on."""

    fit: NDArray[np.intp]
    judge: NDArray[np.intp]


def split(data: TrainingSet, holdout: timedelta | float, now: datetime) -> Split:
    """Return the parts: by time for a duration, by key for a fraction. Raises ModelError."""
    labelled = _labelled(data, now)
    known = data.rows(labelled)
    unlabelled = int(len(data) - labelled.sum())
    if isinstance(holdout, timedelta):
        cutoff = now - holdout
        after, late = _by_time(known, cutoff)
    else:
        cutoff, after = None, held_out(known.key, holdout)
        late = np.zeros(len(known), dtype=bool)
    parts = Split(
        training=known.rows(~after & ~late),
        holdout=known.rows(after),
        cutoff=cutoff,
        unlabelled=unlabelled,
        late=int(late.sum()),
    )
    _check(parts, holdout)
    return parts


def held_out(keys: pd.Series[str], fraction: float) -> NDArray[np.bool_]:
    """Return which keys are held out: a function of the key alone, so no row ever moves.

    The hash knows nothing of the label, so that every class gives the same share, up to chance.
    """
    if not 0 < fraction < 1:
        raise ModelError(f"a holdout of {fraction} is no fraction", allowed=("0.2", "30 days"))
    return spread(keys, b"holdout") < fraction


def spread(keys: pd.Series[str], salt: bytes) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each key, fixed for good."""
    hashed = b"".join(
        hashlib.blake2b(str(key).encode(), digest_size=8, person=salt).digest() for key in keys
    )
    # 53 bits are what a float holds exactly
    return (np.frombuffer(hashed, dtype=">u8") >> np.uint64(11)).astype(np.float64) / 2.0**53


def folds(data: TrainingSet, label: NDArray[np.float64]) -> tuple[Fold, ...]:
    """Return validation folds: expanding over time, or by the key's hash without time."""
    by_time = () if data.at is None else _expanding(data)
    usable = tuple(fold for fold in by_time if _usable(fold, label))
    if usable:
        return usable
    return tuple(fold for fold in _hashed(data.key) if _usable(fold, label))


def thin(data: TrainingSet, limit: int) -> NDArray[np.intp]:
    """Return at most `limit` positions, evenly spread over time (or over the hash of the key)."""
    if data.at is None:
        order = np.argsort(spread(data.key, b"thin"), kind="stable")
        return np.sort(order[:limit])
    order = np.argsort(utc(data.at), kind="stable")
    if len(order) <= limit:
        return np.asarray(order)
    return np.asarray(order[np.linspace(0, len(order) - 1, limit).astype(np.intp)])


def _labelled(data: TrainingSet, now: datetime) -> NDArray[np.bool_]:
    present: NDArray[np.bool_] = data.label.notna().to_numpy(dtype=bool)
    if data.label_known_at is None:
        return present
    return present & (utc(data.label_known_at) <= moment(now))  # NaT compares as False


def _by_time(data: TrainingSet, cutoff: datetime) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if data.at is None:
        raise ModelError(
            "a holdout in days needs rows with a time",
            hint="declare `predict_at` in the outcome, or hold out a fraction such as 0.2",
        )
    after = utc(data.at) >= moment(cutoff)
    if data.label_known_at is None:
        return after, np.zeros(len(data), dtype=bool)
    return after, ~after & ~(utc(data.label_known_at) <= moment(cutoff))


def _check(parts: Split, holdout: timedelta | float) -> None:
    for name, part in (("training", parts.training), ("holdout", parts.holdout)):
        if not len(part):
            raise ModelError(
                f"no labelled row is left for the {name} part (holdout {_said(holdout)}, "
                f"cutoff {iso(parts.cutoff) if parts.cutoff else 'none'}, "
                f"{parts.unlabelled:,} rows without a known label)",
                hint="choose another `holdout`, or wait for labels; rows that arrive after their "
                "own `predict_at` are not asked: a source declares history with `backfill_until`",
            )


def _said(holdout: timedelta | float) -> str:
    return short(holdout) if isinstance(holdout, timedelta) else f"{holdout:g}"


def _expanding(data: TrainingSet) -> tuple[Fold, ...]:
    at = utc(data.at) if data.at is not None else np.array([], "datetime64[us]")
    known = at if data.label_known_at is None else utc(data.label_known_at)
    ordered = np.sort(at)
    # The first half only trains; the second half is judged in equal blocks.
    places = np.linspace(len(at) // 2, len(at) - 1, FOLDS + 1).astype(np.intp)
    edges = ordered[places]
    edges[-1] += np.timedelta64(1, "us")
    return tuple(
        Fold(
            np.flatnonzero((at < start) & (known <= start)),
            np.flatnonzero((at >= start) & (at < end)),
        )
        for start, end in pairwise(edges)
    )


def _hashed(keys: pd.Series[str]) -> tuple[Fold, ...]:
    number = np.floor(spread(keys, b"fold") * FOLDS)
    return tuple(
        Fold(np.flatnonzero(number != k), np.flatnonzero(number == k)) for k in range(FOLDS)
    )


def _usable(fold: Fold, label: NDArray[Any]) -> bool:
    return all(len(part) and len(np.unique(label[part])) > 1 for part in fold)
