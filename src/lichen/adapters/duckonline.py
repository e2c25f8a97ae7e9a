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
from lichen.core.sql import rel, text
from lichen.ports.engine import Relations, Scan


class DuckOnline:
    """Held relations are tables. Planning is dear and these tables are small, so a question is
    planned once and its plan is kept while the rows change."""

    def __init__(self, *, threads: int = 1) -> None:
        """Open an empty database; one thread is quickest for small relations."""
        config: dict[str, Any] = {"autoinstall_known_extensions": "false", "threads": str(threads)}
        self._database = duckdb.connect(":memory:", config=config)
        self._database.execute("set global TimeZone = 'UTC'")
        self._reader = _Session(self._database)
        self._writer = _Session(self._database)
        self._still = threading.RLock()

    def ask(self, question: str, given: Mapping[str, Any]) -> Table:
        """Return the answer as an Arrow table; a question asked again needs no planning."""
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

    def hold(self, name: str, question: str, given: Relations) -> int:
        """Make the answer the whole of a held relation; returns its number of rows."""
        session = self._session
        table, fresh = _quoted(name), _quoted(f"next.{name}")
        with _said(), session.seeing(given):
            if not session.has(name):
                session.run(f"create table main.{table} as {question}")
                session.run(f"create table main.{fresh} as from main.{table} limit 0")
                return session.count(name)
            # The new rows may come from the old ones, so they are complete before those go.
            session.run(f"insert into main.{fresh} {question}", again=not given)
            session.clear(f"main.{table}")
            session.run(f"insert into main.{table} from main.{fresh}")
            session.clear(f"main.{fresh}")
            return session.count(name)

    def extend(self, name: str, question: str, given: Relations) -> int:
        """Add the answer's rows to a held relation; returns their number."""
        with _said(), self._session.seeing(given):
            return int(self._session.run(f"insert into main.{_quoted(name)} {question}")[0][0])

    def ask(self, question: str, given: Relations) -> Table:
        """Return the answer in this state as an Arrow table."""
        with _said(), self._session.seeing(given):
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


class _Session:
    """A connection with the statements that it has prepared."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self.cursor = database.cursor()
        # It takes the values that a table holds today for granted; a kept plan outlives them.
        self.cursor.execute("set disabled_optimizers = 'statistics_propagation'")
        self._prepared: dict[str, str] = {}
        self._filled: set[str] = set()

    def run(self, statement: str, *, again: bool = False) -> list[Any]:
        """Run a statement; `again` keeps its plan for the next time."""
        if again:
            statement = f"execute {self._prepare(statement)}"
        return self.cursor.execute(statement).fetchall()

    def arrow(self, question: str) -> Table:
        """Return the answer to a question whose plan is kept."""
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

    def count(self, name: str) -> int:
        """Return the number of rows of a held relation."""
        rows = exp.select(exp.Count(this=exp.Star())).from_(rel(name))
        return int(self.run(text(rows))[0][0])

    def has(self, name: str) -> bool:
        """Return whether a relation is held."""
        literal = exp.Literal.string(name).sql(dialect="duckdb")
        return bool(self.run(f"from duckdb_tables() where table_name = {literal}"))

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
