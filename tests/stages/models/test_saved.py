"""A saved model answers as before, holds nothing that runs on reading, and shows tampering."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lichen.adapters.optuna import Tpe
from lichen.adapters.sklearn import Sklearn
from lichen.core.errors import ModelError
from lichen.ports.learner import Learner
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.metric import METRICS, Task
from lichen.stages.models.recipe import Auto
from lichen.stages.models.train import train_auto, train_own
from lichen.stages.models.trained import MANIFEST, Loader, Trained, load, save

Rows = Callable[..., TrainingSet]
Learners = Mapping[str, Learner]
Loaders = Mapping[str, Loader]


def _auto(data: TrainingSet, learners: Learners, name: str, metric: str = "roc_auc") -> Trained:
    recipe = Auto(budget=timedelta(minutes=5), candidates=(name,), trials=1)
    return train_auto(data, recipe, METRICS[metric], learners, Tpe).trained


def _own(data: TrainingSet, model: Any) -> Trained:
    flat = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["a__place"]), ("passthrough", ["b__flag"])
    )
    pipeline = make_pipeline(flat, model)
    return train_own(data, pipeline, METRICS["roc_auc"], Sklearn()).trained


@pytest.mark.parametrize("name", ["lightgbm", "linear"])
@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_auto_models_come_back_the_same(
    rows: Rows, learners: Learners, loaders: Loaders, tmp_path: Path, name: str, metric: str
) -> None:
    data = rows(1200, METRICS[metric].task)
    trained = _auto(data, learners, name, metric)
    digest = save(trained, tmp_path / "m")
    back = load(tmp_path / "m", loaders, sha256=digest)
    gap = np.abs(back.predict(data.frame) - trained.predict(data.frame))
    assert gap.max() <= 1e-12
    assert back.columns == trained.columns
    assert back.calibration == trained.calibration


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_own_models_come_back_the_same(
    rows: Rows, loaders: Loaders, tmp_path: Path, model: Any
) -> None:
    data = rows(300)
    if isinstance(model, HistGradientBoostingClassifier):
        frame = data.frame[["a__number", "b__flag"]]
        data = TrainingSet(frame, data.label, data.key, data.at, data.group, data.label_known_at)
        trained = train_own(data, model, METRICS["roc_auc"], Sklearn()).trained
    else:
        trained = _own(data, model)
    save(trained, tmp_path)
    back = load(tmp_path, loaders)
    assert np.abs(back.predict(data.frame) - trained.predict(data.frame)).max() <= 1e-12


def test_nothing_in_the_folder_is_a_pickle(rows: Rows, learners: Learners, tmp_path: Path) -> None:
    data = rows(400)
    models = {name: _auto(data, learners, name) for name in ("lightgbm", "linear")}
    models["own"] = _own(data, RandomForestClassifier(3))
    for name, trained in models.items():
        save(trained, tmp_path / name)
    contents = [
        content for path in tmp_path.rglob("*") if path.is_file() for content in _contents(path)
    ]
    assert len(contents) > 8
    # protocol 2 and later opens with \x80; numpy says in the header that a pickle follows
    assert not [c for c in contents if c[:1] == b"\x80" or b"'descr': '|O'" in c[:200]]


def _contents(path: Path) -> list[bytes]:
    if not zipfile.is_zipfile(path):
        return [path.read_bytes()]
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


@pytest.mark.parametrize("name", ["lightgbm", "linear"])
def test_every_changed_or_missing_file_is_refused(
    rows: Rows, learners: Learners, loaders: Loaders, tmp_path: Path, name: str
) -> None:
    digest = save(_auto(rows(300), learners, name), tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content.replace(b"0", b"1", 1) + b" ")
        with pytest.raises(ModelError, match="is not the"):
            load(tmp_path, loaders, sha256=digest)
        path.write_bytes(content)
        if path.name != MANIFEST:
            path.unlink()
            with pytest.raises(ModelError, match="is not the file"):
                load(tmp_path, loaders)
            path.write_bytes(content)
    assert load(tmp_path, loaders, sha256=digest).family == name


def test_the_manifest_tells_the_signature_and_the_versions(
    rows: Rows, learners: Learners, tmp_path: Path
) -> None:
    save(_auto(rows(300), learners, "linear"), tmp_path)
    manifest = msgspec.json.decode((tmp_path / MANIFEST).read_bytes())
    assert manifest["task"] == Task.binary.value
    assert {"python", "lightgbm", "scikit-learn", "numpy"} <= set(manifest["versions"])
    kinds = {column["name"]: column["kind"] for column in manifest["columns"]}
    assert kinds == {
        "a__number": "number",
        "a__place": "text",
        "b__flag": "number",
        "b__seen": "moment",
        "b__id": "ignored",
    }


def test_an_own_estimator_of_another_scikit_learn_is_refused(
    rows: Rows, loaders: Loaders, tmp_path: Path
) -> None:
    save(_own(rows(200), LogisticRegression()), tmp_path)
    manifest = msgspec.json.decode((tmp_path / MANIFEST).read_bytes())
    manifest["versions"]["scikit-learn"] = "0.24.2"
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ModelError, match=r"saved with scikit-learn 0\.24\.2"):
        load(tmp_path, loaders)


@pytest.mark.parametrize("content", [None, b"{", b"{}"])
def test_a_folder_without_a_readable_manifest_is_refused(
    loaders: Loaders, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ModelError, match=r"no saved model|does not read"):
        load(tmp_path, loaders)
