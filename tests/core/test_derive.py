"""Deriving over versions equals the ordinary SELECT over what was current, at every moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import duckdb
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from lichen.core.derive import derive
from lichen.core.sql import text
from lichen.core.versions import as_versions, at_moment, columns_of, current, spans, stored

START = datetime(2013, 1, 1, tzinfo=UTC)
COLUMNS = {"s": ("k", "x"), "a": ("k", "y"), "b": ("y", "z")}
SELECTS = {
    "row by row": "select k, x + 1 as x1 from s where x > 1",
    "inner join": "select s.k, x, a.y from s join a on s.k = a.k",
    "left join": "select * from s left join a using (k)",
    "left join with a condition": "select s.*, y from s left join a on s.k = a.k and a.y > x",
    "left join, then where": "select s.k, x, y from s left join a using (k) where y is null",
    "two left joins": "select s.k, x, a.y, z from s left join a using (k) left join b on a.y = b.y",
    "left, then inner": "select s.k, x, a.y, z from s left join a using (k) join b on s.x = b.y",
    "inner, then left": "select s.k, x, q.y, z from s join a q using (k) left join b on q.y = b.y",
    "itself": "select l.k, l.x, r.x as other from s l left join s r on l.k = r.x",
}


class Version(NamedTuple):
    """One stored version in small numbers: hours, keys and values."""

    key: int
    known: int | None
    deleted: bool
    one: int
    two: int


def versions(keys: int) -> st.SearchStrategy[list[Version]]:
    small = st.integers(0, 3)
    version = st.builds(
        Version,
        key=st.integers(0, keys),
        known=st.one_of(st.none(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        deleted=st.sampled_from([False, False, True]),
        one=small,
        two=small,
    )
    return st.lists(version, max_size=9)


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    for name, columns in COLUMNS.items():
        users = ", ".join(f"{column} int" for column in columns)
        connection.execute(
            f"create table {name} ({users}, _row bigint, _key varchar, _known_at timestamptz,"
            " _arrived_at timestamptz, _deleted boolean)"
        )
    return connection


def store(db: duckdb.DuckDBPyConnection, name: str, rows: list[Version]) -> None:
    db.execute(text(exp.delete(name)))
    values = [
        [v.one, v.two, row, str(v.key), known(v), START.isoformat(), v.deleted]
        for row, v in reversed(list(enumerate(rows)))  # not in the order of time
    ]
    if rows:
        table = exp.insert(exp.values([tuple(row) for row in values]), name)
        db.execute(text(table))


def known(version: Version) -> str | None:
    return None if version.known is None else (START + timedelta(hours=version.known)).isoformat()


INPUTS: Mapping[str, exp.Query] = {name: stored(name, users) for name, users in COLUMNS.items()}
AT = exp.cast(exp.Placeholder(this="at"), "timestamptz")


@cache
def compiled(name: str) -> tuple[str, str]:
    """Return the SQL of a derived table cut to one moment, and of the SELECT at that moment."""
    select = sqlglot.parse_one(SELECTS[name], dialect="duckdb")
    assert isinstance(select, exp.Select)
    derived = as_versions(derive(select, INPUTS))
    columns = columns_of(derived)
    expected = at_moment(select, INPUTS, AT)
    return cut(current(derived, AT), columns), cut(expected, columns)


def cut(query: exp.Query, columns: tuple[str, ...]) -> str:
    return text(exp.select(*columns).from_(query.subquery("q")))


def rows(db: duckdb.DuckDBPyConnection, query: str, hour: int) -> Counter[Any]:
    at = (START + timedelta(hours=hour)).isoformat()
    return Counter(db.execute(query, {"at": at}).fetchall())


@pytest.mark.parametrize("name", SELECTS)
@settings(max_examples=10, deadline=None)
@given(s=versions(3), a=versions(4), b=versions(4), hour=st.integers(-1, 10))
def test_at_every_moment_a_derived_table_equals_the_select(
    db: duckdb.DuckDBPyConnection,
    name: str,
    s: list[Version],
    a: list[Version],
    b: list[Version],
    hour: int,
) -> None:
    for table, stored_rows in zip("sab", (s, a, b), strict=True):
        store(db, table, stored_rows)
    derived, ordinary = compiled(name)
    assert rows(db, derived, hour) == rows(db, ordinary, hour)


@settings(max_examples=20, deadline=None)
@given(s=versions(1), hour=st.integers(-1, 10))
@example(s=[Version(0, 1, False, 1, 1), Version(0, 1, False, 2, 2)], hour=1)
def test_current_is_the_last_version_known(
    db: duckdb.DuckDBPyConnection, s: list[Version], hour: int
) -> None:
    store(db, "s", s)
    last: dict[int, tuple[int, int, Version]] = {}
    for row, v in enumerate(s):
        if v.known is not None and v.known <= hour:
            last[v.key] = max(last.get(v.key, (-9, -9, v)), (v.known, row, v))
    expected = Counter((v.one, v.two) for _, _, v in last.values() if not v.deleted)
    plain, again = (cut(current(v, AT), ("k", "x")) for v in (INPUTS["s"], respanned()))
    assert rows(db, plain, hour) == expected
    assert rows(db, again, hour) == expected


@cache
def respanned() -> exp.Query:
    return as_versions(spans(INPUTS["s"]))
