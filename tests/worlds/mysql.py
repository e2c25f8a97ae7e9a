"""A table on a real MariaDB, as the other end of a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql  # type: ignore[import-untyped]
from servers import Place

from lichen.testing.source import record

SECRET = "LICHEN_TEST_MYSQL"  # noqa: S105 - the name of a variable


@dataclass
class Rows:
    """Records as rows of the table `t`, with the key `n`."""

    place: Place
    more: str
    name: str = "t"
    replays: bool = True
    tells_removals: bool = False
    connector: str = field(default="mysql", init=False)
    keyed: bool = field(default=False, init=False)  # the settings say so

    def __post_init__(self) -> None:
        os.environ[SECRET] = self.place.password
        self.ask("create table if not exists t (n bigint primary key, name varchar(40))")

    @property
    def settings(self) -> str:
        return settings(self.place, f"table: {self.name}\n{self.more}")

    def put(self, numbers: Sequence[int]) -> None:
        rows = [(record(n)["n"], record(n)["name"]) for n in numbers]
        with connected(self.place) as connection, connection.cursor() as cursor:
            cursor.executemany("insert into t values (%s, %s)", rows)
            connection.commit()

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, number: int) -> bool:
        if self.tells_removals:
            self.ask(f"delete from t where n = {number}")  # noqa: S608
        return self.tells_removals

    def ask(self, *statements: str) -> list[Any]:
        return ask(self.place, *statements)


def settings(place: Place, more: str) -> str:
    """Return what a source says of a place, and more."""
    return (
        f"host: {place.host}\nport: {place.port}\ndatabase: {place.name}\nuser: {place.user}\n"
        f"password: env:{SECRET}\n{more}\n"
    )


@contextmanager
def connected(place: Place) -> Iterator[Any]:
    connection = pymysql.connect(
        host=place.host,
        port=place.port,
        user=place.user,
        password=place.password,
        database=place.name,
        charset="utf8mb4",
        init_command="set time_zone = '+00:00', sql_mode = ''",
    )
    try:
        yield connection
    finally:
        connection.close()


def ask(place: Place, *statements: str) -> list[Any]:
    """Run statements in one transaction; return the rows of the last one."""
    with connected(place) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        return list(cursor.fetchall())
