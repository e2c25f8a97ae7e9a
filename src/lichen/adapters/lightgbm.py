"""LightGBM as a candidate: deterministic, stopped by validation or by the clock, saved as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lichen.ports.learner import Knob, Matrix, Order, Settings

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    from numpy.typing import NDArray

THREADS = 2
MANY = 20_000
PATIENCE = 30
_WATCHED = {
    ("binary", "roc_auc"): "auc",
    ("binary", "average_precision"): "average_precision",
    ("regression", "mae"): "l1",
}
_OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
_LOSSES = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "l2"}
_FIXED: dict[str, Any] = {
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "bagging_freq": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Trees:
    """A fitted booster."""

    booster: lightgbm.Booster
    used: Settings

    def predict(self, inputs: Matrix) -> NDArray[np.float64]:
        """Return probabilities or values."""
        import numpy as np

        threads = _threads(len(inputs.values))
        return np.asarray(self.booster.predict(inputs.values, num_threads=threads), np.float64)

    def save(self, folder: Path) -> None:
        """Write the booster's text and the settings."""
        self.booster.save_model(str(folder / "lightgbm.txt"))
        (folder / "lightgbm.json").write_bytes(msgspec.json.encode(dict(self.used)))


@dataclass(frozen=True)
class Lightgbm:
    """Gradient-boosted trees; `rounds` is the largest number of trees, or the one to use."""

    name: str = "lightgbm"
    enough: int = 200
    knobs: tuple[Knob, ...] = (
        Knob("learning_rate", 0.02, 0.2, log=True),
        Knob("num_leaves", 7, 127, log=True, whole=True),
        Knob("min_data_in_leaf", 10, 400, log=True, whole=True),
        Knob("feature_fraction", 0.3, 1.0),
        Knob("bagging_fraction", 0.5, 1.0),
        Knob("lambda_l2", 0.01, 50.0, log=True),
        Knob("cat_smooth", 5.0, 300.0, log=True),
    )
    usual: Settings = field(
        default_factory=lambda: {
            "learning_rate": 0.08,
            "num_leaves": 31,
            "min_data_in_leaf": 50,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "lambda_l2": 1.0,
            "cat_smooth": 30.0,
            "rounds": 500,
        }
    )

    def missing(self) -> str | None:
        """Return what is missing: LightGBM's library needs the system's OpenMP runtime."""
        try:
            import lightgbm  # noqa: F401 - whether it loads is the question
        except (ImportError, OSError) as error:
            return f"{error}; install the system's OpenMP runtime (libgomp1, libgomp or libomp)"
        return None

    def fit(self, order: Order) -> Trees:
        """Grow trees until `watch` stops improving, `rounds` is reached or time is up."""
        import lightgbm

        data = _dataset(order.matrix, order.label)
        callbacks: list[Any] = [_clock(order)]
        watched = []
        if order.watch is not None:
            watched = [_dataset(*order.watch, reference=data)]
            callbacks.insert(0, lightgbm.early_stopping(PATIENCE, verbose=False))
        booster = lightgbm.train(
            _parameters(order),
            data,
            num_boost_round=int(order.settings["rounds"]),
            valid_sets=watched,
            callbacks=callbacks,
        )
        best = booster.best_iteration
        if best <= 0:  # several classes have several trees in each round
            best = booster.current_iteration()
        return Trees(booster, {**order.settings, "rounds": max(best, 1)})

    def load(self, folder: Path) -> Trees:
        """Return the saved booster."""
        import lightgbm

        used = msgspec.json.decode((folder / "lightgbm.json").read_bytes(), type=dict[str, float])
        return Trees(lightgbm.Booster(model_file=str(folder / "lightgbm.txt")), used)


def _parameters(order: Order) -> dict[str, Any]:
    settings = {name: value for name, value in order.settings.items() if name != "rounds"}
    for name in ("num_leaves", "min_data_in_leaf"):
        settings[name] = round(settings[name])
    # Few rows cannot fill big leaves: without this no tree would ever split.
    fewest = min(int(settings["min_data_in_leaf"]), max(1, len(order.label) // 20))
    objective = "regression_l1" if order.metric == "mae" else _OBJECTIVES[order.task]
    several = {"num_class": order.classes} if order.task == "multiclass" else {}
    return {
        **settings,
        **_FIXED,
        "num_threads": _threads(len(order.label)),
        "min_data_in_leaf": fewest,
        "objective": objective,
        "metric": _WATCHED.get((order.task, order.metric), _LOSSES[order.task]),
        **several,
        "seed": order.seed,
    }


def _threads(rows: int) -> int:
    """Return one thread for few rows, where a second mostly waits for the first."""
    return 1 if rows < MANY else THREADS


def _dataset(matrix: Matrix, label: Any, reference: Any = None) -> Any:
    import lightgbm

    return lightgbm.Dataset(
        matrix.values,
        label,
        reference=reference,
        feature_name=[f"c{place}" for place in range(len(matrix.names))],
        categorical_feature=[place for place, levels in enumerate(matrix.levels) if levels],
        params={"feature_pre_filter": False, "verbosity": -1},
    )


def _clock(order: Order) -> Any:
    import lightgbm

    def look(environment: Any) -> None:
        if order.stop() and environment.iteration >= 1:
            scored = environment.evaluation_result_list or []
            raise lightgbm.callback.EarlyStopException(environment.iteration, scored)

    look.order = 40  # type: ignore[attr-defined]  # after early stopping has looked
    return look
