"""Of two writers one wins, the other hears of it; foreign features are refused."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lichen.adapters.delta import DeltaLake
from lichen.adapters.duckdb import DuckDB
from lichen.core.errors import LakeError
from lichen.ports.lake import Commit, Staged
from lichen.testing.engine import sql
from lichen.testing.lake import TABLE

_ENGINE = DuckDB(threads=1)


def _put(lake: DeltaLake, value: int) -> Staged:
    return _ENGINE.write(sql(f"select {value} as v"), {}, lake.stage(TABLE))


class Raced(DeltaLake):
    """A lake in which somebody else commits after this writer looked and before it commits."""

    rival: DeltaLake | None = None

    def _handle(self, log):  # type: ignore[no-untyped-def]
        handle = super()._handle(log)
        if self.rival:
            rival, self.rival = self.rival, None
            rival.append(TABLE, [_put(rival, 100)], 100)
        return handle


@pytest.mark.parametrize("act", ["append", "replace"])
def test_a_commit_on_a_stale_handle_fails_and_leaves_no_trace(tmp_path: Path, act: str) -> None:
    lake = Raced(tmp_path)
    for sequence in range(3):
        lake.append(TABLE, [_put(lake, sequence)], sequence)
    lake.rival = DeltaLake(tmp_path)
    with pytest.raises(LakeError, match="was not committed") as caught:
        getattr(lake, act)(TABLE, [_put(lake, 50)], 101)
    assert isinstance(caught.value.__cause__, CommitFailedError)
    assert lake.latest(TABLE) == Commit(100, 3)
    assert lake.append(TABLE, [_put(lake, 51)], 101) == Commit(101, 4)


def test_two_first_writers_make_one_table(tmp_path: Path) -> None:
    lakes = [DeltaLake(tmp_path) for _ in range(4)]
    staged = [_put(lake, i) for i, lake in enumerate(lakes)]
    start, won, lost = threading.Barrier(4), [], []

    def write(i: int) -> None:
        start.wait()
        try:
            won.append(lakes[i].append(TABLE, [staged[i]], i + 1))
        except LakeError as error:
            lost.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = lakes[0].latest(TABLE)
    assert last is not None
    assert len(won) + len(lost) == 4
    assert len(won) == len({commit.version for commit in won}) == last.version + 1
    assert len(lakes[0].files(TABLE, last.version)) == len(won)


def test_one_lake_serves_many_threads(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    tables = [f"tables.t{i}" for i in range(3)]

    def fill(table: str) -> None:
        for sequence in range(6):
            staged = _ENGINE.write(sql(f"select {sequence} as v"), {}, lake.stage(table))
            lake.append(table, [staged], sequence)

    threads = [threading.Thread(target=fill, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lake.latest(table) for table in tables] == [Commit(5, 5)] * 3


def test_a_lake_sees_what_another_one_commits(tmp_path: Path) -> None:
    one, other = DeltaLake(tmp_path), DeltaLake(tmp_path)
    for sequence in range(1, 7):
        lake = (one, other)[sequence % 2]
        assert lake.append(TABLE, [_put(lake, sequence)], sequence) == Commit(
            sequence, sequence - 1
        )
    assert one.files(TABLE, 5) == other.files(TABLE, 5)
    assert one.append(TABLE, [], 3) == Commit(3, 2)


def test_deletion_vectors_are_refused(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    lake.append(TABLE, [_put(lake, 1)], 1)
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    protocol = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
    entry = tmp_path / "tables" / "t" / "_delta_log" / f"{1:020}.json"
    entry.write_text(json.dumps(protocol))
    for read in (lake, DeltaLake(tmp_path)):
        with pytest.raises(LakeError, match="deletion vectors"):
            read.files(TABLE, 0)
        with pytest.raises(LakeError, match="deletion vectors"):
            read.append(TABLE, [], 2)


def test_what_was_staged_elsewhere_or_cut_or_is_there_already_is_refused(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    there, cut = _put(lake, 1), _put(lake, 2)
    elsewhere = _ENGINE.write(sql("select 3 as v"), {}, lake.stage("tables.other"))
    lake.append(TABLE, [there], 1)
    cut.path.write_bytes(b"")
    for staged, said in ((there, "already part"), (cut, "0 bytes"), (elsewhere, "not staged")):
        with pytest.raises(LakeError, match=said):
            lake.append(TABLE, [staged], 2)


def test_deltalake_itself_reads_the_table(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    for sequence in range(45):  # past two checkpoints
        lake.append(TABLE, [_put(lake, sequence)], sequence)
    table = DeltaTable(str(tmp_path / "tables" / "t"))
    last = lake.latest(TABLE)
    assert last is not None
    assert (table.version(), table.transaction_version(TABLE)) == (last.version, 44)
    assert sorted(table.file_uris()) == sorted(map(str, lake.files(TABLE, last.version)))
    assert table.count() == 45  # from numRecords, the only statistic: no raw values
    log = tmp_path / "tables" / "t" / "_delta_log"
    said = "".join(path.read_text() for path in log.glob("*.json"))
    assert "numRecords" in said
    assert not re.search(r'(min|max)Values\\":{\\"', said)


@pytest.mark.parametrize("name", ["tables", "tables.", "tables.../x", "tables.a/b", ".x"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match="no table id"):
        DeltaLake(tmp_path).stage(name)
