"""A SELECT that cannot be followed over time is refused with what is allowed instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from lichen.core.derive import derive, shape_of
from lichen.core.errors import TableError, Where
from lichen.core.sql import parse_select
from lichen.core.versions import columns_of, stored

PATH = Path("tables/t.sql")
INPUTS = {"s": stored("s", ("k", "x")), "tables.a": stored("a", ("k", "y"))}


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("select * from s right join tables.a using (k)", "a right join"),
        ("select * from s full join tables.a using (k)", "a full join"),
        ("select * from s semi join tables.a using (k)", "a semi join"),
        ("select * from s natural join tables.a", "a natural join"),
        ("select s.k from s, tables.a", "a join without condition"),
        ("select s.k from s cross join tables.a", "a cross join"),
        ("select k from (select k from s)", "a subquery"),
        ("with c as (select k from s) select k from c", "a subquery"),
        ("select k from s where k in (select k from tables.a)", "a subquery"),
        ("select k from s, lateral (select 1)", "cannot be followed"),
        ("select k from read_csv('x.csv')", "reading READ_CSV"),
        ("select k from s using sample 3 rows", "cannot be followed"),
        ("select unnest([k]) as u from s", "unnest"),
        ("select k, now() as n from s", "whose value changes by itself"),
        ("select k, random() as n from s", "whose value changes by itself"),
        ("select count(*) as n from s", "a SELECT that aggregates"),
        ("select 1 as one", "reads nothing"),
        ("select xx from s", "did you mean 'x'"),
        ("select k from tables.b", "did you mean 'tables.a'"),
        ("select k from s join tables.a on x = y", "'k' is held by several inputs"),
        ("select s.*, a.k from s join tables.a using (k)", "'k' comes out twice"),
    ],
)
def test_refused(select: str, message: str) -> None:
    with pytest.raises(TableError, match=r"tables/t\.sql:7") as error:
        derive(parse_select(select, PATH), INPUTS, where=Where(PATH, 7))
    assert message in str(error.value)


def test_a_key_must_come_out() -> None:
    with pytest.raises(TableError, match="the key 'y' is not a column"):
        derive(parse_select("select k from s", PATH), INPUTS, ["y"])


@pytest.mark.parametrize(
    ("select", "columns"),
    [
        ("select * from s", ("k", "x")),
        ("select * exclude (x) from s", ("k",)),
        ("select s.*, A.y as Late from s left join tables.a as A using (k)", ("k", "x", "late")),
        ("select * from s left join tables.a using (k)", ("k", "x", "y")),
        ("select a.y from tables.a", ("y",)),
    ],
)
def test_stars_hold_the_users_columns_only(select: str, columns: tuple[str, ...]) -> None:
    assert columns_of(derive(parse_select(select, PATH), INPUTS)) == columns


@pytest.mark.parametrize(
    ("select", "shape"),
    [
        ("select k, x + 1 as y from s where x > 1 order by k", "rows"),
        ("select s.k from s left join a using (k)", "rows"),
        ("select distinct k from s", "aggregate"),
        ("select k from s group by k", "aggregate"),
        ("select mad(k) as m from s", "aggregate"),
        ("select lag(k) over (order by x) as l from s", "aggregate"),
        ("select k from s limit 3", "aggregate"),
        ("with c as (select k from s) select k from c", "aggregate"),
        ("select k from s where k in (select k from a)", "aggregate"),
        ("select k from s union all select k from a", "aggregate"),
    ],
)
def test_shape(select: str, shape: str) -> None:
    tree = sqlglot.parse_one(select, dialect="duckdb")
    assert isinstance(tree, exp.Query)
    assert shape_of(tree) == shape
