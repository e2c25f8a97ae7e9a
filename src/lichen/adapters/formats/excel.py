"""Excel and OpenDocument sheets, read by fastexcel as text: the first row names the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arro3.core import RecordBatch, Table

from lichen.adapters.formats import typed
from lichen.core.errors import FileUnreadable
from lichen.core.extras import needed


def read(path: Path, sheet: str | None) -> Table:
    """Return the rows of a sheet (by default the first), `_line` being their rows in it.

    Rows without any value are left out. Dates come as text in ISO's form, and cells that show an
    error as NULL. Raises FileUnreadable.
    """
    fastexcel = needed("fastexcel", "excel")
    try:
        book = fastexcel.read_excel(path)
    except fastexcel.FastExcelError as error:
        what = str(error).splitlines()[0]
        raise FileUnreadable(f"this workbook does not read: {what}") from error
    if sheet is not None and sheet not in book.sheet_names:
        what = f"this workbook has no sheet {sheet!r}"
        raise FileUnreadable(what, allowed=book.sheet_names, given=sheet)
    try:
        loaded = book.load_sheet(sheet or 0, header_row=None, skip_rows=0, dtypes="string")
        cells = [list(column.to_pylist()) for column in RecordBatch.from_arrow(loaded).columns]
    except fastexcel.FastExcelError as error:
        what = str(error).splitlines()[0]
        raise FileUnreadable(f"the sheet {sheet or 1} does not read: {what}") from error
    return _table(cells)


def _table(cells: list[list[Any]]) -> Table:
    names = _names([column[0] if column else None for column in cells])
    rows = range(1, len(cells[0])) if cells else range(0)
    filled = [i for i in rows if any(column[i] is not None for column in cells)]
    columns = {
        name: (typed.TEXT, [column[i] for i in filled])
        for name, column in zip(names, cells, strict=False)
    }
    return typed.table({**columns, "_line": (typed.LONG, [i + 1 for i in filled])})


def _names(header: list[Any]) -> list[str]:
    while header and header[-1] is None:
        header.pop()  # a column beside the table, such as one with remarks
    if not header:
        raise FileUnreadable("the sheet is empty: its first row must name the columns")
    seen: set[str] = {"_line"}
    for number, name in enumerate(header, start=1):
        if name is None or name.lower() in seen:
            what = f"the column {name!r} stands twice" if name else f"column {number} has no name"
            raise FileUnreadable(f"{what} in the first row of the sheet")
        seen.add(name.lower())
    return header
