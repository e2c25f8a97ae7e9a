"""Names and values in PostgreSQL that would change a statement, were they not quoted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pgbase import Base
from psycopg2.extensions import quote_ident  # type: ignore[import-untyped]

from lichen.adapters.sources.postgres.connector import Postgres
from lichen.core.errors import Where
from lichen.core.steps import Failed
from lichen.ports.source import Limits, Outside
from lichen.testing.project import SmallProject

HARM = (
    "'", '"', ";", "--", "/*", "\\", "$$", "%s", "%(a)s", "{0}", ")", "\n", "\t", "ü", "🦠", "*/",
    "' or 1=1 --", "'; drop table victim; --", '"; drop table victim; --', "x' || (select 1) || '",
    "\\'; drop table victim; --", "$a$; drop table victim; $a$", "select", "null", "q", "m", "one",
    "line", "a.b", " lead", "trail ", "UPPER", "ünï", "\x01", "\x7f", "?", ":a", "@", "`", "\u202e",
    "\u00a0", "''", '""', "e'\\''", "U&'\\0041'", "}", "[", "=", "a" * 63, "é" * 31, "\\.", "\r",
)  # fmt: skip
WORDS = tuple(
    (f"{one}{other}"[:60], one) for one, other in zip(HARM * 2, ("", *HARM, *HARM[1:]), strict=True)
)


@pytest.mark.parametrize(("way", "every"), [("", 4), ("incremental", 1), ("changes", 4)])
def test_a_hundred_names_and_values_change_no_statement(
    base: Base, tmp_path: Path, way: str, every: int
) -> None:
    """Each is a table's, a column's and a key's name, and a value that the cursor holds."""
    assert len(set(WORDS)) >= 100
    base.run("create table victim (n int); insert into victim values (1)")
    for nth, (word, value) in enumerate(sorted(set(WORDS))[::every]):
        name = word.encode()[:63].decode(errors="ignore")
        table = f"s{nth}.{quote_ident(name, base.client)}"
        base.run(f"create schema s{nth}")
        base.run(f"create table {table} ({table.partition('.')[2]} text primary key, other text)")
        insert = f"insert into {table.replace('%', '%%')} values (%s, %s)"  # noqa: S608
        base.many(insert, [(f"{value}{n}", name) for n in (1, 2)])
        key = {"key": name, way: name if way == "incremental" else True} if way else {}
        quoted = '"' + name.replace('"', '""') + '"'
        stream = opened(base, tmp_path, table=f"s{nth}.{quoted}", **key)
        first = read(stream, None)
        assert first.rows == [(f"{value}1", name), (f"{value}2", name)], (way, name)
        assert first.names == [name, "other"]
        base.many(insert, [(f"{value}3", "x")])
        stream.close()  # so that the next reading is made of the cursor alone
        second = read(stream, first.cursor)
        assert (f"{value}3", "x") in second.rows, (way, name)
        assert len(second.rows) == {"": 3, "incremental": 2, "changes": 1}[way]
        stream.close()
        (tmp_path / "postgres/sources.d.slot").unlink(missing_ok=True)
        base.run("select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                 "where database = current_database()")  # fmt: skip
        base.run(f"drop schema s{nth} cascade")
    assert base.run("select * from victim") == [(1,)]


@dataclass
class Read:
    """What a reading gave."""

    rows: list[Any]
    names: list[str]
    cursor: str


def opened(base: Base, folder: Path, **more: Any) -> Postgres:
    """Open a connector by itself."""
    place = base.place
    settings = Postgres.Settings(
        connector="postgres",
        host=place.host,
        port=place.port,
        database=place.name,
        user=place.user,
        password="env:ANY",  # noqa: S106 - the name of a place
        **more,
    )
    outside = Outside(
        node="sources.d",
        where=Where(folder / "d.yml"),
        root=folder,
        folder=folder,
        target="dev",
        timeout=10.0,
        secret=lambda _: place.password,
    )
    return Postgres(settings, outside)


def read(stream: Postgres, cursor: str | None) -> Read:
    """Read two columns of what there is, in order."""
    reading = stream.read(cursor, stream.look(cursor), Limits(1000, 10**9, 60.0))
    batches = list(reading)
    reading.close()
    columns = [[b.rows.column(n).to_pylist() for n in (0, 1)] for b in batches]
    found = [row for c in columns for row in zip(*c, strict=True)]
    return Read(sorted(found), batches[0].rows.column_names[:2], batches[-1].cursor)


def test_a_name_that_is_too_long_is_not_cut_to_that_of_another_table(
    base: Base, tmp_path: Path
) -> None:
    base.run(f"create table {'t' * 63} (id int primary key)")
    project = SmallProject(tmp_path)
    said = f"connector: postgres\n{base.settings}table: {'t' * 64}\n"
    project.write("sources/s.yml", said)
    project.contract("sources/s", {"id": "bigint"})
    results = [e.result for e in project.run("2020-01-01") if e.result is not None]
    assert isinstance(results[0], Failed)
    assert f"there is no table 'public.{'t' * 64}'" in results[0].error
