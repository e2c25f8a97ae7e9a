"""What clients send, read into values; every mistake says what, where, what is allowed. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lichen.core.errors import LichenError, ServiceError, did_you_mean
from lichen.core.time import Instant, instant
from lichen.core.versions import NOTHING, SEPARATOR

MOST = 10_000  # instances or outcomes in one request


class Malformed(ServiceError):
    """A request that cannot be read; `path` says where, as a JSON path."""

    def __init__(
        self,
        what: str,
        path: str,
        *,
        allowed: Iterable[str] = (),
        given: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, allowed=allowed, given=given, hint=hint)
        self.path = path


@dataclass(frozen=True)
class Asked:
    """One instance: a key, or a whole row (then the key only names it, if it is in the row).

    `path` is its place in the request.
    """

    at: Instant
    key: str | None
    row: Mapping[str, Any] | None = None
    path: str = "$"


@dataclass(frozen=True)
class Told:
    """One outcome: what turned out for a key, or for a prediction; `path` is its place."""

    key: str | None
    prediction_id: str | None
    label: float | str
    known_at: Instant
    path: str = "$"


@dataclass(frozen=True)
class Shape:
    """What a row may hold: the outcome's `key`, all `columns`, and those that are `needed`."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    needed: tuple[str, ...]


def read_instances(body: bytes, shape: Shape, now: Instant) -> list[Asked]:
    """Return the instances of a prediction request: a list of them, or one object."""
    return [_instance(v, path, shape, now) for v, path in _items(body, "instances")]


def read_outcomes(body: bytes, now: Instant) -> list[Told]:
    """Return the outcomes of a request: a list of them, or one object."""
    return [_outcome(value, path, now) for value, path in _items(body, "outcomes")]


def as_json(error: LichenError) -> dict[str, Any]:
    """Return an error for a client: nothing of the machine that it happened on."""
    told = {
        "what": error.what,
        "path": getattr(error, "path", None),
        "allowed": list(error.allowed),
        "did_you_mean": did_you_mean(error.given, error.allowed),
        "next": error.hint,
    }
    return {key: value for key, value in told.items() if value not in (None, [])}


def _items(body: bytes, name: str) -> list[tuple[Any, str]]:
    try:
        whole = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Malformed(
            f"the body is not JSON: {error}", "$", allowed=[f'{{"{name}": […]}}']
        ) from (error)
    if not isinstance(whole, dict):
        raise Malformed("the body is not an object", "$", allowed=[f'{{"{name}": […]}}'])
    if name not in whole:
        return [(whole, "$")]
    _refuse_unknown(whole, (name,), "$")
    listed = whole[name]
    if not isinstance(listed, list):
        raise Malformed(f"{name} is not a list", f"$.{name}", allowed=["a list of objects"])
    if len(listed) > MOST:
        raise Malformed(
            f"{len(listed):,} {name} are too many for one request",
            f"$.{name}",
            hint=f"send at most {MOST:,} at a time",
        )
    return [(value, f"$.{name}[{index}]") for index, value in enumerate(listed)]


def _instance(value: Any, path: str, shape: Shape, now: Instant) -> Asked:
    _refuse_unknown(value, ("key", "row", "at"), path)
    at = _moment(value.get("at"), f"{path}.at", now)
    if ("key" in value) == ("row" in value):
        raise Malformed(
            "an instance has either a key or a row", path, allowed=["key", "row"], given=None
        )
    if "key" in value and not shape.key:
        raise Malformed(
            "these rows have no key", f"{path}.key", allowed=["row"], hint="send the whole row"
        )
    if "key" in value:
        return Asked(at, _key(value["key"], f"{path}.key", shape.key), path=path)
    row, place = value["row"], f"{path}.row"
    _refuse_unknown(row, shape.columns, place)
    for name in shape.needed:
        if name not in row:
            raise Malformed(
                f"the column {name!r} is missing", place, allowed=shape.columns, given=None
            )
    named = [row.get(name) for name in shape.key]
    key = joined(named) if named and all(part is not None for part in named) else None
    return Asked(at, key, row, path)


def _outcome(value: Any, path: str, now: Instant) -> Told:
    _refuse_unknown(value, ("key", "prediction_id", "label", "known_at"), path)
    id_ = value.get("prediction_id")
    if id_ is not None and not isinstance(id_, str):
        raise Malformed("a prediction_id is a text", f"{path}.prediction_id")
    key = _key(value["key"], f"{path}.key", None) if value.get("key") is not None else None
    if key is None and id_ is None:
        raise Malformed("an outcome says what it is about", path, allowed=["key", "prediction_id"])
    if "label" not in value:
        raise Malformed("the label is missing", path, allowed=["label"])
    known_at = _moment(value.get("known_at"), f"{path}.known_at", now)
    return Told(key, id_, _label(value["label"], f"{path}.label"), known_at, path)


def _label(label: Any, path: str) -> float | str:
    if isinstance(label, str) and label:
        return label
    if not isinstance(label, bool | int | float) or not math.isfinite(label):
        raise Malformed(
            f"{label!r} is not a label",
            path,
            allowed=["true", "false", "a number", "the name of a class"],
        )
    return float(label)


def of_the_kind(told: Told, classes: Sequence[str | int]) -> Told:
    """Return what was told as the kind of label that a model of these classes knows.

    Raises Malformed for a text where there are no named classes, and for what names none. A class
    that the model does not know yet is taken: it may be new.
    """
    label, path = told.label, f"{told.path}.label"
    texts = any(isinstance(name, str) for name in classes)
    if isinstance(label, str) and not texts:
        allowed = [str(name) for name in classes] or ["true", "false", "a number"]
        if label not in allowed or not classes:
            raise Malformed(f"{label!r} is not a label", path, allowed=allowed, given=label)
        return dataclasses.replace(told, label=float(label))
    if isinstance(label, float) and texts:
        allowed = [str(name) for name in classes]
        raise Malformed(f"{label:g} names no class", path, allowed=allowed)
    return told


def _refuse_unknown(value: Any, allowed: Sequence[str], path: str) -> None:
    if not isinstance(value, dict):
        raise Malformed("this is not an object", path, allowed=allowed)
    for name in value:
        if name not in allowed:
            raise Malformed(f"there is no {name!r} here", path, allowed=allowed, given=name)


def _moment(value: Any, path: str, now: Instant) -> Instant:
    if value is None:
        return now
    if not isinstance(value, str):
        raise Malformed(f"{value!r} is not a time", path, allowed=["2013-12-01T06:30:00Z"])
    try:
        return instant(value)
    except LichenError as error:
        raise Malformed(error.what, path, allowed=error.allowed) from error


def _key(value: Any, path: str, names: tuple[str, ...] | None) -> str:
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(p, str | int) and not isinstance(p, bool) for p in parts) or not parts:
        raise Malformed("a key is a text, a whole number, or a list of them", path)
    if names is not None and len(parts) > 1 and len(parts) != len(names):
        raise Malformed(
            f"the key has {len(names)} part{'s' if len(names) > 1 else ''}", path, allowed=names
        )
    return joined(parts)


def joined(parts: Sequence[Any]) -> str:
    """Return the stored text of a key's parts.

    >>> joined(["EWR", 7]) == "EWR" + chr(31) + "7"
    True
    """
    return chr(SEPARATOR).join(chr(NOTHING) if p is None else str(p) for p in parts)
