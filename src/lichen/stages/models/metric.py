"""The metrics by name: what they judge and which way is better (no numbers library here)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lichen.core.errors import ModelError


class Task(StrEnum):
    """What is predicted: the probability of True, or a value."""

    binary = "binary"
    regression = "regression"


@dataclass(frozen=True)
class Metric:
    """A metric's name, the task that it judges and its direction."""

    name: str
    task: Task
    higher_is_better: bool

    def gain(self, ours: float, theirs: float) -> float:
        """Return by how much `ours` is better than `theirs`; negative when it is worse.

        >>> METRICS["log_loss"].gain(0.25, 0.5)
        0.25
        """
        return ours - theirs if self.higher_is_better else theirs - ours


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", Task.binary, higher_is_better=True),
        Metric("log_loss", Task.binary, higher_is_better=False),
        Metric("brier", Task.binary, higher_is_better=False),
        Metric("average_precision", Task.binary, higher_is_better=True),
        Metric("accuracy", Task.binary, higher_is_better=True),
        Metric("ece", Task.binary, higher_is_better=False),
        Metric("rmse", Task.regression, higher_is_better=False),
        Metric("mae", Task.regression, higher_is_better=False),
        Metric("r2", Task.regression, higher_is_better=True),
    )
}
USUAL = {Task.binary: "roc_auc", Task.regression: "rmse"}


def metrics_for(task: Task) -> tuple[Metric, ...]:
    """Return the metrics that judge a task."""
    return tuple(metric for metric in METRICS.values() if metric.task is task)


def choose(name: str, task: Task) -> Metric:
    """Return the metric of that name ('' is the task's usual one); refuses one of another task."""
    metric = METRICS.get(name or USUAL[task])
    if metric is None or metric.task is not task:
        raise ModelError(
            f"the metric {name!r} does not judge a {task.value} target",
            allowed=[metric.name for metric in metrics_for(task)],
            given=name,
        )
    return metric
