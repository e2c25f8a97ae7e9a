"""A trained version of a model, as it was judged when it was trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.core.errors import ModelError
from lichen.core.names import Name
from lichen.core.time import iso
from lichen.notebook import charts
from lichen.notebook.markup import facts, page, tag
from lichen.notebook.relation import aligned
from lichen.notebook.reported import interval, report_parts
from lichen.ports.ledger import Record
from lichen.stages.models.card import Report, decoded
from lichen.stages.models.interval import Measured
from lichen.stages.models.run import load_version, model_folder
from lichen.wiring import open_learners

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model: what was measured when it was trained, and the model itself.

    `report` was measured on the holdout, `facts` is what the ledger recorded, `folder` where its
    files are, the card among them.
    """

    node: str
    version: int
    report: Report = field(repr=False)
    folder: Path = field(repr=False)
    record: Record = field(repr=False)
    _target: Path = field(repr=False)

    @property
    def metrics(self) -> dict[str, Measured]:
        """Return every metric on the holdout, with its interval."""
        return self.report.metrics

    @property
    def card(self) -> str:
        """Return the model card, in Markdown."""
        return (self.folder / "card.md").read_text("utf-8")

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of True, or the value, for rows such as `training_set(…).X`."""
        name, sha256 = Name.parse(self.node).name, str(self.record.facts["sha256"])
        return load_version(self._target, name, self.version, open_learners(), sha256).predict(
            frame
        )

    def __repr__(self) -> str:
        """Return what it is and its metrics."""
        lines: list[Any] = [("metric", "holdout", "95 %")]
        for name, found in self.metrics.items():
            value = "–" if found.value is None else f"{found.value:.4f}"
            lines.append((name, value, interval(found)))
        head = (
            f"{self.node}@{self.version}, {self.report.family}, trained at {self.report.trained_at}"
        )
        return f"{head}\n{aligned(lines)}"

    def _repr_html_(self) -> str:
        about = {
            "trained at": self.report.trained_at,
            "target": self.report.target,
            "family": self.report.family,
            "calibration": self.report.calibration or "none",
            "run": self.record.run,
            "now": iso(self.record.now),
        }
        curve = charts.calibration(self.report.reliability) if self.report.reliability else ""
        parts = report_parts(self.report, "holdout")
        return page(f"{self.node}@{self.version}", facts(about), *parts, tag("div", curve))


def read_model_version(name: Name, record: Record, target: Path) -> ModelVersion:
    """Return a version from its record and its report; raises ModelError where that is missing."""
    folder = model_folder(target, name.name, record.sequence)
    path = folder / "report.json"
    if not path.is_file():
        raise ModelError(f"there is no report of {name}@{record.sequence} in {folder}")
    report = decoded(path.read_bytes())
    return ModelVersion(str(name), record.sequence, report, folder, record, target)
