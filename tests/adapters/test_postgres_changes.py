"""Changes of a PostgreSQL table: what they tell, where they begin, and what becomes of the slot."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from killed import killed
from pgbase import Base, followed, landed, rows_of, run

from lichen.core.steps import Done, Failed
from lichen.loop import open_loop
from lichen.testing.project import SmallProject


def test_a_value_that_is_stored_apart_and_was_not_touched_stays(base: Base, tmp_path: Path) -> None:
    project, long = followed(base, tmp_path), "long " * 4000
    base.run("insert into d values (1, 'a', %s), (2, 'b', %s)", (long, long))
    run(project, "2020-01-01")
    base.run("update d set name = 'c' where id = 1")
    run(project, "2020-01-02")
    # The same in one landing: each keeps what the change before it told, NULL too.
    base.run("insert into d values (3, 'a', %s)", (long + "!",))
    base.run("update d set name = 'b'")
    base.run("update d set doc = null where id = 2")
    base.run("update d set name = 'c', doc = doc where id in (2, 3)")
    base.run("update d set id = 30 where id = 3")
    run(project, "2020-01-03")
    assert project.current("sources.d", "2020-01-02") == [
        {"id": 1, "name": "c", "doc": long},
        {"id": 2, "name": "b", "doc": long},
    ]
    assert project.current("sources.d", "2020-01-03") == [
        {"id": 1, "name": "b", "doc": long},
        {"id": 2, "name": "c", "doc": None},
        {"id": 30, "name": "c", "doc": long + "!"},
    ]
    names = [(row["id"], row["name"], row["doc"] == long + "!", row["_deleted"])
             for row in project.versions("sources.d") if row["id"] in (3, 30)]  # fmt: skip
    assert sorted(names) == [
        (3, "a", True, False), (3, "b", True, False), (3, "c", True, False),
        (3, "c", True, True), (30, "c", True, False),
    ]  # fmt: skip


def test_all_that_may_become_of_a_table(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    base.run("insert into d select i, 'n' || i from generate_series(1, 5) i")
    run(project, "2020-01-01")
    base.run(
        "delete from d where id = 2; update d set id = 6 where id = 3; insert into d values (2)"
    )
    run(project, "2020-01-02")
    base.run("update d set name = 'last'; truncate d; insert into d values (1, 'new'), (9, 'x')")
    base.run("insert into d values (4, 'y')")
    run(project, "2020-01-03")
    assert [row["id"] for row in project.current("sources.d", "2020-01-02")] == [1, 2, 4, 5, 6]
    assert project.current("sources.d", "2020-01-03") == [
        {"id": 1, "name": "new", "doc": None},
        {"id": 4, "name": "y", "doc": None},
        {"id": 9, "name": "x", "doc": None},
    ]
    rows = project.versions("sources.d")
    assert len({(row["_file"], row["_line"]) for row in rows if not row["_deleted"]}) == len(
        [row for row in rows if not row["_deleted"]]
    )
    assert project.plan("2020-01-04") == ()


def test_one_big_transaction_is_landed_in_pieces_and_small_ones_whole(
    base: Base, tmp_path: Path
) -> None:
    project = followed(base, tmp_path / "p", "changes: true\nlimits: {rows: 500}\n")
    run(project, "2020-01-01")
    base.run(
        "insert into d select i, 'n' from generate_series(1, 3000) i; delete from d where id = 7"
    )
    base.run("update d set name = 'm' where id <= 10")
    events = run(project, "2020-01-02")
    assert len([e for e in events if e.step.node == "sources.d" and e.result]) >= 6
    rows = project.versions("sources.d")
    assert len(rows) == 3000 + 1 + 9
    assert len({(row["_file"], row["_line"]) for row in rows}) == len(rows)
    assert landed(project, "2020-01-02") == rows_of(base)


def test_rows_of_one_entry_in_the_log_have_places_of_their_own(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path / "p")
    run(project, "2020-01-01")
    with base.client.cursor() as cursor:  # COPY writes many rows as one entry
        cursor.copy_from(Lines(f"{n}\tn\t\\N\n" for n in range(1000)), "d")
    run(project, "2020-01-02")
    rows = project.versions("sources.d")
    assert len({(row["_file"], row["_line"]) for row in rows}) == 1000
    assert landed(project, "2020-01-02") == rows_of(base)


class Lines:
    """Lines as a file that is read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._text = "".join(lines)

    def read(self, size: int) -> str:
        piece, self._text = self._text[:size], self._text[size:]
        return piece


