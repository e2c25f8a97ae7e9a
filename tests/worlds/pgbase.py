"""A database of PostgreSQL that a test writes to, and how a source of it is declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import pytest
from psycopg2 import extras
from servers import Place


@dataclass
class Base:
    """A database, through a client that commits each statement."""

    place: Place
    client: Any

    @property
    def settings(self) -> str:
        """What a source says of where it is."""
        return self.at(self.place.port)

    def at(self, port: int) -> str:
        """Say the same of another port, such as a proxy's."""
        place = self.place
        return (
            f"host: {place.host}\nport: {port}\ndatabase: {place.name}\nuser: {place.user}\n"
            "password: env:POSTGRES_PASSWORD\n"
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


@pytest.fixture
def base(postgres_database: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Base]:
    """An empty database."""
    place = postgres_database
    monkeypatch.setenv("POSTGRES_PASSWORD", place.password)
    client = psycopg2.connect(
        host=place.host,
        port=place.port,
        dbname=place.name,
        user=place.user,
        password=place.password,
    )
    client.autocommit = True
    yield Base(place, client)
    client.close()
