"""CSV as text: every record with the line on which it begins, and those that do not read, raw.

DuckDB parses; which line a record begins on is worked out from the file's own line ends, and the
account must come out even at the last line, or the file is refused: no line number is a guess.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from arro3.core import Array, DataType, Field, Schema, Table
from numpy.typing import NDArray
from sqlglot import exp

from lichen.core.errors import LakeError, Where
from lichen.core.sql import col, lit, rel, text
from lichen.ports.engine import Records

_NEWLINE, _RETURN = 10, 13
_REJECTS = Schema(
    [
        Field("_line", DataType.int64()),
        Field("raw", DataType.binary()),
        Field("reason", DataType.utf8()),
    ]
)


class _Lines(NamedTuple):
    """The physical lines of a file: where each begins and ends (its line end left out)."""

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def blank(self) -> NDArray[np.bool_]:
        return np.equal(self.starts, self.ends)

    def raw(self, line: int, span: int) -> bytes:
        return self.data[self.starts[line - 1] : self.ends[line + span - 2]].tobytes()


class _Reject(NamedTuple):
    line: int
    span: int
    raw: bytes
    reason: str


def read(cursor: duckdb.DuckDBPyConnection, path: Path, delimiter: str) -> Records:
    """Return the records of a CSV file with a header; raises LakeError with file:line."""
    lines = _physical(path)
    names = _header(path, lines, delimiter)
    found = _parse(cursor, path, names, delimiter)
    rejects = _rejected(cursor, lines)
    at = _begins(cursor, path, found, lines, rejects)
    rows = found.append_column(Field("_line", DataType.int64()), _chunked(at))
    return Records(rows, _as_table(rejects))


def _physical(path: Path) -> _Lines:
    data: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    ends = np.flatnonzero(data == _NEWLINE).astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    ends = np.concatenate([ends, np.full(1, len(data), np.int64)])
    if starts[-1] == len(data):  # the file ends with a line end: nothing begins after it
        starts, ends = starts[:-1], ends[:-1]
    returned = (ends > starts) & (data[np.maximum(ends - 1, 0)] == _RETURN) if len(data) else False
    return _Lines(data, starts, ends - returned)


def _header(path: Path, lines: _Lines, delimiter: str) -> list[str]:
    where = Where(path, 1)
    try:
        first = lines.raw(1, 1).decode("utf-8-sig") if len(lines.starts) else ""
        names = next(csv.reader([first], delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise LakeError(f"the header does not read: {error}", where=where) from error
    if not names:
        raise LakeError("the header is missing: the first line must name the columns", where=where)
    seen: set[str] = {"_line"}
    for name in names:
        if not name or name.lower() in seen:
            what = f"the column {name!r} stands twice" if name else "a column has no name"
            raise LakeError(f"{what} in the header", where=where)
        seen.add(name.lower())
    return names


def _parse(
    cursor: duckdb.DuckDBPyConnection, path: Path, names: list[str], delimiter: str
) -> Table:
    columns = exp.Struct(
        expressions=[exp.PropertyEQ(this=lit(n), expression=lit("VARCHAR")) for n in names]
    )
    options: dict[str, exp.Expr] = {
        "auto_detect": exp.false(),
        "header": exp.true(),
        "delim": lit(delimiter),
        "quote": lit('"'),
        "escape": lit('"'),
        "columns": columns,
        "nullstr": lit(""),
        "allow_quoted_nulls": exp.false(),
        "strict_mode": exp.true(),
        "store_rejects": exp.true(),
        "rejects_limit": lit(0),
    }
    given = [exp.EQ(this=exp.var(key), expression=value) for key, value in options.items()]
    scan = exp.Anonymous(this="read_csv", expressions=[lit(str(path)), *given])
    query = exp.select("*").from_(exp.Table(this=scan))
    try:
        return Table.from_arrow(cursor.sql(text(query)))
    except duckdb.Error as error:
        raise LakeError(
            f"this CSV does not read: {str(error).splitlines()[0]}",
            where=Where(path),
            hint="give every line the same line end, and quote values that hold one",
        ) from error


def _rejected(cursor: duckdb.DuckDBPyConnection, lines: _Lines) -> list[_Reject]:
    found = cursor.execute(
        "select line_byte_position - 1, any_value(csv_line), "
        "string_agg(distinct error_message, '; ') from reject_errors group by 1 order by 1"
    ).fetchall()
    rejects = []
    for start, record, reason in found:
        # After a carriage return DuckDB counts line ends to the record that follows them.
        while lines.data[start] in (_NEWLINE, _RETURN):
            start += 1
        line = int(np.searchsorted(lines.starts, start, side="right"))
        span = 1 + (record or "").strip("\r\n").count("\n")
        rejects.append(_Reject(line, span, lines.raw(line, span), reason))
    return rejects


def _begins(
    cursor: duckdb.DuckDBPyConnection,
    path: Path,
    found: Table,
    lines: _Lines,
    rejects: list[_Reject],
) -> NDArray[np.int64]:
    """Return the line on which each record begins, in the order of the records."""
    # DuckDB passes over blank lines, except where a blank line is a record of one column.
    skipped = lines.blank() if found.num_columns > 1 else np.zeros(len(lines.starts), np.bool_)
    free = ~skipped
    free[0] = False  # the header
    if found.num_rows + len(rejects) == int(free.sum()):
        # As many records as lines: each record is exactly one line.
        for reject in rejects:
            free[reject.line - 1] = False
        return np.flatnonzero(free) + 1
    spans = _spans(cursor, found)
    return _walk(path, spans, skipped, {reject.line: reject.span for reject in rejects})


def _spans(cursor: duckdb.DuckDBPyConnection, found: Table) -> list[int]:
    """Return how many lines each record takes, from the line ends inside its values."""
    newline = exp.func("chr", lit(_NEWLINE), dialect="duckdb")
    total: exp.Expr = lit(1)
    for name in found.column_names:
        bare = exp.func("replace", col(name), newline.copy(), lit(""), dialect="duckdb")
        ends = exp.Sub(this=exp.func("length", col(name)), expression=exp.func("length", bare))
        total = exp.Add(this=total, expression=exp.func("coalesce", exp.paren(ends), lit(0)))
    cursor.register("_records", found)
    query = exp.select(exp.alias_(total, "span")).from_(rel("_records"))
    return [int(row[0]) for row in cursor.execute(text(query)).fetchall()]


def _walk(
    path: Path, spans: list[int], skipped: NDArray[np.bool_], rejects: dict[int, int]
) -> NDArray[np.int64]:
    blank, last = skipped.tolist(), len(skipped)

    def pass_over(line: int) -> int:
        while line <= last and (line in rejects or blank[line - 1]):
            line += rejects.get(line, 1)
        return line

    begins, line = [], 2
    for span in spans:
        line = pass_over(line)
        begins.append(line)
        line += span
    if pass_over(line) != last + 1:
        raise LakeError(
            "the lines of this CSV's records cannot be told apart",
            where=Where(path),
            hint="give every line the same line end, and quote values that hold one",
        )
    return np.asarray(begins, np.int64)


def _chunked(values: NDArray[np.int64]) -> Any:
    return Table.from_pydict({"v": Array.from_numpy(values)}).column(0)


def _as_table(rejects: list[_Reject]) -> Table:
    return Table.from_pydict(
        {
            "_line": Array([r.line for r in rejects], DataType.int64()),
            "raw": Array([r.raw for r in rejects], DataType.binary()),
            "reason": Array([r.reason for r in rejects], DataType.utf8()),
        },
        schema=_REJECTS,
    )
