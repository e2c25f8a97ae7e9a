"""A trained model: what predicts, and how it is kept and checked."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from lichen.core.errors import ModelError
from lichen.ports.learner import Fitted
from lichen.stages.models.calibrate import Calibration
from lichen.stages.models.data import Class
from lichen.stages.models.encode import Column, Encoder, check_columns, encode
from lichen.stages.models.metric import Task

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LEAST = 1e-6  # no class is ruled out: what was never seen may come
MANIFEST = "model.json"
FORMAT = 1
OWN = "own"
_LIBRARIES = ("lichen", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops")


class Loader(Protocol):
    """What reads back what a fitted learner wrote."""

    def load(self, folder: Path) -> Fitted: ...


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `model.json` holds; `columns` is the signature of what the model is asked with."""

    format: int
    task: Task
    family: str
    columns: tuple[Column, ...]
    calibration: Calibration | None
    versions: dict[str, str]
    files: dict[str, str]
    classes: tuple[Class, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A model that answers; `family` is the candidate that won, or `own` for a user's estimator.

    `classes` are named where the label names them; of two the last one is yes.
    """

    task: Task
    family: str
    encoder: Encoder
    fitted: Fitted
    calibration: Calibration | None = None
    classes: tuple[Class, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns of training, ignored ones included."""
        return self.encoder.columns

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return for each row the probability of yes, those of the classes, or the value.

        Raises ModelError.
        """
        if not len(frame):
            return np.zeros((0, len(self.classes)) if self.task is Task.multiclass else 0)
        inputs = self._own(frame) if self.family == OWN else encode(self.encoder, frame)
        predicted = self.fitted.predict(inputs)
        if self.calibration is not None:
            predicted = self.calibration(predicted)
        if self.task is Task.multiclass:
            predicted = np.clip(predicted, LEAST, 1.0)
            return np.asarray(predicted / predicted.sum(axis=1, keepdims=True))
        return np.clip(predicted, 0.0, 1.0) if self.task is Task.binary else predicted

    def _own(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the columns and types of training, for a user's estimator."""
        names = [column.name for column in self.columns]
        check_columns(names, frame)
        chosen = frame[names]
        changed = {
            column.name: column.dtype
            for column in self.columns
            if str(chosen[column.name].dtype) != column.dtype
        }
        try:
            return chosen.astype(changed) if changed else chosen
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"the columns {', '.join(changed)} cannot be read as in training: {error}",
                allowed=[f"{name}: {dtype}" for name, dtype in changed.items()],
            ) from error


def save(trained: Trained, folder: Path) -> str:
    """Write the model into an empty or new folder; returns the SHA-256 of its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    trained.fitted.save(folder)
    manifest = Manifest(
        format=FORMAT,
        task=trained.task,
        family=trained.family,
        columns=trained.columns,
        calibration=trained.calibration,
        versions=versions(),
        files={path.name: _sha256(path) for path in sorted(folder.iterdir())},
        classes=trained.classes,
    )
    path = folder / MANIFEST
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return _sha256(path)


def load(folder: Path, loaders: Mapping[str, Loader], *, sha256: str | None = None) -> Trained:
    """Return the model that `save` wrote, or raise ModelError if a file is not what it was.

    `loaders` gives the learner of each family; `sha256` is what `save` returned.
    """
    manifest = _manifest(folder, sha256)
    for name, expected in manifest.files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != expected:
            raise ModelError(
                f"{folder / name} is not the file that was saved with this model",
                hint="restore the folder from a copy, or train the model again",
            )
    if manifest.family not in loaders:
        raise ModelError(
            f"{folder} holds a model of the family {manifest.family!r}",
            allowed=sorted(loaders),
            given=manifest.family,
        )
    _check_versions(manifest)
    return Trained(
        manifest.task,
        manifest.family,
        Encoder(columns=manifest.columns),
        loaders[manifest.family].load(folder),
        manifest.calibration,
        manifest.classes,
    )


def versions() -> dict[str, str]:
    """Return the versions of Python and of every library that has a part in a prediction."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def _manifest(folder: Path, sha256: str | None) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"there is no saved model in {folder}", hint="train it with `lichen run`")
    if sha256 is not None and _sha256(path) != sha256:
        raise ModelError(
            f"{path} is not the manifest that was saved with this model",
            hint="restore the folder from a copy, or train the model again",
        )
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path} does not read: {error}", hint="train the model again") from error
    if manifest.format != FORMAT:
        raise ModelError(f"{path} has the format {manifest.format}", allowed=(str(FORMAT),))
    return manifest


def _check_versions(manifest: Manifest) -> None:
    """Refuse a user's estimator of another scikit-learn: its insides change without notice."""
    then, now = manifest.versions.get("scikit-learn", ""), version("scikit-learn")
    if manifest.family == OWN and then.split(".")[:2] != now.split(".")[:2]:
        raise ModelError(
            f"this estimator was saved with scikit-learn {then}, and {now} is installed",
            hint="install that version, or train the model again",
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
