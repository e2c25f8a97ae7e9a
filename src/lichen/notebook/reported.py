"""A model's report as markup: metrics with intervals, candidates, slices, importance."""

from __future__ import annotations

from lichen.notebook import charts
from lichen.notebook.markup import Html, folded, grid, joined, number, tag
from lichen.stages.models.card import Report, limits
from lichen.stages.models.interval import Measured

MOST = 12  # features whose importance is shown


def report_parts(report: Report, on: str) -> tuple[Html, ...]:
    """Return what a report says, its figures measured on `on`."""
    heads = ("metric", on, "95 %", "constant answer", "plain line")
    rows = []
    for name, found in report.metrics.items():
        plain = report.plain.get(name)
        chosen = tag("b", name) if name == report.metric else name
        constant = number(report.baseline.get(name))
        rows.append((chosen, number(found.value), interval(found), constant, _value(plain)))
    said = [tag("li", text) for text in limits(report)]
    return (
        _parts(report, on),
        grid(heads, rows),
        _candidates(report),
        tag("ul", *said) if said else Html(""),
        _slices(report),
        _importance(report),
    )


def interval(found: Measured) -> str:
    """Return the interval in brackets, or a dash where there is none.

    >>> interval(Measured(value=0.7, low=0.65, high=0.76))
    '[0.6500, 0.7600]'
    """
    if found.low is None or found.high is None:
        return "–"
    return f"[{found.low:.4f}, {found.high:.4f}]"


def _parts(report: Report, on: str) -> Html:
    parts = (("training", report.training), (on, report.holdout))
    heads = ("rows", "count", "from", "to", "mean label")
    return grid(heads, [(n, p.rows, p.begin, p.end, number(p.mean)) for n, p in parts])


def _candidates(report: Report) -> Html:
    if not report.candidates:
        return Html("")
    heads = ("candidate", f"{report.metric} in the search", "trials", "seconds")
    rows = [(c.name, number(c.score), c.trials, f"{c.seconds:.1f}") for c in report.candidates]
    untried = [tag("small", f"not tried: {name} ({why})") for name, why in report.untried.items()]
    return joined((grid(heads, rows), *untried))


def _slices(report: Report) -> Html:
    if not report.slices:
        return Html("")
    judged = [
        (s.column, s.value or "(all others)", s.rows, number(s.metric)) for s in report.slices
    ]
    whole = report.metrics[report.metric]
    bars = [
        (f"{s.column} = {s.value or '(all others)'}", s.metric)
        for s in report.slices
        if s.metric is not None
    ]
    table = folded("as a table", grid(("column", "value", "rows", report.metric), judged))
    return folded(f"{report.metric} by slice", charts.dots(bars, whole), table)


def _importance(report: Report) -> Html:
    if not report.importance:
        return Html("")
    top = list(report.importance.items())[:MOST]
    return folded(f"loss of {report.metric} when a feature is shuffled", charts.bars(top))


def _value(found: Measured | None) -> str:
    return number(found.value if found else None)
