"""The ledger: one writer, all or nothing, and readers that never wait."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from lichen.adapters.sqlite import SqliteLedger, file_system
from lichen.core.errors import LedgerError
from lichen.core.steps import Seen
from lichen.core.time import instant

NOW = instant("2020-01-01")
FILE = Seen(path="feeds/a.csv", size=3, mtime_ns=1, sha256="a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> SqliteLedger:
    return SqliteLedger(path)


def intend(ledger: SqliteLedger, run: str, node: str = "sources.a", sequence: int = 1) -> int:
    return ledger.intend(run, "land", node, sequence, {"fingerprint": "f"})


def conclude(ledger: SqliteLedger, id_: int, state: str) -> None:
    done = msgspec.structs.replace(ledger.record(id_), state=state, facts={"rows": id_})
    ledger.conclude(done, {FILE.path: FILE} if state == "done" else None)


def test_a_record_goes_from_intended_to_its_outcome_with_its_files(ledger: SqliteLedger) -> None:
    ledger.begin("r1", NOW)
    id_ = intend(ledger, "r1")
    before = ledger.state()
    assert [r.id for r in before.open] == [id_]
    assert (before.done, before.files) == ({}, {})
    conclude(ledger, id_, "done")
    after = ledger.state()
    assert (after.open, after.files) == ((), {"sources.a": {FILE.path: FILE}})
    assert (after.done["sources.a"].facts, after.done["sources.a"].now) == ({"rows": id_}, NOW)
    ledger.publish("r1", NOW, {"sources.a": id_})
    ledger.end("r1")
    again = SqliteLedger(ledger._path).state()
    assert again.publication is not None
    assert (again.publication.pins, again.clock) == ({"sources.a": id_}, NOW)


def test_the_newest_attempt_counts_only_while_nothing_was_done_since(ledger: SqliteLedger) -> None:
    ledger.begin("r1", NOW)
    told = []
    for state in ("failed", "done", "blocked", "failed", "done"):
        conclude(ledger, intend(ledger, "r1"), state)
        now = ledger.state()
        done, tried = now.done.get("sources.a"), now.tried.get("sources.a")
        told.append((done.id if done else None, tried.id if tried else None))
    assert told == [(None, 1), (2, None), (2, 3), (2, 4), (5, None)]
    assert [r.state for r in ledger.history("sources.a")] == [
        "failed", "done", "blocked", "failed", "done",
    ]  # fmt: skip


def test_a_publication_keeps_the_pins_that_it_does_not_move(ledger: SqliteLedger) -> None:
    ledger.begin("r1", NOW)
    ledger.publish("r1", NOW, {"sources.a": 1, "tables.b": 2})
    assert ledger.publish("r1", NOW, {"tables.b": 3}).pins == {"sources.a": 1, "tables.b": 3}


@pytest.mark.parametrize("what", ["intend", "conclude", "publish"])
def test_a_write_that_breaks_off_leaves_nothing(
    ledger: SqliteLedger, path: Path, what: str
) -> None:
    ledger.begin("r1", NOW)
    id_ = intend(ledger, "r1")
    before = ledger.state()
    with sqlite3.connect(path) as db:
        for table in ("records", "files", "publications"):
            stop = "begin select raise(abort, 'torn'); end"
            db.execute(f"create trigger t_{table} after insert on {table} {stop}")
    with pytest.raises(Exception, match="torn"):
        match what:
            case "intend":
                intend(ledger, "r1", "tables.b")
            case "conclude":  # the record is written before its file, which breaks off
                conclude(ledger, id_, "done")
            case _:
                ledger.publish("r1", NOW, {"sources.a": id_})
    assert ledger.state() == before


def test_nothing_is_written_without_the_lease(ledger: SqliteLedger) -> None:
    with pytest.raises(LedgerError, match="r1 does not hold the lease"):
        intend(ledger, "r1")
    ledger.begin("r1", NOW)
    id_ = intend(ledger, "r1")
    with pytest.raises(LedgerError, match="r2 does not hold the lease"):
        intend(ledger, "r2")
    record = ledger.record(id_)
    ledger.end("r1")
    with pytest.raises(LedgerError, match="without the lease"):
        ledger.conclude(record)


def test_a_second_writer_is_told_who_writes_and_readers_go_on(
    ledger: SqliteLedger, path: Path
) -> None:
    ledger.begin("r1", NOW)
    other = SqliteLedger(path)
    with pytest.raises(
        LedgerError, match=r"another run \(r1, process \d+ on .+\) writes here since"
    ):
        other.begin("r2", NOW)
    with ledger._writing("r1"):  # in the middle of a write
        assert other.state().open == ()
        assert other.publication() is None
    ledger.end("r1")
    other.begin("r2", NOW)
    assert intend(other, "r2") == 1


CHILD = """
    import sys, time
    from pathlib import Path
    from lichen.adapters.sqlite import SqliteLedger
    from lichen.core.time import instant
    ledger = SqliteLedger(Path(sys.argv[1]))
    ledger.begin("child", instant("2020-01-01"))
    ledger.intend("child", "land", "sources.a", 1, {})
    print("begun", flush=True)
    time.sleep(60)
