"""A model: a target, some features, a metric, its guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from lichen.core.decorated import read_decorated
from lichen.core.errors import ModelError, Where, placed
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, line_of
from lichen.core.time import duration


@dataclass(frozen=True)
class Retrain:
    """When a model is due: any of an age, a number of new labels, a fall below the interval."""

    age: timedelta | None = None
    labels: int | None = None
    fall: bool = False

    @property
    def looks(self) -> bool:
        """Return whether it depends on how the model does, which has to be measured."""
        return self.fall or self.labels is not None


@dataclass(frozen=True)
class Model:
    """A model as its file's syntax tree declares it; the function is imported only to train."""

    kind: ClassVar[Kind] = Kind.model

    name: Name
    where: Where
    path: Path
    function: str
    target: Name
    features: tuple[Name, ...]
    metric: str
    slices: tuple[str, ...] = ()
    holdout: timedelta | float = 0.2
    retrain: Retrain = Retrain()
    margin: float = 0.0
    seed: int = 0
    positive: str | int | float | None = None
    lines: Lines = field(default_factory=dict, compare=False, repr=False)


def read_model(path: Path, name: Name) -> Model:
    """Read `models/NAME.py` by its syntax tree, without importing it."""
    found = read_decorated(path, "model", _ALLOWED, ModelError, _HINT)
    function, settings = found.function, found.settings
    # Features that are arguments stand where the function does.
    lines = {"$.features": function.lineno} | found.lines
    for key, value in settings.items():
        _refuse(key, value, Where(path, line_of(lines, f"$.{key}")))
    for key in ("target", "metric"):
        if key not in settings:
            raise ModelError(
                f'@model needs {key}="…"', where=Where(path, lines["$"]), allowed=_ALLOWED
            )
    written = settings.get("features", [argument.arg for argument in function.args.args])
    holdout = settings.get("holdout", 0.2)
    retrain = Where(path, line_of(lines, "$.retrain"))
    with placed(Where(path, line_of(lines, "$.holdout")), "holdout"):
        kept_out = duration(holdout) if isinstance(holdout, str) else float(holdout)
    with placed(retrain, "retrain"):
        when = _retrain(settings.get("retrain"), retrain)
    return Model(
        name=name,
        where=Where(path, function.lineno),
        path=path,
        function=function.name,
        target=Name(Kind.outcome, str(settings["target"]).removeprefix("outcomes.")),
        features=tuple(Name(Kind.features, f.removeprefix("features.")) for f in _texts(written)),
        metric=settings["metric"],
        slices=_texts(settings.get("slices", ())),
        holdout=kept_out,
        retrain=when,
        margin=float(settings.get("margin", 0.0)),
        seed=int(settings.get("seed", 0)),
        positive=settings.get("positive"),
        lines={**lines, "$": function.lineno},
    )


_SETTINGS: dict[str, tuple[type, ...]] = {
    "target": (str,), "metric": (str,), "positive": (str, int, float),
    "features": (str, list, tuple),
    "slices": (str, list, tuple), "holdout": (str, int, float), "retrain": (str, dict),
    "margin": (int, float), "seed": (int,),
}  # fmt: skip
_ALLOWED = tuple(_SETTINGS)
_HINT = (
    'write @model(target="OUTCOME", metric="roc_auc") above a function that returns auto(...) or a '
    "scikit-learn estimator"
)
_WORDS = {
    str: "a text", list: "a list", tuple: "a tuple", int: "a whole number", float: "a number",
    dict: "a dict",
}  # fmt: skip


def _refuse(key: str, value: object, where: Where) -> None:
    if key not in _SETTINGS:
        raise ModelError(f"unknown setting {key!r}", where=where, allowed=_ALLOWED, given=key)
    if not isinstance(value, _SETTINGS[key]):
        allowed = [_WORDS[type_] for type_ in _SETTINGS[key]]
        raise ModelError(f"{key} cannot be {value!r}", where=where, allowed=allowed)


def _texts(written: str | Sequence[object]) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(map(str, written))


def _retrain(written: object, where: Where) -> Retrain:
    if written is None:
        return Retrain()
    if isinstance(written, str):
        return Retrain(age=duration(written))
    if not isinstance(written, dict):
        raise ModelError("retrain is an age or a dict", where=where, allowed=_RETRAIN)
    for key in written:
        if key not in _RETRAIN:
            raise ModelError(
                f"retrain: unknown key {key!r}", where=where, allowed=_RETRAIN, given=str(key)
            )
    return Retrain(
        age=duration(written["age"]) if "age" in written else None,
        labels=int(written["labels"]) if "labels" in written else None,
        fall=bool(written.get("fall", False)),
    )


_RETRAIN = ("age", "labels", "fall")
