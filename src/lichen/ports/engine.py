"""The engine: runs one SQL tree over named relations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlglot import exp

from lichen.core.sql import Prepared
from lichen.ports.lake import Column, Staged


class Scan(NamedTuple):
    """A stored relation: its files at a pinned version, and its columns (for when it is empty)."""

    files: tuple[Path, ...]
    columns: tuple[Column, ...]


# What a query may read, by the name that stands in its FROM: stored files, a query that reads
# elsewhere (as `parquet` returns it), or any object that speaks the Arrow C stream interface (an
# Arrow table, a Polars frame, …).
Relations = Mapping[str, "Scan | exp.Query | Any"]


class Records(NamedTuple):
    """A file's records: those that read, and those that do not (None: there are none).

    `rows` is a relation: the file's columns, as VARCHAR where it is text, and `_line` BIGINT, the
    line on which the record begins (the header is line 1) or, where there are no lines, its
    number. `rejects` is an Arrow table of `_line`, `raw` BLOB and `reason` VARCHAR.
    """

    rows: Any
    rejects: Any


# A tree, or text that was made from one; `$names` in it are bound to values.
Question = exp.Query | Prepared
Values = Mapping[str, str | int | float | None]
NOTHING: Values = {}


class Engine(Protocol):
    """Runs queries in Lichen's dialect (DuckDB); times are UTC."""

    def columns(
        self, query: Question, relations: Relations, values: Values = NOTHING
    ) -> tuple[Column, ...]:
        """Return the columns of the result without running the query."""

    def arrow(self, query: Question, relations: Relations, values: Values = NOTHING) -> Any:
        """Run the query; returns an Arrow table (arro3.core.Table)."""

    def rows(
        self, query: Question, relations: Relations, values: Values = NOTHING
    ) -> Sequence[dict[str, Any]]:
        """Run the query; returns its rows as dicts of Python values. For small results."""

    def frame(self, query: Question, relations: Relations, values: Values = NOTHING) -> Any:
        """Run the query; returns a pandas DataFrame."""

    def write(
        self, query: Question, relations: Relations, path: Path, values: Values = NOTHING
    ) -> Staged:
        """Run the query into one Parquet file at `path` and make the file durable."""

    def json(self, payloads: Any, columns: Sequence[str], *, more: bool = False) -> Records:
        """Read each value of the column `_payload` as one JSON object, fields as text.

        A field that is missing, or null, is NULL; one that is an object or a list is its JSON
        text. The other columns are kept. `rejects` has `_file` and `_line` of the payloads. With
        `more` the column `_more` has the fields that were not asked for, as one JSON object.
        """

    def csv(self, path: Path, *, delimiter: str = ",") -> Records:
        """Read a CSV file with a header as text; an empty unquoted field is NULL."""

    def parquet(self, path: Path) -> Records:
        """Read a Parquet file that is not ours; its rows are a query, read when they are asked."""
