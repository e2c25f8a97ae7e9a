"""DuckDB as the engine: one in-memory database, one cursor per call, Parquet in and out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
from arro3.core import ChunkedArray, Table
from sqlglot import exp

from lichen.adapters import duckcsv
from lichen.core.errors import LakeError
from lichen.core.sql import col, lit, text
from lichen.ports.engine import Records, Relations, Scan
from lichen.ports.lake import Column, Staged

ROW_GROUP = 122_880
# What DuckDB may compute but a Delta table cannot hold, and what to cast it to.
_CAST = {
    "UBIGINT": "bigint",
    "HUGEINT": "bigint",
    "UHUGEINT": "decimal(38, 0)",
    "UINTEGER": "bigint",
    "USMALLINT": "integer",
    "UTINYINT": "smallint",
    "TIMESTAMP": "timestamptz",
    "TIMESTAMP_NS": "timestamptz",
    "TIMESTAMP_MS": "timestamptz",
    "TIMESTAMP_S": "timestamptz",
    "TIME": "varchar",
    "TIME WITH TIME ZONE": "varchar",
    "INTERVAL": "bigint",
    "UUID": "varchar",
    "BIT": "varchar",
}


class DuckDB:
    """The engine on DuckDB. Safe to call from several threads: each call has its own cursor.

    A cursor is a connection of its own, so the temporary views that name a call's relations are
    invisible to every other call.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        memory: str | None = None,
        temp: Path | None = None,
    ) -> None:
        """Open an empty database; `memory` is a limit such as '2GB', `temp` where it spills."""
        config: dict[str, Any] = {"autoinstall_known_extensions": "false"}
        if threads is not None:
            config["threads"] = str(threads)
        if memory is not None:
            config["memory_limit"] = memory
        if temp is not None:
            config["temp_directory"] = str(temp)
        self._database = duckdb.connect(":memory:", config=config)
        self._database.execute("set global TimeZone = 'UTC'")

    def columns(self, query: exp.Query, relations: Relations) -> tuple[Column, ...]:
        """Return the columns of the result without running the query."""
        with self._cursor(relations) as cursor:
            return _describe(cursor, text(query))

    def arrow(self, query: exp.Query, relations: Relations) -> Table:
        """Run the query; returns an Arrow table."""
        with self._cursor(relations) as cursor:
            return Table.from_arrow(cursor.sql(text(query)))

    def rows(self, query: exp.Query, relations: Relations) -> Sequence[dict[str, Any]]:
        """Run the query; returns its rows as dicts of Python values. For small results."""
        table = self.arrow(query, relations)
        names = table.column_names
        values = [_python(table.column(i)) for i in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def frame(self, query: exp.Query, relations: Relations) -> Any:
        """Run the query; returns a pandas DataFrame."""
        # What DuckDB calls of pandas for times, pandas 3.1 calls deprecated.
        warnings.filterwarnings("ignore", message="The inplace keyword in DataFrame.drop")
        with self._cursor(relations) as cursor:
            return cursor.execute(text(query)).df()

    def write(self, query: exp.Query, relations: Relations, path: Path) -> Staged:
        """Run the query into one Parquet file at `path` and make the file durable.

        Rows keep the order of the query. An error leaves no file behind.
        """
        with self._cursor(relations) as cursor:
            columns = _describe(cursor, text(query))
            _refuse_what_delta_cannot_hold(columns)
            try:
                rows = _copy(cursor, text(query), path)
                sync(path)
                sync(path.parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    path.unlink()
                raise
        return Staged(path, rows, path.stat().st_size, columns)

    def csv(self, path: Path, *, delimiter: str = ",") -> Records:
        """Read a CSV file with a header as text; an empty unquoted field is NULL."""
        with self._cursor({}) as cursor:
            return duckcsv.read(cursor, path, delimiter)

    @contextmanager
    def _cursor(self, relations: Relations) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._database.cursor()
        try:
            for name, relation in relations.items():
                if isinstance(relation, Scan):
                    view = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
                    cursor.execute(f"create temp view {view} as {text(_scan(relation))}")
                else:
                    cursor.register(name, relation)
            yield cursor
        except duckdb.Error as error:
            what = str(error).strip().splitlines()[0]
            raise LakeError(f"the engine cannot run this query: {what}") from error
        finally:
            cursor.close()


def _python(column: ChunkedArray) -> list[Any]:
    return [column[i].as_py() for i in range(len(column))]


def _scan(scan: Scan) -> exp.Select:
    """Return the SELECT of a stored relation: its columns with their types, and no others."""
    if not scan.files:
        empty = [
            exp.alias_(exp.cast(exp.null(), c.type, dialect="duckdb"), c.name, quoted=True)
            for c in scan.columns
        ]
        return exp.select(*empty).where(exp.false())
    files = exp.array(*(lit(str(path)) for path in scan.files))
    parquet = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[files]))
    return exp.select(
        *(
            exp.alias_(exp.cast(col(c.name), c.type, dialect="duckdb"), c.name, quoted=True)
            for c in scan.columns
        )
    ).from_(parquet)


def _describe(cursor: duckdb.DuckDBPyConnection, query: str) -> tuple[Column, ...]:
    return tuple(Column(row[0], row[1]) for row in cursor.execute(f"describe {query}").fetchall())


def _copy(cursor: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    target = lit(str(path)).sql(dialect="duckdb")
    copy = (
        f"copy ({query}) to {target} (format parquet, compression zstd, row_group_size {ROW_GROUP})"
    )
    found = cursor.execute(copy).fetchone()
    return int(found[0]) if found else 0


def _refuse_what_delta_cannot_hold(columns: Sequence[Column]) -> None:
    for column in columns:
        better = _CAST.get(column.type.rstrip("[]"))
        if better:
            raise LakeError(
                f"the column {column.name!r} is {column.type}, which no stored table can hold",
                hint=f"cast it: {column.name}::{better}{column.type.count('[]') * '[]'}",
            )


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