def test_nothing_is_lost_or_told_twice_between_the_snapshot_and_the_changes(
    base: Base, tmp_path: Path
) -> None:
    project, enough = followed(base, tmp_path / "p"), threading.Event()
    base.run("insert into d select i, '0' from generate_series(1, 2000) i")

    def write() -> None:
        client = base.another()
        with client.cursor() as cursor:
            for n in range(100_000):
                cursor.execute(
                    "update d set name = (name::int + 1)::text where id = %s", (n % 50 + 1,)
                )
                cursor.execute("insert into d values (%s, '0')", (5000 + n,))
                cursor.execute("delete from d where id = %s", (5000 + n - 10,))
                if enough.is_set():
                    break
        client.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for day in range(1, 5):
            run(project, f"2020-01-0{day}")
    finally:
        enough.set()
        writer.join()
    run(project, "2020-01-05")
    assert landed(project, "2020-01-05") == rows_of(base)
    counted = [int(row["name"]) for row in project.versions("sources.d") if row["id"] == 1]
    begun = counted[0]  # each update came once: the versions count up without a gap
    assert counted == list(range(begun, begun + len(counted)))
    assert len(counted) > 2


def test_what_was_committed_and_not_acknowledged_does_not_land_twice(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = followed(base, tmp_path / "p")
    run(project, "2020-01-01")
    slot = (
        "select confirmed_flush_lsn from pg_replication_slots where database = current_database()"
    )
    before = base.run(slot)
    from lichen.adapters.sources.postgres.connector import Postgres

    with monkeypatch.context() as patch:
        patch.setattr(Postgres, "acknowledge", lambda *_: None)  # as if the process ended here
        base.run("insert into d values (1, 'a'), (2, 'b')")
        run(project, "2020-01-02")
        assert base.run(slot) == before, "a slot is moved on by nothing but the acknowledgement"
    base.run("update d set name = 'c' where id = 1")
    run(project, "2020-01-03")
    assert [(row["id"], row["name"]) for row in project.versions("sources.d")] == [
        (1, "a"), (2, "b"), (1, "c"),
    ]  # fmt: skip
    assert base.run(slot) > before
    assert project.plan("2020-01-04") == ()


@pytest.mark.parametrize("fault", ["dropped", "moved on", "unpublished", "another table"])
def test_where_changes_are_lost_the_table_is_read_whole_and_compared(
    base: Base, tmp_path: Path, fault: str
) -> None:
    project = followed(base, tmp_path / "p")
    base.run("insert into d values (1, 'a'), (2, 'b'), (3, 'c')")
    run(project, "2020-01-01")
    base.run("update d set name = 'B' where id = 2; delete from d where id = 3")
    match fault:
        case "dropped":
            base.run("select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                     "where database = current_database()")  # fmt: skip
        case "moved on":
            base.run("select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) "
                     "from pg_replication_slots where database = current_database()")  # fmt: skip
        case _:
            base.run("create table e (like d including all); insert into e select * from d; "
                     "drop table d; alter table e rename to d")  # fmt: skip
    (step, *_) = project.plan("2020-01-02")
    assert "read whole again, and compared by key" in step.reason
    run(project, "2020-01-02")
    assert [(row["id"], row["name"], row["_deleted"]) for row in project.versions("sources.d")] == [
        (1, "a", False), (2, "b", False), (3, "c", False), (2, "B", False), (3, "c", True),
    ]  # fmt: skip
    base.run("insert into d values (4, 'd')")
    run(project, "2020-01-03")
    assert landed(project, "2020-01-03") == rows_of(base)
    slots = base.run("select 1 from pg_replication_slots where database = current_database()")
    assert len(slots) == 1


def test_a_branch_has_a_slot_of_its_own(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    project.write("lichen.yml", "name: small\ntargets: {dev: {}, try: {from: dev}}\n")
    base.run("insert into d values (1, 'a')")
    run(project, "2020-01-01")
    base.run("insert into d values (2, 'b')")
    for event in open_loop(tmp_path, "try").run():
        assert isinstance(event.result, Done), event
    base.run("insert into d values (3, 'c')")
    events = run(project, "2020-01-02")
    assert "read whole" not in events[0].step.reason
    assert landed(project, "2020-01-02") == rows_of(base)
    names = base.run(
        "select slot_name from pg_replication_slots where database = current_database()"
    )
    assert len(names) == 2


def test_a_crash_after_the_slot_was_made_leaves_no_second_one(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    project.contract("sources/d", {"id": "bigint", "lacks": "varchar"})
    (event,) = [e for e in project.run("2020-01-01") if e.result is not None]
    assert isinstance(event.result, Failed)
    project.contract("sources/d", {"id": "bigint", "name": "varchar", "doc": "varchar"})
    run(project, "2020-01-01")
    slots = base.run("select 1 from pg_replication_slots where database = current_database()")
    assert len(slots) == 1


MISTAKES = (
    ("alter table d replica identity nothing", "", "alter table \"public\".\"d\" replica identity"),
    ("create view v as select * from d", "table: v", "v is no table"),
    ("select 1", "publication: theirs", "create publication \"theirs\" for table"),
    ("create publication theirs for table d with (publish = 'insert')", "publication: theirs",
     "does not tell all changes"),
    ("create publication theirs for table d where (id > 5)", "publication: theirs",
     "does not tell all changes"),
)  # fmt: skip


@pytest.mark.parametrize(("sql", "setting", "said"), MISTAKES)
def test_what_cannot_be_followed_is_told_with_what_to_do(
    base: Base, tmp_path: Path, sql: str, setting: str, said: str
) -> None:
    project = followed(base, tmp_path)
    base.run(sql)
    path = tmp_path / "sources/d.yml"
    text = path.read_text()
    if setting.startswith("table"):
        text = text.replace("table: d", setting)
    elif setting:
        text += f"{setting}\n"
    path.write_text(text)
    results = [e.result for e in project.run("2020-01-01") if e.result is not None]
    assert isinstance(results[0], Failed)
    assert said in results[0].error
    assert "Traceback" not in results[0].error
    assert base.place.password not in results[0].error


def test_a_user_who_may_not_publish_is_told_what_its_owner_is_to_say(
    base: Base, tmp_path: Path
) -> None:
    project = followed(base, tmp_path)
    role = f"r_{base.place.name[-10:]}"
    base.run(f"create role {role} login replication password 'p'; grant select on d to {role}")
    path = tmp_path / "sources/d.yml"
    base.secret.write_text("p")
    path.write_text(path.read_text().replace(f"user: {base.place.user}", f"user: {role}"))
    try:
        (result,) = [e.result for e in project.run("2020-01-01") if e.result is not None]
        assert isinstance(result, Failed)
        found = next(line for line in result.error.splitlines() if "create publication" in line)
        statement, _, setting = found.partition("as the owner of the table: ")[2].partition("; ")
        base.run(statement)
        with path.open("a") as file:
            file.write(setting.rpartition("here: ")[2] + "\n")
        run(project, "2020-01-02")
    finally:
        base.run(f"drop owned by {role}; drop role {role}")


def test_a_table_in_parts_and_one_whose_columns_change(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    base.run("drop table d; create table d (id int, name text, doc text, primary key (id)) "
             "partition by range (id); create table d1 partition of d for values from (0) to (10); "
             "create table d2 partition of d for values from (10) to (20)")  # fmt: skip
    base.run("insert into d values (1, 'a'), (11, 'b')")
    run(project, "2020-01-01")
    base.run("update d set id = 12 where id = 1; insert into d values (2, 'c')")
    base.run("alter table d add more text; insert into d values (3, 'd', null, 'more')")
    base.run("alter table d drop more; insert into d values (4, 'e')")
    run(project, "2020-01-02")
    assert landed(project, "2020-01-02") == rows_of(base)


def test_killed_again_and_again(base: Base, tmp_path: Path) -> None:
    project = SmallProject(tmp_path / "p")
    base.run("create table s (n int primary key, name text)")
    settings = f"connector: postgres\n{base.settings}table: s\nkey: n\nchanges: true\n"
    project.write("sources/s.yml", settings + "limits: {rows: 100}\n")
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    client = base.another()

    def put(numbers: Sequence[int]) -> None:
        with client.cursor() as cursor:
            for n in numbers:
                cursor.execute("insert into s values (%s, 'a')", (n,))
                cursor.execute("update s set name = 'b' where n = %s and n %% 3 = 0", (n,))

    tally = killed(project, put, kills=12)
    client.close()
    assert tally.in_flight >= 4, tally
    rows = project.versions("sources.s")
    told = Counter((row["n"], row["name"]) for row in rows)
    assert set(told.values()) == {1}, "nothing is told twice"
    expected = {(n, "b" if n % 3 == 0 else "a") for n in range(tally.written)}
    assert {(n, name) for n, name in told if n % 3 or name == "b"} == expected, "nothing is lost"
