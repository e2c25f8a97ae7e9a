"""A database of PostgreSQL that a test writes to, and how a source of it is declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import pytest
from psycopg2 import extras
from servers import Place

from lichen.core.steps import Done
from lichen.loop import Event
from lichen.testing.project import SmallProject


@dataclass
class Base:
    """A database, through a client that commits each statement."""

    place: Place
    client: Any
    secret: Path  # a file with the password

    @property
    def settings(self) -> str:
        """What a source says of where it is."""
        return self.at(self.place.port)

    def at(self, port: int) -> str:
        """Say the same of another port, such as a proxy's."""
        place = self.place
        return (
            f"host: {place.host}\nport: {port}\ndatabase: {place.name}\nuser: {place.user}\n"
            f"password: file:{self.secret}\n"
        )

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run statements, as one transaction, and return the rows of the last."""
        with self.client.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of many rows."""
        with self.client.cursor() as cursor:
            extras.execute_batch(cursor, sql, rows)

    def another(self) -> Any:
        """Return a client of one's own, which commits each statement."""
        return _client(self.place)


@pytest.fixture
def base(postgres_database: Place, tmp_path: Path) -> Iterator[Base]:
    """An empty database."""
    secret = tmp_path / "kept-apart"
    secret.write_text(postgres_database.password)
    client = _client(postgres_database)
    yield Base(postgres_database, client, secret)
    client.close()


def _client(place: Place) -> Any:
    client = psycopg2.connect(
        host=place.host,
        port=place.port,
        dbname=place.name,
        user=place.user,
        password=place.password,
    )
    client.autocommit = True
    return client


def followed(base: Base, root: Path, more: str = "changes: true\n") -> SmallProject:
    """Return a project that reads the table `d`, of three columns, as `more` says."""
    base.run("create table d (id int primary key, name text, doc text)")
    base.run("alter table d alter doc set storage external")
    project = SmallProject(root)
    project.write("sources/d.yml", f"connector: postgres\n{base.settings}table: d\nkey: id\n{more}")
    project.contract("sources/d", {"id": "bigint", "name": "varchar", "doc": "varchar"})
    return project


def run(project: SmallProject, now: str) -> tuple[Event, ...]:
    """Run a project, of which nothing may fail."""
    events = project.run(now)
    for event in events:
        assert isinstance(event.result, Done), event
    return events


def rows_of(base: Base) -> list[Any]:
    """Return the rows of `d` as the database has them, by their key."""
    return base.run("select id, name, doc from d order by id")


def landed(project: SmallProject, now: str) -> list[Any]:
    """Return the rows of `d` as a project has them at a time, by their key."""
    return sorted(tuple(row.values()) for row in project.current("sources.d", now))
