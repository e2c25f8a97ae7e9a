"""HTML and SVG from values: whatever is not markup already is escaped where it meets it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(element: str, /, *inside: object, **attributes: object) -> Html:
    """Return an element; `None` attributes are left out, `stroke_width` is `stroke-width`.

    >>> tag("b", "a < b", class_="wide")
    '<b class="wide">a &lt; b</b>'
    """
    named = (
        f' {key.strip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{element}{''.join(named)}>{joined(inside)}</{element}>")


def joined(parts: Iterable[object]) -> Html:
    """Return parts one after the other, each escaped unless it is markup.

    >>> joined(["1 < 2", tag("br")])
    '1 &lt; 2<br></br>'
    """
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in parts))


def grid(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; numbers stand to the right, nothing is an empty cell."""
    head = tag("tr", *(tag("th", name, style=_LEFT) for name in heads))
    body = [tag("tr", *map(_cell, row)) for row in rows]
    return tag("table", tag("thead", head), tag("tbody", *body), style="margin:0.3em 0")


def facts(values: Mapping[str, object]) -> Html:
    """Return names with their values, one a line."""
    return grid((), [(tag("b", name), value) for name, value in values.items()])


def page(title: object, *parts: object) -> Html:
    """Return what a notebook shows of one thing: a title and what is below it."""
    head = tag("div", title, style="font-weight:600;font-size:1.1em;margin-bottom:0.3em")
    return tag("div", head, *parts, class_="lichen", style="max-width:60em;overflow-x:auto")


def folded(summary: object, *inside: object) -> Html:
    """Return parts that open when their summary is clicked."""
    return tag("details", tag("summary", summary), *inside)


def number(value: float | None) -> str:
    """Return a number as people read it; nothing where there is none.

    >>> number(0.70551), number(12345.0), number(None)
    ('0.7055', '12,345', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


_LEFT, _RIGHT = "text-align:left", "text-align:right;font-variant-numeric:tabular-nums"


def _cell(value: Any) -> Html:
    if value is None:
        return tag("td")
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = f"{value:,}" if isinstance(value, int) else number(value)
        return tag("td", shown, style=_RIGHT)
    return tag("td", value, style=_LEFT)
