"""An estimator tried on a model's training set: judged like a training, and nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.errors import ModelError
from lichen.notebook import charts
from lichen.notebook.keep import Kept, keep
from lichen.notebook.markup import Html, page, tag
from lichen.notebook.relation import aligned
from lichen.notebook.reported import interval, report_parts
from lichen.notebook.training import Part, TrainingSet
from lichen.stages.models.card import Report
from lichen.stages.models.interval import Measured, difference
from lichen.stages.models.metric import METRICS, Task
from lichen.stages.models.run import coded, learned, recipe_of
from lichen.stages.models.split import Split
from lichen.stages.models.train import Training
from lichen.wiring import open_learners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lichen.notebook.workspace import Workspace


@dataclass(frozen=True)
class Judged:
    """What was learnt from some rows, and how it did on others, named by `on`."""

    on: str
    rows: Part
    predicted: NDArray[np.float64] = field(repr=False)
    report: Report = field(repr=False)
    training: Training = field(repr=False)

    def __repr__(self) -> str:
        """Return every metric with its interval, the constant answer and a plain line."""
        told = self.report
        lines: list[tuple[str, ...]] = [("metric", self.on, "95 %", "constant", "plain line")]
        for name, found in told.metrics.items():
            plain = told.plain.get(name)
            others = (told.baseline.get(name), plain.value if plain else None)
            lines.append(
                (name, *map(_number, (found.value,)), interval(found), *map(_number, others))
            )
        return aligned(lines)

    def _repr_html_(self) -> str:
        return page(f"{self.report.model} on {self.on}", *self.parts())

    def parts(self) -> tuple[Html, ...]:
        """Return metrics, curves and slices as markup."""
        label = self.rows.rows.numbers()
        curves: tuple[Html, ...] = ()
        if self.report.task is Task.binary:
            curves = (
                charts.roc(label, self.predicted),
                charts.calibration(self.report.reliability),
            )
        elif self.report.task is Task.regression:
            curves = (
                charts.predicted(label, self.predicted),
                charts.residuals(label, self.predicted),
            )
        return (*report_parts(self.report, self.on), tag("div", *curves))


@dataclass(frozen=True)
class Trial:
    """An estimator that was fitted on `train` and judged on `validation`; nothing was stored.

    `report` has every metric with its interval, slices, calibration and importance, `predicted`
    the answers on the validation rows, and `training.trained` is the fitted model.
    """

    estimator: Any
    own: bool  # it is the model's own definition
    training_set: TrainingSet = field(repr=False)
    judged: Judged = field(repr=False)
    _project: Workspace = field(repr=False)

    @property
    def report(self) -> Report:
        """Return what was measured on the validation rows."""
        return self.judged.report

    @property
    def metrics(self) -> dict[str, Measured]:
        """Return every metric on the validation rows, with its interval."""
        return self.report.metrics

    @property
    def score(self) -> Measured:
        """Return the model's own metric on the validation rows, with its interval."""
        return self.metrics[self.report.metric]

    @property
    def predicted(self) -> NDArray[np.float64]:
        """Return the answers on the validation rows: probabilities, or values."""
        return self.judged.predicted

    @property
    def fitted(self) -> Any:
        """Return the fitted model, which predicts from a frame of features."""
        return self.judged.training.trained

    def against(self, other: Trial) -> Measured:
        """Return this trial's metric less another's on the same rows, with its interval.

        It is worth believing where the interval leaves zero out.
        """
        ours, theirs = self.judged.rows, other.judged.rows
        if list(ours.key) != list(theirs.key):
            raise ModelError(
                "the two trials were judged on different rows",
                hint="try both again on one training set: the same now and publication",
            )
        group = None if ours.group is None else ours.group.to_numpy()
        return difference(
            self.report.metric,
            ours.rows.numbers(),
            self.predicted,
            other.predicted,
            group,
            seed=self.report.seed,
        )

    def holdout(self) -> Judged:
        """Fit on all training rows, and judge on the holdout.

        Look once, at the end. What is chosen by its holdout is no longer judged by it.
        """
        return judged("holdout", self.training_set, self.training_set.parts, self.estimator)

    def keep(self) -> Kept:
        """Write the estimator into the model's file, and train it through the project's own run.

        The file is the definition: what was written is what runs, here and anywhere. Raises
        ModelError, with the code to paste, where the estimator cannot be written down exactly.
        """
        return keep(None if self.own else self.estimator, self.training_set, self._project)

    def __repr__(self) -> str:
        """Return the estimator and its metrics."""
        name = self.training_set.inquiry.model.name
        metric = METRICS[self.report.metric]
        way = "higher" if metric.higher_is_better else "lower"
        head = f"trial of {name}: {metric.name} {_number(self.score.value)}"
        rows = f"{len(self.judged.rows):,} validation rows"
        return f"{head} {interval(self.score)} on {rows} ({way} is better)\n{self.judged!r}"

    def _repr_html_(self) -> str:
        head = f"trial of {self.training_set.inquiry.model.name}"
        code = tag("pre", repr(self.estimator), style="margin:0.2em 0")
        return page(head, code, *self.judged.parts())


def try_out(rows: TrainingSet, estimator: Any, project: Workspace) -> Trial:
    """Return an estimator's trial; None tries the model's own definition."""
    recipe = recipe_of(rows.inquiry, project.project.root) if estimator is None else estimator
    found = judged("validation", rows, rows.inner, recipe)
    return Trial(recipe, estimator is None, rows, found, project)


def judged(on: str, rows: TrainingSet, parts: Split, recipe: Any) -> Judged:
    """Return what a recipe learns from one part and how it does on the other."""
    parts, answers = coded(parts, rows.inquiry)
    training, told = learned(rows.inquiry, recipe, parts, answers, open_learners(), rows.now)
    predicted = training.trained.predict(parts.holdout.frame)
    return Judged(on, Part(parts.holdout), predicted, told, training)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
