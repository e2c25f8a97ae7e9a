"""A user's own scikit-learn estimator: checked, fitted, and kept by skops with a fixed allow-list.

skops trusts public scikit-learn estimators and NumPy arrays. `FAMILIES` is everything beyond that,
by the kind of estimator that needs it; nothing is ever trusted because a file asks for it. The
insides of trees hold indices that scikit-learn does not check, so a saved model is read only if its
files have the hashes of its manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lichen.core.errors import ModelError
from lichen.ports.learner import Settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FAMILIES: dict[str, tuple[str, ...]] = {
    "trees": ("sklearn.tree._tree.Tree",),
    "histogram boosting": ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    "calibrated": (
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
    ),
    "voting and stacking": ("sklearn.utils._bunch.Bunch",),
    "binned": ("numpy.dtype",),
    "chosen by type": ("sklearn.compose._column_transformer.make_column_selector",),
}
_MEANS = {"binary": "yes or no", "multiclass": "one of several classes", "regression": "a number"}
_FILE = "estimator.skops"
_ABOUT = "estimator.json"


@dataclass(frozen=True)
class Own:
    """A fitted estimator of the user."""

    estimator: Any
    task: str
    classes: int = 0

    @property
    def used(self) -> Settings:
        """Return no settings: they are the user's."""
        return {}

    def predict(self, inputs: pd.DataFrame) -> Floats:
        """Return probabilities (or decision values squeezed into (0, 1)), or values."""
        import numpy as np

        try:
            if self.task == "multiclass":
                return self._by_class(inputs)
            if self.task != "binary":
                return np.asarray(self.estimator.predict(inputs), np.float64).reshape(-1)
            if hasattr(self.estimator, "predict_proba"):
                true = list(self.estimator.classes_).index(1)
                return np.asarray(self.estimator.predict_proba(inputs)[:, true], np.float64)
            decision = np.asarray(self.estimator.decision_function(inputs), np.float64)
            return np.asarray(1 / (1 + np.exp(-np.clip(decision, -30, 30))))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"the estimator cannot predict these rows: {error}",
                hint="let its pipeline impute missing and ignore unknown values",
            ) from error

    def _by_class(self, inputs: pd.DataFrame) -> Floats:
        """Return a column for each class; those that training had no row of have zeros."""
        import numpy as np

        if hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(inputs), np.float64)
        else:
            decision = np.asarray(self.estimator.decision_function(inputs), np.float64)
            if decision.ndim == 1:
                decision = np.stack([-decision, decision], axis=1)
            raised = np.exp(decision - decision.max(axis=1, keepdims=True))
            found = raised / raised.sum(axis=1, keepdims=True)
        predicted = np.zeros((len(found), self.classes))
        predicted[:, np.asarray(self.estimator.classes_, np.intp)] = found
        return predicted

    def save(self, folder: Path) -> None:
        """Write the estimator; raises ModelError if it holds a type outside the allow-list."""
        import skops.io

        content = skops.io.dumps(self.estimator)
        families = _families(content, self.estimator)
        (folder / _FILE).write_bytes(content)
        about = {"task": self.task, "families": families, "classes": self.classes}
        (folder / _ABOUT).write_bytes(msgspec.json.encode(about))


class Sklearn:
    """Fits, checks and reads back users' estimators."""

    def check(self, estimator: Any, task: str) -> None:
        """Refuse what is no estimator, cannot answer the task, or could not be saved afterwards."""
        from sklearn.base import is_classifier, is_regressor

        if isinstance(estimator, type) or not all(
            hasattr(estimator, name) for name in ("fit", "predict", "get_params")
        ):
            raise ModelError(
                f"the model's function returned {estimator!r}, which is no estimator",
                allowed=("lichen.auto(…)", "a scikit-learn estimator or pipeline"),
            )
        right = is_regressor if task == "regression" else is_classifier
        if not right(estimator):
            kind = "a regressor" if task == "regression" else "a classifier"
            raise ModelError(
                f"the target is {_MEANS[task]}, and {type(estimator).__name__} is not {kind}",
                hint=f"return {kind}, or change the outcome's label",
            )
        _families(_dumped(estimator), estimator)

    def fit(
        self, estimator: Any, frame: pd.DataFrame, label: Floats, task: str, classes: int = 0
    ) -> Own:
        """Fit a fresh copy; what fails inside becomes a ModelError with its message."""
        from sklearn.base import clone

        fresh = clone(estimator)
        try:
            fresh.fit(frame, label if task == "regression" else label.astype(int))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{type(estimator).__name__} cannot be fitted: {error}",
                hint="let its pipeline impute missing values and encode text",
            ) from error
        return Own(fresh, task, classes)

    def is_probability(self, estimator: Any) -> bool:
        """Return whether the estimator has probabilities of its own."""
        return hasattr(estimator, "predict_proba")

    def load(self, folder: Path) -> Own:
        """Return what `save` wrote, trusting only the families that it names."""
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        about = msgspec.json.decode((folder / _ABOUT).read_bytes())
        trusted = [name for family in about["families"] for name in FAMILIES.get(family, ())]
        try:
            estimator = skops.io.load(folder / _FILE, trusted=trusted)
            return Own(estimator, about["task"], about.get("classes", 0))
        except UntrustedTypesFoundException as error:
            raise ModelError(f"{folder / _FILE} is not safe to read: {error}") from error


def _dumped(estimator: Any) -> bytes:
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        return bytes(skops.io.dumps(estimator))
    except (UnsupportedTypeException, TypeError, AttributeError) as error:
        raise ModelError(
            f"{type(estimator).__name__} cannot be stored: {error}",
            hint="use scikit-learn's own parts, without functions or classes of your own in them",
        ) from error


def _families(content: bytes, estimator: Any) -> list[str]:
    """Return the families that a saved estimator needs; raises ModelError for any other type."""
    import skops.io

    needed = set(skops.io.get_untrusted_types(data=content))
    families = sorted(name for name, types in FAMILIES.items() if needed & set(types))
    foreign = needed - {name for types in FAMILIES.values() for name in types}
    if foreign:
        raise ModelError(
            f"{type(estimator).__name__} holds types that are not safe to store: "
            f"{', '.join(sorted(foreign))}",
            allowed=("estimators of scikit-learn", *FAMILIES),
            hint="replace that part by one of scikit-learn's, or move the code into a table or "
            "features, where it is part of the lineage",
        )
    return families
