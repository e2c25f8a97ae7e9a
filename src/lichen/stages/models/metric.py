"""The metrics by name: what they judge and which way is better (no numbers library here)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lichen.core.errors import ModelError


class Task(StrEnum):
    """What is predicted: the probability of yes, that of each class, or a value."""

    binary = "binary"
    multiclass = "multiclass"
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


_EVERY = (
    Metric("roc_auc", Task.binary, higher_is_better=True),
    Metric("log_loss", Task.binary, higher_is_better=False),
    Metric("brier", Task.binary, higher_is_better=False),
    Metric("average_precision", Task.binary, higher_is_better=True),
    Metric("accuracy", Task.binary, higher_is_better=True),
    Metric("ece", Task.binary, higher_is_better=False),
    Metric("log_loss", Task.multiclass, higher_is_better=False),
    Metric("accuracy", Task.multiclass, higher_is_better=True),
    Metric("balanced_accuracy", Task.multiclass, higher_is_better=True),
    Metric("macro_f1", Task.multiclass, higher_is_better=True),
    Metric("roc_auc", Task.multiclass, higher_is_better=True),
    Metric("rmse", Task.regression, higher_is_better=False),
    Metric("mae", Task.regression, higher_is_better=False),
    Metric("r2", Task.regression, higher_is_better=True),
)
# One name may judge several tasks; which way is better is then the same in all of them.
METRICS = {
    name: next(metric for metric in _EVERY if metric.name == name)
    for name in dict.fromkeys(metric.name for metric in _EVERY)
}
USUAL = {Task.binary: "roc_auc", Task.multiclass: "log_loss", Task.regression: "rmse"}


def metrics_for(task: Task) -> tuple[Metric, ...]:
    """Return the metrics that judge a task."""
    return tuple(metric for metric in _EVERY if metric.task is task)


def judges(name: str, task: Task) -> bool:
    """Return whether a metric of that name judges a task.

    >>> judges("rmse", Task.multiclass), judges("accuracy", Task.multiclass)
    (False, True)
    """
    return any(metric.name == name for metric in metrics_for(task))


def choose(name: str, task: Task) -> Metric:
    """Return the metric of that name ('' is the task's usual one); refuses one of another task."""
    wanted = name or USUAL[task]
    metric = next((metric for metric in metrics_for(task) if metric.name == wanted), None)
    if metric is None:
        raise ModelError(
            f"the metric {name!r} does not judge a {task.value} target",
            allowed=[metric.name for metric in metrics_for(task)],
            given=name,
        )
    return metric
