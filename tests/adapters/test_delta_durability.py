"""What is acknowledged is durable: the order in which things are made so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lichen.adapters.delta import DeltaLake
from lichen.adapters.deltaupkeep import CHECKPOINT_EVERY, MERGE_FROM
from lichen.adapters.duckdb import DuckDB
from lichen.ports.engine import Scan
from lichen.ports.lake import Staged
from lichen.testing.engine import sql
from lichen.testing.lake import TABLE

_ENGINE = DuckDB(threads=1)


def _put(lake: DeltaLake, value: int = 1) -> Staged:
    return _ENGINE.write(sql(f"select {value} as v"), {}, lake.stage(TABLE))


class Disk:
    """Records what is made durable, and what was visible in the log at that moment."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def __call__(self, path: Path) -> None:
        assert path.exists()
        self.order.append(path.name)


def test_the_log_entry_then_its_folders_before_the_acknowledgement(tmp_path: Path) -> None:
    disk = Disk()
    lake = DeltaLake(tmp_path / "lake", sync=disk)
    staged = _put(lake)
    assert disk.order == [tmp_path.name, "lake", "tables"], "the names of folders that were made"
    disk.order.clear()
    lake.append(TABLE, [staged], 1)
    first = f"{0:020}.json"
    assert disk.order == [first, "_delta_log", "t", "tables", "lake", tmp_path.name]
    disk.order.clear()
    lake.append(TABLE, [_put(lake)], 2)
    assert disk.order == [f"{1:020}.json", "_delta_log"]


def test_a_repeated_sequence_is_made_durable_again(tmp_path: Path) -> None:
    """The first writer may have died between its commit and the fsync."""
    before = DeltaLake(tmp_path / "lake")
    before.append(TABLE, [_put(before)], 1)
    before.append(TABLE, [_put(before)], 2)
    disk = Disk()
    DeltaLake(tmp_path / "lake", sync=disk).append(TABLE, [], 2)
    assert disk.order == [f"{1:020}.json", "_delta_log"]


def test_the_parquet_file_comes_before_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr("lichen.adapters.duckdb.sync", disk)
    lake = DeltaLake(tmp_path / "lake", sync=disk)
    staged = _put(lake)
    lake.append(TABLE, [staged], 1)
    at = disk.order.index(staged.path.name)
    assert disk.order[at : at + 3] == [staged.path.name, "t", f"{0:020}.json"]


def test_a_failing_disk_acknowledges_nothing_and_the_next_try_does(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        raise OSError(5, "input/output error", str(path))

    failing = DeltaLake(tmp_path / "lake", sync=broken)
    with pytest.raises(OSError, match="input/output"):
        failing.append(TABLE, [_put(failing)], 1)
    lake = DeltaLake(tmp_path / "lake")
    assert lake.append(TABLE, [_put(lake)], 1).version == 0
    assert len(lake.files(TABLE, 0)) == 1


def test_a_checkpoint_is_durable_before_the_table_refers_to_it(tmp_path: Path) -> None:
    seen: list[tuple[str, bool, bool]] = []
    log = tmp_path / "lake" / "tables" / "t" / "_delta_log"
    name = f"{CHECKPOINT_EVERY:020}.checkpoint.parquet"

    def sync(path: Path) -> None:
        if path.name in (name, "_last_checkpoint"):
            there = ((log / name).exists(), (log / "_last_checkpoint").exists())
            seen.append((path.name, *there))

    lake = DeltaLake(tmp_path / "lake", sync=sync)
    for sequence in range(CHECKPOINT_EVERY + 3):
        lake.append(TABLE, [_put(lake, sequence)], sequence)
    assert seen == [(name, False, False), ("_last_checkpoint", True, False)]
    assert lake.check(TABLE) == ()
    assert DeltaLake(tmp_path / "lake").append(TABLE, [], 1).version == 1


def test_an_interrupted_checkpoint_is_made_again(tmp_path: Path) -> None:
    def dies(path: Path) -> None:
        if path.name == "_last_checkpoint":
            raise OSError(5, "input/output error", str(path))

    lake, last = DeltaLake(tmp_path, sync=dies), CHECKPOINT_EVERY
    for sequence in range(last - 1):
        lake.append(TABLE, [_put(lake, sequence)], sequence)
    with pytest.raises(OSError, match="input/output"):
        lake.append(TABLE, [_put(lake, last)], last)
    log = tmp_path / "tables" / "t" / "_delta_log"
    assert (log / f"{last:020}.checkpoint.parquet").exists()
    assert not (log / "_last_checkpoint").exists()
    for _ in range(2):
        again = DeltaLake(tmp_path)
        assert again.append(TABLE, [], last).version == last  # the files were merged once
        assert (log / "_last_checkpoint").exists()
    assert again.append(TABLE, [_put(again)], last + 1).version == last + 1
    assert DeltaTable(str(log.parent)).count() == last + 1
    assert again.check(TABLE) == ()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty entry": (lambda log: (log / f"{2:020}.json").write_bytes(b""), "empty or torn"),
    "torn entry": (
        lambda log: (log / f"{2:020}.json").write_bytes(b'{"add":{"pa'),
        "empty or torn",
    ),
    "lost entry": (lambda log: (log / f"{1:020}.json").unlink(), "[1] are missing"),
    "lost checkpoint": (
        lambda log: (log / "_last_checkpoint").write_text('{"version":2,"size":1}'),
        "missing or empty",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_to_the_log_is_found(tmp_path: Path, case: str) -> None:
    lake = DeltaLake(tmp_path)
    for sequence in range(3):
        lake.append(TABLE, [_put(lake)], sequence)
    assert lake.check(TABLE) == ()
    damage, said = DAMAGE[case]
    damage(tmp_path / "tables" / "t" / "_delta_log")
    assert [said in finding.message for finding in lake.check(TABLE)] == [True]


def test_many_small_files_become_one_that_is_durable_before_the_table_refers_to_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "lake" / "tables" / "t"
    order: list[tuple[str, int]] = []

    def sync(path: Path) -> None:
        if merging or path.name.startswith("part-"):
            merging.append(path)
            order.append(
                (path.name.partition("-")[0], len(list((folder / "_delta_log").iterdir())))
            )

    merging: list[Path] = []
    lake = DeltaLake(tmp_path / "lake", sync=sync)
    for sequence in range(MERGE_FROM):
        commit = lake.append(TABLE, [_put(lake, sequence)], sequence)
    assert [name for name, _ in order] == ["part", "t", f"{MERGE_FROM:020}.json", "_delta_log"]
    assert [entries for _, entries in order] == [MERGE_FROM] * 3 + [MERGE_FROM + 1]
    assert commit == (MERGE_FROM - 1, MERGE_FROM)  # the version without new rows
    assert [len(lake.files(TABLE, v)) for v in (MERGE_FROM - 1, MERGE_FROM)] == [MERGE_FROM, 1]
    found = _ENGINE.rows(
        sql("select sum(v) as v, count(*) as n from t"),
        {"t": Scan(lake.files(TABLE, commit.version), _put(lake).columns)},
    )
    assert found == [{"v": sum(range(MERGE_FROM)), "n": MERGE_FROM}]
    assert lake.check(TABLE) == ()
    assert lake.append(TABLE, [_put(lake)], MERGE_FROM).version == MERGE_FROM + 1