"""


def test_the_lease_of_a_process_that_was_killed_is_free(path: Path) -> None:
    code = textwrap.dedent(CHILD)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        ledger = SqliteLedger(path)
        with pytest.raises(LedgerError, match=f"child, process {child.pid} "):
            ledger.begin("r2", NOW)
        child.kill()
    ledger.begin("r2", NOW)
    assert [r.run for r in ledger.state().open] == ["child"]


def test_a_holder_that_lost_its_lease_writes_no_more(ledger: SqliteLedger, path: Path) -> None:
    ledger.begin("old", NOW)
    id_ = intend(ledger, "old")
    # A file lock that was lost all the same, such as by a folder that was moved and put back.
    path.with_suffix(".lock").unlink()
    later = SqliteLedger(path)
    later.begin("new", NOW)
    for write in (
        lambda: intend(ledger, "old"),
        lambda: conclude(ledger, id_, "done"),
        lambda: ledger.publish("old", NOW, {"sources.a": id_}),
        lambda: ledger.end("old"),
    ):
        with pytest.raises(LedgerError, match="old has lost its lease"):
            write()
    intend(later, "new")
    later.end("new")


def test_time_does_not_run_backwards(ledger: SqliteLedger) -> None:
    ledger.begin("r1", NOW)
    ledger.end("r1")
    with pytest.raises(LedgerError, match="is before this target's last run"):
        ledger.begin("r2", NOW - timedelta(seconds=1))
    ledger.begin("r2", NOW)
    ledger.end("r2")
    ledger.begin("r3", NOW + timedelta(days=1))


def test_a_ledger_whose_making_was_cut_short_is_made(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode=WAL")
        db.execute("create table runs (id varchar)")
        db.execute("drop table runs")
    db.close()
    ledger = SqliteLedger(path)
    ledger.begin("r1", NOW)


MOUNTS = """\
overlay / overlay rw 0 0
nas:/home /home nfs4 rw 0 0
/dev/sdb /home/me/disk ext4 rw 0 0
//box/share /mnt/my\\040share cifs rw 0 0
/dev/sdc /twice ext4 rw 0 0
box:/x /twice fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/ledger.db", "overlay"),
        ("/home/me/ledger.db", "nfs4"),
        ("/home/me/disk/ledger.db", "ext4"),
        ("/homely/ledger.db", "overlay"),
        ("/mnt/my share/ledger.db", "cifs"),
        ("/twice/ledger.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"nas:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("lichen.adapters.sqlite.MOUNTS", mounts)
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\)"):
        SqliteLedger(tmp_path / "new" / "ledger.db")
    assert not (tmp_path / "new").exists()
