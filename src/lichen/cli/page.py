"""Printing: colour and width in a terminal, plain lines elsewhere, one object with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

EMPTY = (
    "there is nothing in this project yet\n"
    "next: take the underscore off an example such as sources/_orders.yml, or begin anew from a "
    "file:\n      lichen init FOLDER --from FILE.csv --predict COLUMN"
)
CALM, GOOD, HEED, BAD = "dim", "green", "yellow", "red"
COLOURS = {"warn": HEED, "quarantine": HEED, "block": BAD}


def emit(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def console() -> Console:
    """Return the console on standard output; it knows whether that is a terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, wide: str | None = None) -> None:
    """Print rows under their heads: ruled in a terminal, else as lines with aligned columns.

    The column headed `wide` folds where the terminal is too narrow.
    """
    page, listed = console(), [[str(cell) for cell in row] for row in rows]
    if not page.is_terminal:
        for line in aligned([heads, *listed]):
            print(line)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    numeric = [bool(listed) and all(_number(row[i]) for row in listed) for i in range(len(heads))]
    for head, right in zip(heads, numeric, strict=True):
        fold = wide is None or head == wide
        drawn.add_column(
            head, justify="right" if right else "left", no_wrap=not fold, overflow="fold"
        )
    for row in listed:
        drawn.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    page.print(drawn)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, columns aligned and two spaces apart.

    >>> aligned([["a", "bc"], ["def", "g"]])
    ['a    bc', 'def  g']
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def some(names: Sequence[str], most: int = 4) -> str:
    """Return the first names and how many more there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(names) - most
    listed = ", ".join(names[:most])
    return f"{listed} and {more} more" if more > 0 else listed


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "step"), counted(1200, "row")
    ('1 step', '1,200 rows')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "", 1).lstrip("-").isdigit() or not cell
