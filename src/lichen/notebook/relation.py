"""Rows in memory as Arrow, Polars or pandas, and as a table to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from lichen.core.errors import LichenError
from lichen.core.sql import rel
from lichen.notebook.markup import Html, grid, tag
from lichen.ports.engine import Engine
from lichen.readers.query import Answer

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # rows of a table that a notebook shows


class NotebookError(LichenError):
    """What a notebook asks for cannot be given."""


@dataclass(frozen=True)
class Relation(Answer):
    """Rows in memory: an Arrow table, and the same for Polars and pandas.

    It speaks the Arrow C stream interface, so that `polars.DataFrame(relation)`, DuckDB, PyArrow
    and others read it as it is.
    """

    engine: Engine = field(repr=False)

    def arrow(self) -> Any:
        """Return the rows as an Arrow table (arro3.core.Table)."""
        return self.table

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; times are in UTC."""
        found: pd.DataFrame = self.engine.frame(_ALL, {"rows": self.table})
        return found

    def polars(self) -> Any:
        """Return the rows as a Polars DataFrame; raises NotebookError where Polars is missing."""
        return polars_of(self.table)

    @property
    def schema(self) -> dict[str, str]:
        """Return the columns with their types, in DuckDB's spelling."""
        return dict(self.engine.columns(_ALL, {"rows": self.table}))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Return the first rows as aligned text."""
        return text_of(self)

    def _repr_html_(self) -> str:
        return str(html_of(self))


_ALL = exp.select("*").from_(rel("rows"))


def polars_of(table: object) -> Any:
    """Return an Arrow table as a Polars DataFrame; raises NotebookError where Polars is missing."""
    try:
        polars = import_module("polars")
    except ImportError as error:
        raise NotebookError(
            "Polars is not installed",
            hint='pip install "lichen[polars]", or take .pandas() or .arrow()',
        ) from error
    return polars.DataFrame(table)


def html_of(answer: Answer, *, most: int = SHOWN) -> Html:
    """Return the first rows as an HTML table, and how many there are."""
    total = int(answer.table.num_rows)
    shown = Answer(answer.table.slice(0, min(most, total)))
    rows = [[_shown(value) for value in row.values()] for row in shown.rows]
    return tag("div", grid(answer.columns, rows), tag("small", _counted(total, most)))


def text_of(answer: Answer, *, most: int = SHOWN) -> str:
    """Return the first rows as aligned lines, and how many there are."""
    total = int(answer.table.num_rows)
    shown = Answer(answer.table.slice(0, min(most, total)))
    lines = [["" if v is None else str(_shown(v)) for v in row.values()] for row in shown.rows]
    return aligned([answer.columns, *lines]) + f"\n{_counted(total, most)}"


def aligned(rows: list[Any]) -> str:
    """Return rows of texts as lines with aligned columns.

    >>> print(aligned([("a", "bc"), ("def", "g")]))
    a    bc
    def  g
    """
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    padded = ("  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in padded)


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if value is None or isinstance(value, int | str) else str(value)


def _counted(total: int, most: int) -> str:
    rows = f"{total:,} row{'' if total == 1 else 's'}"
    return f"{rows}, the first {most} shown" if total > most else rows
