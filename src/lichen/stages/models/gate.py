"""The gate: whether a challenger may take the champion's place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lichen.core.findings import Finding, Severity
from lichen.core.time import iso
from lichen.stages.models.interval import Measured, difference
from lichen.stages.models.metric import Metric
from lichen.stages.models.score import score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Decision(StrEnum):
    """What the gate says."""

    promoted = "promoted"
    kept = "kept"
    refused = "refused"  # the comparison itself would be wrong


@dataclass(frozen=True)
class Contender:
    """A model's predictions on the newest holdout; its training read labels up to `cutoff`."""

    version: str
    cutoff: datetime | None
    predicted: Floats


@dataclass(frozen=True)
class Ground:
    """The newest holdout; its rows begin at `begin` (None for data without time)."""

    label: Floats
    group: NDArray[Any] | None
    begin: datetime | None


@dataclass(frozen=True)
class Verdict:
    """A decision with both values, challenger − champion with its interval, and the reason."""

    decision: Decision
    challenger: float | None
    champion: float | None
    difference: Measured | None
    reason: str
    finding: Finding | None = None


def gate(
    node: str,
    challenger: Contender,
    champion: Contender | None,
    ground: Ground,
    metric: Metric,
    *,
    margin: float = 0.0,
    seed: int = 0,
) -> Verdict:
    """Return whether the challenger replaces the champion: only if it is not worse by > `margin`.

    Both are judged on the same rows, which must be later than what either has trained on.
    """
    if trespasser := _trespasser(challenger, champion, ground):
        return _refused(node, trespasser, ground)
    ours = score(metric.name, ground.label, challenger.predicted)
    if ours != ours:
        return _undefined(node, metric)
    if champion is None:
        reason = f"{metric.name} {ours:.4f}; there is no champion yet"
        return Verdict(Decision.promoted, ours, None, None, reason)
    theirs = score(metric.name, ground.label, champion.predicted)
    gap = difference(
        metric.name,
        ground.label,
        challenger.predicted,
        champion.predicted,
        ground.group,
        seed=seed,
    )
    gain = metric.gain(ours, theirs)
    # The values are sums of floats: a difference in the 12th digit is none.
    decision = Decision.promoted if gain >= -margin - 1e-12 else Decision.kept
    return Verdict(decision, ours, theirs, gap, _words(metric, ours, theirs, gap, margin, gain))


def _trespasser(
    challenger: Contender, champion: Contender | None, ground: Ground
) -> Contender | None:
    for contender in (challenger, champion):
        if contender is None or contender.cutoff is None:
            continue
        if ground.begin is None or contender.cutoff > ground.begin:
            return contender
    return None


def _refused(node: str, contender: Contender, ground: Ground) -> Verdict:
    begin = iso(ground.begin) if ground.begin else "no time"
    cutoff = iso(contender.cutoff) if contender.cutoff else "no time"
    reason = (
        f"version {contender.version} was trained on labels up to {cutoff}, "
        f"and the holdout begins at {begin}: it would be judged on what it has seen"
    )
    finding = Finding(node=node, rule="later_holdout", severity=Severity.block, message=reason)
    return Verdict(Decision.refused, None, None, None, reason, finding)


def _undefined(node: str, metric: Metric) -> Verdict:
    reason = f"{metric.name} is undefined on the holdout: all its labels are the same"
    finding = Finding(node=node, rule="two_classes", severity=Severity.block, message=reason)
    return Verdict(Decision.refused, None, None, None, reason, finding)


def _words(
    metric: Metric, ours: float, theirs: float, gap: Measured, margin: float, gain: float
) -> str:
    size = (
        "as good as" if gain == 0 else f"{abs(gain):.4f} {'better' if gain > 0 else 'worse'} than"
    )
    between = ""
    if gap.low is not None and gap.high is not None:
        between = f" (difference {gap.value:+.4f}, 95 % [{gap.low:+.4f}, {gap.high:+.4f}])"
    allowed = "" if gain >= 0 else f"; a loss of up to {margin:g} is allowed"
    return f"{metric.name} {ours:.4f} is {size} the champion's {theirs:.4f}{between}{allowed}"
