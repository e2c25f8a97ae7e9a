"""query answers one SELECT over published rows, and refuses everything else that SQL can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lichen as package
from lichen.cli import main
from lichen.core.errors import QueryError
from lichen.core.time import instant
from lichen.loop import Loop


@pytest.fixture(scope="module")
def loop(once: Path) -> Loop:
    """The shop that ran once, opened as a library."""
    return package.open(once)


ANSWERS: list[tuple[str, list[dict[str, Any]]]] = [
    ("select id, shop from clean order by id", [{"id": 1, "shop": "A"}, {"id": 3, "shop": "A"}]),
    ("from tables.by_shop", [{"shop": "A", "total": 81.0}]),
    ("select tables.clean.id from tables.clean where id = 1", [{"id": 1}]),
    ("select count(*) as n, sum(id) as s from sources.sales", [{"n": 2, "s": 4}]),
    ("select sold_at from sales where id = 1", [{"sold_at": "2020-01-01T00:00:00Z"}]),
    ("select _line, _file from sales where id = 3", [{"_line": 4, "_file": "feeds/sales1.csv"}]),
    ("with c as (select max(id) as m from clean) select m, id from c join sales on id = m",
     [{"m": 3, "id": 3}]),
    ("with clean as (select id from clean) select max(id) as m from clean", [{"m": 3}]),
    ("select id from clean union all select id from sales order by id limit 1", [{"id": 1}]),
    ("select (select max(id) from sales) as m", [{"m": 3}]),
    ("select a.id, b.id from clean a join clean b on a.id = b.id where a.id = 1",
     [{"id": 1, "id_2": 1}]),
    ("select range as i from range(2)", [{"i": 0}, {"i": 1}]),
    ("select id, row_number() over (order by id desc) as r from clean qualify r = 1",
     [{"id": 3, "r": 1}]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "rows"), ANSWERS)
def test_answers(sql: str, rows: list[dict[str, Any]], loop: Loop) -> None:
    assert list(loop.query(sql).rows) == rows


def test_a_star_holds_user_columns_and_what_is_named(loop: Loop) -> None:
    assert loop.query("select * from sales").columns == ("id", "sold_at", "shop", "amount")
    columns = loop.query("select _known_at, s.* from sales s").columns
    assert columns == ("_known_at", "id", "sold_at", "shop", "amount")


def test_a_name_means_what_was_known_then(loop: Loop) -> None:
    counted = "select count(*) as n from sales"
    assert loop.query(counted, now=instant("2020-01-01")).rows == ({"n": 1},)
    assert loop.query(counted, now=instant("2019-12-31")).rows == ({"n": 0},)


REFUSED = [
    ("copy sales to 'stolen.csv'", "exactly one SELECT, and this is copy"),
    ("copy (select 1) to 'stolen.csv'", "exactly one SELECT"),
    ("attach 'other.db'", "exactly one SELECT"),
    ("insert into clean select * from clean", "exactly one SELECT"),
    ("create table x as select 1", "exactly one SELECT"),
    ("pragma version", "exactly one SELECT"),
    ("set threads = 1", "exactly one SELECT"),
    ("install httpfs", "exactly one SELECT"),
    ("select 1; drop table clean", "2 statements"),
    ("", "0 statements"),
    ("select * into other from clean", "only reads"),
    ("with gone as (delete from clean returning *) select * from gone", "must be a SELECT"),
    ("select * from read_csv('feeds/sales1.csv')", "read_csv()"),
    ("select * from read_parquet('x.parquet')", "read_parquet()"),
    ("select * from read_text('lichen.yml')", "read_text()"),
    ("select * from glob('*')", "glob()"),
    ("select * from query('select 1')", "query()"),
    ("select * from clean, lateral read_csv('feeds/sales1.csv')", "read_csv"),
    ("select (select count(*) from read_csv('feeds/sales1.csv'))", "read_csv()"),
    ("select * from duckdb_settings()", "duckdb_settings()"),
    ("select * from 'feeds/sales1.csv'", "no table or source 'feeds/sales1.csv'"),
    ('select * from "feeds/sales1.csv"', "no table or source"),
    ('with a as (with "feeds/sales1.csv" as (select 1) select 1) select * from "feeds/sales1.csv"',
     "no table or source"),
    ("select * from information_schema.tables", "no table or source"),
    ("select * from features.turnover", "questions, not data"),
    ("select getenv('HOME')", "getenv()"),
    ("select id frm clean", "does not read"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "says"), REFUSED)
def test_refuses(sql: str, says: str, loop: Loop) -> None:
    with pytest.raises(QueryError) as error:
        loop.query(sql)
    assert says in str(error.value)
    assert not Path("stolen.csv").exists()


NEAR = [
    ("from claen", "clean"),
    ("from tables.claen", "clean"),
    ("select amuont from clean", "amount"),
    ("select c.amuont from clean c", "amount"),
]


@pytest.mark.parametrize(("sql", "word"), NEAR)
def test_says_what_was_meant(sql: str, word: str, loop: Loop) -> None:
    with pytest.raises(QueryError) as error:
        loop.query(sql)
    assert f"did you mean '{word}'?" in str(error.value)


def test_on_the_command_line(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(loop.project.root)
    assert main(["query", "select id, shop from clean order by id", "--json", "-C", folder]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "columns": ["id", "shop"],
        "rows": [{"id": 1, "shop": "A"}, {"id": 3, "shop": "A"}],
    }
    assert main(["query", "select id, shop from clean order by id", "-C", folder]) == 0
    assert capsys.readouterr().out == "id  shop\n1   A\n3   A\n2 rows\n"
    assert main(["query", "copy clean to 'x'", "-C", folder]) == 1


def test_what_was_never_published_cannot_be_asked(shop: Path, lichen: Callable[..., Any]) -> None:
    said = lichen("query", "from clean")
    assert said.code == 1
    assert "tables.clean has no published version yet" in said.err
