"""DuckDB as the engine: one in-memory database, one cursor per call, Parquet in and out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
from arro3.core import ChunkedArray, Table
from sqlglot import exp

from lichen.adapters import duckcsv, duckjson
from lichen.core.errors import LakeError
from lichen.core.sql import Prepared, col, lit, text
from lichen.ports.durable import sync
from lichen.ports.engine import NOTHING, Question, Records, Relations, Scan, Values
from lichen.ports.lake import Column, Staged

ROW_GROUP = 122_880
_NAMED = re.compile(r"\$([a-z_][a-z0-9_]*)")
MOMENT = "TIMESTAMP WITH TIME ZONE"
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
        self._described: dict[tuple[object, ...], tuple[Column, ...]] = {}
        self._database = duckdb.connect(":memory:", config=config)
        self._database.execute("set global TimeZone = 'UTC'")
        # Its guess of few questions is often wrong by thousands, and a loop over them never ends.
        self._database.execute("set global asof_loop_join_threshold = 0")
        self._database.execute("set global parquet_metadata_cache = true")  # files never change

    def columns(
        self, query: Question, relations: Relations, values: Values = NOTHING
    ) -> tuple[Column, ...]:
        """Return the columns of the result without running the query."""
        spelled, bound = _spelled(query, values)
        with self._cursor(_read(relations, spelled)) as cursor:
            return _describe(cursor, spelled, bound)

    def arrow(self, query: Question, relations: Relations, values: Values = NOTHING) -> Table:
        """Run the query; returns an Arrow table."""
        spelled, bound = _spelled(query, values)
        with self._cursor(_read(relations, spelled)) as cursor:
            return Table.from_arrow(cursor.sql(spelled, params=bound or None))

    def rows(
        self, query: Question, relations: Relations, values: Values = NOTHING
    ) -> Sequence[dict[str, Any]]:
        """Run the query; returns its rows as dicts of Python values. For small results."""
        table = self.arrow(query, relations, values)
        names = table.column_names
        found = [_python(table.column(i)) for i in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*found, strict=True)]

    def frame(self, query: Question, relations: Relations, values: Values = NOTHING) -> Any:
        """Run the query; returns a pandas DataFrame."""
        spelled, bound = _spelled(query, values)
        with self._cursor(_read(relations, spelled)) as cursor:
            found = cursor.sql(spelled, params=bound or None)
            moments = [c for c, t in zip(found.columns, found.types, strict=True) if t == MOMENT]
            if not moments:
                return found.df()
            # As moments in UTC without a zone they stay in place; with one, pandas objects.
            shown = [
                exp.alias_(exp.cast(col(c), "timestamp"), c, quoted=True)
                if c in moments
                else col(c)
                for c in found.columns
            ]
            frame = found.project(", ".join(text(column) for column in shown)).df()
            for name in moments:
                frame[name] = frame[name].dt.tz_localize("UTC")
            return frame

    def write(
        self, query: Question, relations: Relations, path: Path, values: Values = NOTHING
    ) -> Staged:
        """Run the query into one Parquet file at `path` and make the file durable.

        Rows keep the order of the query. An error leaves no file behind.
        """
        spelled, bound = _spelled(query, values)
        with self._cursor(_read(relations, spelled)) as cursor:
            columns = self._columns_of(cursor, query, relations, (spelled, bound))
            _refuse_what_delta_cannot_hold(columns)
            try:
                rows = _copy(cursor, spelled, bound, path)
                sync(path)
                sync(path.parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    path.unlink()
                raise
        return Staged(path, rows, path.stat().st_size, columns)

    def json(self, payloads: Any, columns: Sequence[str], *, more: bool = False) -> Records:
        """Read each value of the column `_payload` as one JSON object, fields as text."""
        with self._cursor({}) as cursor:
            return duckjson.read(cursor, payloads, columns, more=more)

    def csv(self, path: Path, *, delimiter: str = ",") -> Records:
        """Read a CSV file with a header as text; an empty unquoted field is NULL."""
        with self._cursor({}) as cursor:
            return duckcsv.read(cursor, path, delimiter)

    def parquet(self, path: Path) -> Records:
        """Read a Parquet file that is not ours; its rows are a query, read when they are asked."""
        numbered = exp.EQ(this=exp.var("file_row_number"), expression=exp.true())
        read = exp.Anonymous(this="read_parquet", expressions=[lit(str(path)), numbered])
        line = exp.Add(this=col("file_row_number"), expression=lit(1))
        users = exp.Star(except_=[exp.to_identifier("file_row_number")])
        query = exp.select(users, exp.alias_(line, "_line")).from_(exp.Table(this=read))
        try:
            self.columns(query, {})
        except LakeError as error:
            raise LakeError(f"this Parquet file does not read: {error.what}") from error
        return Records(query, None)

    def _columns_of(
        self,
        cursor: duckdb.DuckDBPyConnection,
        query: Question,
        relations: Relations,
        spelled: tuple[str, dict[str, Any]],
    ) -> tuple[Column, ...]:
        """Return the columns of a result; those of a prepared query over the same are known."""
        if not isinstance(query, Prepared):
            return _describe(cursor, *spelled)
        read = ((n, r.columns if isinstance(r, Scan) else "") for n, r in relations.items())
        key = (query.text, tuple(sorted(read, key=str)))
        if key not in self._described:
            self._described[key] = _describe(cursor, *spelled)
        return self._described[key]

    @contextmanager
    def _cursor(self, relations: Relations) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._database.cursor()
        try:
            for name, relation in relations.items():
                if isinstance(relation, Scan):
                    view = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
                    cursor.execute(f"create temp view {view} as {_view(relation)}")
                elif isinstance(relation, exp.Query):
                    view = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
                    cursor.execute(f"create temp view {view} as {text(relation)}")
                else:
                    cursor.register(name, relation)
            yield cursor
        except duckdb.Error as error:
            what = str(error).strip().splitlines()[0]
            raise LakeError(f"the engine cannot run this query: {what}") from error
        finally:
            cursor.close()


def _python(column: ChunkedArray) -> list[Any]:
    return list(column.to_pylist())


def scan(stored: Scan) -> exp.Select:
    """Return the SELECT of a stored relation: its columns with their types, and no others."""
    if not stored.files:
        empty = [
            exp.alias_(exp.cast(exp.null(), c.type, dialect="duckdb"), c.name, quoted=True)
            for c in stored.columns
        ]
        return exp.select(*empty).where(exp.false())
    files = exp.array(*(lit(str(path)) for path in stored.files))
    parquet = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[files]))
    return exp.select(*(_typed(column) for column in stored.columns)).from_(parquet)


def _spelled(query: Question, values: Values) -> tuple[str, dict[str, Any]]:
    """Return the text of a query and the values that it names."""
    spelled = query.text if isinstance(query, Prepared) else text(query)
    return spelled, {name: values[name] for name in set(_NAMED.findall(spelled)) & set(values)}


def _read(relations: Relations, spelled: str) -> Relations:
    """Return the relations whose names stand in a query: to name one costs opening its files."""
    words = spelled.lower()
    return {name: each for name, each in relations.items() if name.lower() in words}


def _view(stored: Scan) -> str:
    """Return the text of `scan`; its parts repeat from call to call, and are kept."""
    if not stored.files:
        return text(scan(stored))
    files = ", ".join(map(_literal, stored.files))
    return f"{_select_list(stored.columns)} from read_parquet([{files}])"


@lru_cache(maxsize=10_000)
def _literal(path: Path) -> str:
    return text(lit(str(path)))


@lru_cache(maxsize=1_000)
def _select_list(columns: tuple[Column, ...]) -> str:
    return text(exp.select(*(_typed(column) for column in columns)))


def _typed(column: Column) -> exp.Expr:
    value = exp.cast(col(column.name), column.type, dialect="duckdb")
    return exp.alias_(value, column.name, quoted=True)


def _describe(
    cursor: duckdb.DuckDBPyConnection, query: str, bound: dict[str, Any]
) -> tuple[Column, ...]:
    found = cursor.execute(f"describe {query}", bound).fetchall()
    return tuple(Column(row[0], row[1]) for row in found)


def _copy(cursor: duckdb.DuckDBPyConnection, query: str, bound: dict[str, Any], path: Path) -> int:
    target = lit(str(path)).sql(dialect="duckdb")
    copy = (
        f"copy ({query}) to {target} (format parquet, compression zstd, row_group_size {ROW_GROUP})"
    )
    found = cursor.execute(copy, bound).fetchone()
    return int(found[0]) if found else 0


def _refuse_what_delta_cannot_hold(columns: Sequence[Column]) -> None:
    for column in columns:
        better = _CAST.get(column.type.rstrip("[]"))
        if better:
            raise LakeError(
                f"the column {column.name!r} is {column.type}, which no stored table can hold",
                hint=f"cast it: {column.name}::{better}{column.type.count('[]') * '[]'}",
            )
