"""Small charts as inline SVG: curves, dots and bars. They take the colours of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lichen.notebook.markup import Html, number, tag
from lichen.stages.models.evaluate import Bin
from lichen.stages.models.interval import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Point = tuple[float, float]
WIDE, HIGH = 250, 210  # pixels of a square chart
LEFT, BOTTOM, TOP = 44, 34, 22
INK, FAINT, ACCENT = "currentColor", "rgba(128,128,128,0.45)", "#2f7d5b"
MOST = 1500  # points that are drawn


def roc(label: Floats, predicted: Floats) -> Html:
    """Return the share of hits against the share of false alarms, over all thresholds."""
    points = roc_points(label, predicted)
    return _chart(
        "ROC", ("false alarms", "hits"), (0.0, 1.0), (0.0, 1.0),
        lambda at: [_line([at((0, 0)), at((1, 1))], FAINT), _line([at(p) for p in points], ACCENT)],
    )  # fmt: skip


def roc_points(label: Floats, predicted: Floats, most: int = 200) -> list[Point]:
    """Return (false alarms, hits) for falling thresholds, thinned to at most `most` points.

    >>> roc_points(np.array([0.0, 1.0]), np.array([0.2, 0.8]))
    [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
    """
    order = np.argsort(-predicted, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(predicted[order]) != 0, True])  # ties count together
    hits = np.cumsum(label[order])[ends]
    alarms = np.cumsum(1 - label[order])[ends]
    if not len(label) or not hits[-1] or not alarms[-1]:
        return []
    x, y = np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]]
    kept = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(np.intp))
    return [(float(a), float(b)) for a, b in zip(x[kept], y[kept], strict=True)]


def calibration(bins: Sequence[Bin]) -> Html:
    """Return what came true against what was predicted, per tenth of the rows."""
    top = max((max(b.predicted, b.observed) for b in bins), default=1.0) or 1.0
    points = [(b.predicted, b.observed) for b in bins]
    return _chart(
        "calibration", ("predicted", "came true"), (0.0, top), (0.0, top),
        lambda at: [
            _line([at((0, 0)), at((top, top))], FAINT),
            _line([at(p) for p in points], ACCENT),
            *(_dot(at(p), 3.0) for p in points),
        ],
    )  # fmt: skip


def predicted(label: Floats, answers: Floats) -> Html:
    """Return what was true against what was predicted, row by row."""
    return _scatter("predicted and true", ("predicted", "true"), answers, label, diagonal=True)


def residuals(label: Floats, answers: Floats) -> Html:
    """Return by how much each answer missed, against the answer."""
    return _scatter("residuals", ("predicted", "true − predicted"), answers, label - answers)


def dots(values: Sequence[tuple[str, float]], whole: Measured) -> Html:
    """Return a dot for each named value, beside the whole's value and interval."""
    if not values:
        return Html("")
    known = [v for _, v in values] + [
        v for v in (whole.value, whole.low, whole.high) if v is not None
    ]
    x = _scale(min(known), max(known), 170, 480)
    high = 18 * len(values) + 26
    inside = []
    if whole.low is not None and whole.high is not None:
        wide = max(x(whole.high) - x(whole.low), 1)
        inside.append(
            tag(
                "rect",
                x=_n(x(whole.low)),
                y=4,
                width=_n(wide),
                height=high - 22,
                fill=ACCENT,
                fill_opacity="0.15",
            )
        )
    if whole.value is not None:
        inside.append(_line([(x(whole.value), 4), (x(whole.value), high - 18)], ACCENT))
    for place, (name, value) in enumerate(values):
        y = 18.0 * place + 14
        inside += [_text(162, y + 4, name, "end"), _dot((x(value), y), 3.5)]
    inside += [
        _text(170, high - 4, number(min(known)), "start"),
        _text(480, high - 4, number(max(known)), "end"),
    ]
    return _svg(530, high, inside)


def bars(values: Sequence[tuple[str, float]]) -> Html:
    """Return a bar for each named value, from zero."""
    if not values:
        return Html("")
    x = _scale(min(0.0, *(v for _, v in values)), max(0.0, *(v for _, v in values)), 240, 460)
    inside = []
    for place, (name, value) in enumerate(values):
        y = 18 * place + 4
        begin, wide = min(x(0.0), x(value)), abs(x(value) - x(0.0))
        inside += [
            _text(232, y + 11, name, "end"),
            tag(
                "rect",
                x=_n(begin),
                y=y,
                width=_n(max(wide, 0.5)),
                height=13,
                fill=ACCENT,
                fill_opacity="0.7",
            ),
            _text(468, y + 11, f"{value:+.4f}", "start"),
        ]
    return _svg(530, 18 * len(values) + 8, inside)


def _scatter(
    title: str, names: tuple[str, str], x: Floats, y: Floats, *, diagonal: bool = False
) -> Html:
    kept = np.unique(np.linspace(0, len(x) - 1, min(MOST, len(x))).astype(np.intp))
    across, up = _range(x), _range(np.r_[x, y] if diagonal else y)
    across = up if diagonal else across
    begin, end = (
        ((up[0], up[0]), (up[1], up[1])) if diagonal else ((across[0], 0.0), (across[1], 0.0))
    )
    return _chart(
        title, names, across, up,
        lambda at: [
            _line([at(begin), at(end)], FAINT),
            *(_dot(at((float(x[i]), float(y[i]))), 1.5, "0.35") for i in kept),
        ],
    )  # fmt: skip


def _range(values: Floats) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _chart(
    title: str,
    names: tuple[str, str],
    across: tuple[float, float],
    up: tuple[float, float],
    draw: Callable[[Callable[[Point], Point]], list[Html]],
) -> Html:
    right, low = WIDE - 8, HIGH - BOTTOM
    x, y = _scale(*across, LEFT, right), _scale(*up, low, TOP)
    frame = tag(
        "rect", x=LEFT, y=TOP, width=right - LEFT, height=low - TOP, fill="none", stroke=FAINT
    )
    turned = tag(
        "text", names[1], x=0, y=0, fill=INK, font_size=10, text_anchor="middle",
        transform=f"translate(12 {(TOP + low) // 2}) rotate(-90)",
    )  # fmt: skip
    words = [
        _text((LEFT + right) / 2, 14, title, "middle"),
        _text((LEFT + right) / 2, HIGH - 4, names[0], "middle"),
        _text(LEFT, low + 14, number(across[0]), "middle"),
        _text(right, low + 14, number(across[1]), "end"),
        _text(LEFT - 4, low, number(up[0]), "end"),
        _text(LEFT - 4, TOP + 8, number(up[1]), "end"),
        turned,
    ]
    return _svg(WIDE, HIGH, [frame, *draw(lambda p: (x(p[0]), y(p[1]))), *words])


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    size = (high - low) or 1.0
    return lambda value: begin + (value - low) / size * (end - begin)


def _svg(wide: int, high: int, inside: Sequence[Html]) -> Html:
    return tag(
        "svg", *inside, xmlns="http://www.w3.org/2000/svg", width=wide, height=high,
        viewBox=f"0 0 {wide} {high}", font_family="sans-serif",
    )  # fmt: skip


def _line(points: Sequence[Point], colour: str) -> Html:
    along = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return tag("polyline", points=along, fill="none", stroke=colour, stroke_width="1.6")


def _dot(at: Point, size: float, opacity: str = "1") -> Html:
    return tag("circle", cx=_n(at[0]), cy=_n(at[1]), r=size, fill=ACCENT, fill_opacity=opacity)


def _text(x: float, y: float, words: str, anchor: str) -> Html:
    return tag("text", words, x=_n(x), y=_n(y), fill=INK, font_size=10, text_anchor=anchor)


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
