"""PostgreSQL: the kit for streams, whole, by a column, and by its changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from pgbase import Base

from lichen.testing.source import StreamKit, Wire, record


@dataclass
class TableWire:
    """A table; `more` says how it is read."""

    base: Base
    more: str = ""
    replays: bool = True
    keyed: bool = True
    connector: str = "postgres"
    tells_removals: bool = True
    ticks: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.base.run("create table s (n int primary key, name text, tick int)")

    @property
    def settings(self) -> str:
        return f"{self.base.settings}table: public.s\n{self.more}"

    def put(self, numbers: Sequence[int]) -> None:
        rows = [(n, record(n)["name"], next(self.ticks)) for n in numbers]
        self.base.many("insert into s values (%s, %s, %s)", rows)

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, number: int) -> bool:
        if self.tells_removals:
            self.base.run("delete from s where n = %s", (number,))
        return self.tells_removals


class TestWhole(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base)


class TestIncremental(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base, "incremental: tick\nkey: n\n", tells_removals=False, keyed=False)


class TestChanges(StreamKit):
    @pytest.fixture
    def ready(self, base: Base) -> Wire:
        return TableWire(base, "changes: true\nkey: n\n", replays=False, keyed=False)
