"""PostgreSQL read whole and by a column: ties, rows without a place, late ones, cuts, files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pgbase import Base, followed, landed, rows_of, run

from lichen.adapters.sources.postgres.connector import Postgres
from lichen.adapters.sources.postgres.settings import PostgresSettings
from lichen.core.errors import SourceError, Where
from lichen.core.settings import decode
from lichen.core.steps import Failed
from lichen.loop import open_loop
from lichen.ports.source import Limits, Outside
from lichen.testing.project import SmallProject

BY = "incremental: name\n"


def test_rows_that_share_the_greatest_value_are_not_lost(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path / "p", BY)
    base.run("insert into d values (1, 'a'), (2, 'b'), (3, 'b')")
    run(project, "2020-01-01")
    base.run("insert into d values (4, 'b')")
    run(project, "2020-01-02")
    base.run("update d set doc = 'x' where id = 2")  # and the column stays as it is
    run(project, "2020-01-03")
    assert landed(project, "2020-01-03") == rows_of(base)
    assert len(project.versions("sources.d")) == 5, "what was there is not told again"
    assert project.plan("2020-01-04") == ()


def test_rows_without_a_value_are_read_again_when_one_of_them_changed(
    base: Base, tmp_path: Path
) -> None:
    project = followed(base, tmp_path / "p", "incremental: at\nlimits: {rows: 2}\n")
    base.run("alter table d add at timestamptz")
    base.run("insert into d select i, 'n', null, case when i > 5 then now() end "
             "from generate_series(1, 9) i")  # fmt: skip
    base.run("insert into d values (10, 'n', null, 'infinity')")
    run(project, "2020-01-01")
    base.run("update d set name = 'm' where id in (2, 10); insert into d values (11, 'o')")
    run(project, "2020-01-02")
    base.run("update d set name = 'p', at = now() where id = 11")
    run(project, "2020-01-03")
    assert landed(project, "2020-01-03") == rows_of(base)
    assert project.plan("2020-01-04") == ()


def test_a_reading_that_is_cut_goes_on_where_it_was_even_among_equals(
    base: Base, tmp_path: Path
) -> None:
    project = followed(base, tmp_path / "p", "incremental: name\nlimits: {rows: 3}\n")
    path = tmp_path / "p/sources/d.yml"
    path.write_text(path.read_text().replace("key: id", "key: [doc, id]"))
    base.run("insert into d select i, 'same', case when i % 4 > 0 then 'k' || i % 4 end "
             "from generate_series(1, 40) i")  # fmt: skip
    for day in range(1, 30):  # each run begins anew, after one landing
        loop = project.loop()
        steps = loop.plan()
        if not steps:
            break
        stream = Postgres(*_parts(base, path))
        cursor = loop.state().done["sources.d"].facts["cursor"] if day > 1 else None
        reading = stream.read(cursor, stream.look(cursor), Limits(3, 10**9, 60))
        assert next(iter(reading)).rows.num_rows <= 3
        stream.close()
        run(project, f"2020-01-{day:02}")
    assert landed(project, "2020-02-01") == rows_of(base)
    assert len(project.versions("sources.d")) == 40


def _parts(base: Base, path: Path) -> tuple[PostgresSettings, Outside]:
    settings: PostgresSettings = decode(path.read_text(), Postgres.Settings, path)
    outside = Outside(
        node="sources.d",
        where=Where(path),
        root=path.parent,
        folder=path.parent,
        target="dev",
        timeout=10.0,
        secret=lambda _: base.place.password,
    )
    return settings, outside


@pytest.mark.parametrize(
    ("type_", "values", "more"),
    [
        ("int", ("1", "2", "10"), ""),
        ("numeric", ("1.5", "10.25", "1e30"), ""),
        ("double precision", ("0.1", "0.30000000000000004", "1e300"), ""),
        ("real", ("0.1", "0.2", "16777216"), ""),
        ("date", ("0044-03-15 BC", "2020-01-01", "5000-01-01"), ""),
        ("timestamp", ("0002-01-01 BC", "2020-01-01 00:00:00.000001", "2020-01-02"), ""),
        ("timestamptz", ("2020-01-01", "2020-01-01 00:00:00.5+00", "2020-02-01"), "timezone"),
        ("text", ("'; drop table d; --", "\\'x", "ü"), ""),
        (
            "uuid",
            ("00000000-0000-0000-0000-000000000001", "1" * 8 + "-0000" * 3 + "-" + "0" * 12),
            "",
        ),
        ("bytea", ("\\x00", "\\x00ff", "\\xff"), ""),
        ("size", ("small", "it's big"), ""),
        ("char(4)", ("a", "b"), ""),
    ],
)
def test_columns_of_any_type_that_has_an_order(
    base: Base, tmp_path: Path, type_: str, values: tuple[str, ...], more: str
) -> None:
    project = followed(base, tmp_path / "p", "incremental: by\nlimits: {rows: 1}\n")
    base.run("create type size as enum ('small', 'it''s big')")
    base.run(f"alter table d add by {type_}")
    if more:
        base.run(f"alter database {base.place.name} set timezone = 'Asia/Kathmandu'")
    for day, value in enumerate(values, 1):
        insert = f"insert into d values (%s, %s, null, %s::text::{type_})"  # noqa: S608
        base.many(insert, [(day * 10 + n, value, value) for n in range(2)])
        run(project, f"2020-01-0{day}")
        assert project.plan(f"2020-01-0{day}") == ()
    assert landed(project, "2020-01-09") == rows_of(base)
    assert len(project.versions("sources.d")) == 2 * len(values)


def test_rows_that_were_committed_late_are_found_by_the_overlap(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path / "p", "incremental: at\noverlap: 1 hour\n")
    base.run("alter table d add at timestamp")
    base.run("insert into d values (1, 'a', null, '2020-01-01 12:00')")
    run(project, "2020-01-02")
    base.run("insert into d values (2, 'late', null, '2020-01-01 11:30')")
    run(project, "2020-01-03")
    base.run("insert into d values (3, 'too late', null, '2020-01-01 10:30')")
    run(project, "2020-01-04")
    assert [row[0] for row in landed(project, "2020-01-04")] == [1, 2]
    assert project.plan("2020-01-05") == ()


def test_a_query_and_a_view_are_read_each_time(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path / "p", "")
    path = tmp_path / "p/sources/d.yml"
    text = path.read_text()
    base.run("create view shown as select * from d")
    base.run("insert into d values (1, 'a'), (2, 'b')")
    query = "query: |\n  select id, name, doc from d where id < 2 -- the first"
    for nth, said in enumerate((query, "table: shown"), 1):
        path.write_text(text.replace("table: d", said))
        run(project, f"2020-01-0{nth}")
        ids = [row[0] for row in landed(project, f"2020-01-0{nth}")]
        assert ids == ([1] if nth == 1 else [1, 2])
        assert project.plan(f"2020-01-0{nth}") != ()


def test_a_quiet_table_is_not_read_again(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path / "p", "")
    base.run("insert into d values (1, 'a')")
    for _ in range(20):  # other tests' transactions count, too: the server is not ours alone
        run(project, "2020-01-01")
        if project.plan("2020-01-02") == ():
            break
    else:
        raise AssertionError("it is read again though nothing happens")
    base.run("delete from d")
    run(project, "2020-01-02")
    assert landed(project, "2020-01-02") == []


@pytest.mark.parametrize("more", ["", "changes: true\n", BY])
def test_what_is_more_than_the_limits_goes_to_files_and_leaves_none(
    base: Base, tmp_path: Path, more: str
) -> None:
    root = tmp_path / "p"
    project = followed(base, root, f"{more}limits: {{rows: 1000}}\n")
    base.run("insert into d select i, 'n' || i % 7, 'x' from generate_series(1, 70000) i")
    run(project, "2020-01-01")
    base.run("delete from d where id % 10000 = 1; update d set name = 'z' where id % 10000 = 2")
    run(project, "2020-01-02")
    expected = [] if more == BY else [1, 10001, 20001, 30001, 40001, 50001, 60001]
    rows = project.versions("sources.d")
    assert [row["id"] for row in rows if row["_deleted"]] == expected
    assert len(rows) == 70_000 + 7 + len(expected)
    left = [p for p in (root / ".lichen").rglob("spool/**/*") if p.is_file()]
    assert left == []
    # Another definition reads all of it again, in one piece.
    path = root / "sources/d.yml"
    path.write_text(
        path.read_text().replace("key: id", "key: id\nknown_at: timestamptz '2019-01-01'")
    )
    run(project, "2020-01-03")
    assert landed(project, "2020-01-03") == rows_of(base)


def test_another_server_under_the_same_name(base: Base, tmp_path: Path) -> None:
    for way in (BY, "changes: true\n"):
        root = tmp_path / way[:4]
        base.run("drop table if exists d")
        project = followed(base, root, way)
        base.run("insert into d values (1, 'a')")
        run(project, "2020-01-01")
        base.run("insert into d values (2, 'b')")
        settings, outside = _parts(base, root / "sources/d.yml")
        stream = Postgres(settings, outside)
        cursor = open_loop(root).state().done["sources.d"].facts["cursor"]
        other = cursor.replace('"server":"', '"server":"1')
        with pytest.raises(SourceError, match="another server"):
            stream.read(other, stream.look(cursor), Limits(10, 10, 10))
        stream.close()


MISTAKES = (
    ("table: d\nquery: select 1\n", "what to read, once"),
    ("", "what to read, once"),
    ("query: 'select 1; drop table d'\n", "exactly one SELECT"),
    ("query: delete from d\n", "exactly one SELECT"),
    ("query: 'select 1) as q; drop table d; --'\n", "does not read"),
    ("table: d\nincremental: nmae\n", "did you mean 'name'"),
    ("table: e\n", "public.d"),
    ("table: d.d.d\n", "no name of a table"),
    ("table: d\nincremental: name\nchanges: true\n", "changes tell of every row"),
    ("table: d\noverlap: 5 minutes\n", "overlap"),
    ("table: d\nincremental: name\noverlap: 5 minutes\n", "cannot be taken from name"),
    ("table: d\nslot: 'A b'\nchanges: true\n", "no name of a replication slot"),
    ("query: select 1 as id\nchanges: true\n", "not of a query"),
)  # fmt: skip


@pytest.mark.parametrize(("said", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_file(base: Base, tmp_path: Path, said: str, told: str) -> None:
    base.run("create table d (id int primary key, name text)")
    project = SmallProject(tmp_path)
    project.write("sources/d.yml", f"connector: postgres\n{base.settings}key: id\n{said}")
    project.contract("sources/d", {"id": "bigint"})
    results = [e.result for e in project.run("2020-01-01") if e.result is not None]
    assert isinstance(results[0], Failed)
    assert told in results[0].error
    assert "d.yml" in results[0].error
    assert "Traceback" not in results[0].error
    assert base.run("select count(*) from d") == [(0,)]
