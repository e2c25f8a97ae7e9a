"""The online state in a DuckDB database of its own, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
from arro3.core import Table
from sqlglot import exp

from lichen.adapters.duckdb import scan
from lichen.core.errors import ServiceError
from lichen.core.sql import text
from lichen.ports.engine import Relations, Scan


class DuckOnline:
    """Held relations are tables; a question that is asked again is not parsed again."""

    def __init__(self, *, threads: int = 1) -> None:
        """Open an empty database; one thread is quickest for small relations."""
        config: dict[str, Any] = {"autoinstall_known_extensions": "false", "threads": str(threads)}
        self._database = duckdb.connect(":memory:", config=config)
        self._database.execute("set global TimeZone = 'UTC'")
        self._database.execute("set global parquet_metadata_cache = true")  # files never change
        self._reader = _Session(self._database)
        self._writer = _Session(self._database)
        self._still = threading.RLock()

    def ask(self, question: str, given: Mapping[str, Any]) -> Table:
        """Return the answer as an Arrow table."""
        with self._still, _said():
            for name, rows in given.items():
                self._reader.fill(name, rows)
            return self._reader.arrow(question)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep the state as it is while questions that belong together are asked."""
        with self._still:
            yield

    def draft(self) -> _Draft:
        """Begin the next state; there is one draft at a time."""
        return _Draft(self._writer, self._still)


class _Draft:
    """One transaction of the writing session."""

    def __init__(self, session: _Session, still: threading.RLock) -> None:
        self._session, self._still, self._open = session, still, True
        session.cursor.execute("begin")

    def forget(self) -> None:
        """Hold nothing: what is held next may have other columns."""
        with _said():
            for (name,) in self._session.run(
                "select table_name from duckdb_tables() where not temporary"
            ):
                self._session.run(f"drop table main.{_quoted(name)}")
            self._session.held.clear()

    def hold(self, name: str, question: str, given: Relations) -> None:
        """Make the answer the whole of a held relation."""
        session, table = self._session, f"main.{_quoted(name)}"
        with _said(), session.seeing(given):
            if not session.has(name):
                session.run(f"create table {table} as {question}")
                return
            source = question
            if _quoted(name) in question:  # its new rows come from its old ones
                session.run(f"create or replace temp table _next as {question}")
                source = "from temp._next"
            session.clear(table)
            session.run(f"insert into {table} {source}", again=not given and source == question)

    def extend(self, name: str, question: str, given: Relations) -> None:
        """Add the answer's rows to a held relation."""
        with _said(), self._session.seeing(given):
            self._session.run(f"insert into main.{_quoted(name)} {question}", again=not given)

    def ask(self, question: str, given: Relations) -> Table:
        """Return the answer in this state as an Arrow table."""
        with _said(), self._session.seeing(given):
            if not given:
                return self._session.arrow(question)
            return Table.from_arrow(self._session.cursor.sql(question))

    def commit(self) -> None:
        """Make this the state that everybody reads."""
        with _said(), self._still:
            self._session.cursor.execute("commit")
            self._open = False

    def abandon(self) -> None:
        """Leave the state as it was; does nothing after a commit."""
        if self._open:
            self._open = False
            self._session.cursor.execute("rollback")
            self._session.held.clear()


class _Session:
    """A connection with the statements that it has prepared."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self.cursor = database.cursor()
        # It takes the values that a table holds now for granted; what is prepared outlives them.
        self.cursor.execute("set disabled_optimizers = 'statistics_propagation'")
        self._prepared: dict[str, str] = {}
        self._filled: set[str] = set()
        self.held: set[str] = set()

    def run(self, statement: str, *, again: bool = False) -> list[Any]:
        """Run a statement; `again` keeps it prepared for the next time."""
        if again:
            statement = f"execute {self._prepare(statement)}"
        return self.cursor.execute(statement).fetchall()

    def arrow(self, question: str) -> Table:
        """Return the answer to a question, which stays prepared."""
        return Table.from_arrow(self.cursor.sql(f"execute {self._prepare(question)}"))

    def fill(self, name: str, rows: Any) -> None:  # noqa: ARG002 - the SQL finds it by its name
        """Make the rows what a question finds under a name; its columns are those of the first."""
        table = f"temp.{_quoted(name)}"
        if name not in self._filled:
            self.cursor.execute(f"create temp table {_quoted(name)} as from rows limit 0")
            self._filled.add(name)
        self.clear(table)
        self.cursor.execute(f"insert into {table} by name from rows")

    def clear(self, table: str) -> None:
        """Empty a table, whose name is quoted already."""
        self.cursor.execute(exp.Delete(this=exp.to_table(table, dialect="duckdb")).sql("duckdb"))

    def has(self, name: str) -> bool:
        """Return whether a relation is held."""
        if name not in self.held:
            literal = exp.Literal.string(name).sql(dialect="duckdb")
            if self.run(f"from duckdb_tables() where table_name = {literal}"):
                self.held.add(name)
        return name in self.held

    @contextmanager
    def seeing(self, given: Relations) -> Iterator[None]:
        """Let statements read other relations by their names."""
        for name, relation in given.items():
            if isinstance(relation, Scan):
                made = text(scan(relation))
                self.cursor.execute(f"create or replace temp view {_quoted(name)} as {made}")
            else:
                self.cursor.register(name, relation)
        try:
            yield
        finally:
            for name in given:
                self.cursor.execute(f"drop view if exists temp.{_quoted(name)}")

    def _prepare(self, statement: str) -> str:
        if statement not in self._prepared:
            name = f"kept_{len(self._prepared)}"
            self.cursor.execute(f"prepare {name} as {statement}")
            self._prepared[statement] = name
        return self._prepared[statement]


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        what = str(error).strip().splitlines()[0]
        raise ServiceError(f"the online state cannot answer: {what}") from error


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
