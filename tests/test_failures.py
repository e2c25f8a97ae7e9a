"""What fails alone fails alone: the rest goes on, nothing half-made is seen, work is retried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lichen.adapters.delta import DeltaLake
from lichen.adapters.sqlite import SqliteLedger
from lichen.core.errors import LedgerError
from lichen.core.steps import Adopt, Failed
from lichen.core.time import instant
from lichen.loop import Event
from lichen.ports.lake import Commit, Staged
from lichen.testing.project import SmallProject

MAY, JUNE = "2020-05-01", "2020-06-01"


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """Two tables side by side, one of which has a reader; row 3 breaks a rule of the source."""
    small = SmallProject(tmp_path)
    small.source(
        "s", {"k": "bigint", "v": "varchar"}, "key: k\n",
        rules={"k": {"logicalTypeOptions": {"maximum": 2}}},
    )  # fmt: skip
    small.write("tables/number.sql", "/* key: k */ select k, v::bigint as v from s")
    small.write("tables/after.sql", "/* key: k */ select k, v + 1 as v from number")
    small.write("tables/beside.sql", "/* key: k */ select k, v from s")
    small.csv("feeds/s/a.csv", "k,v", [(1, 10), (2, 20), (3, 30)])
    return small


def came(events: Sequence[Event]) -> dict[str, str]:
    return {e.step.node: type(e.result).__name__ for e in events if e.result is not None}


def test_a_table_that_fails_leaves_the_others_going(project: SmallProject) -> None:
    project.run(MAY)
    project.csv("feeds/s/b.csv", "k,v", [(-1, "ten")])
    events = project.run(JUNE)
    assert came(events) == {
        "sources.s": "Done", "tables.number": "Failed", "tables.beside": "Done",
        "publication": "Done",
    }  # fmt: skip
    (failed,) = (e.result for e in events if isinstance(e.result, Failed))
    assert "Could not convert string 'ten'" in failed.error
    assert len(project.current("tables.beside", JUNE)) == 3
    for table, values in (("number", [10, 20]), ("after", [11, 21])):
        assert [row["v"] for row in project.current(f"tables.{table}", JUNE)] == values

    again = project.run(JUNE)
    assert came(again) == {"tables.number": "Failed"}
    project.csv("feeds/s/b.csv", "k,v", [(-1, 30)])
    assert came(project.run(JUNE)) == dict.fromkeys(
        ["sources.s", "tables.number", "tables.after", "tables.beside", "publication"], "Done"
    )
    assert [row["v"] for row in project.current("tables.after", JUNE)] == [31, 11, 21]


def test_an_error_that_nobody_expected_is_told_and_the_lease_given_back(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("lichen.stages.tables.run.whole", breaks)
        events = project.run(MAY)
    assert came(events) == {
        "sources.s": "Done", "tables.number": "Failed", "tables.beside": "Failed",
        "publication": "Done",
    }  # fmt: skip
    told = [e.result.error for e in events if isinstance(e.result, Failed)]
    assert all(t.startswith("RuntimeError: out of luck\nTraceback") for t in told)
    record = project.loop().ledger.state().tried["tables.number"]
    assert (record.state, record.error) == ("failed", told[0])
    assert came(project.run(MAY)) == dict.fromkeys(
        ["tables.number", "tables.after", "tables.beside", "publication"], "Done"
    )


def test_an_error_of_the_ledger_ends_the_run(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "publish", breaks)
        with pytest.raises(LedgerError, match="the disk is full"):
            project.run(MAY)
    assert project.loop().published() == {}
    assert came(project.run(MAY)) == {"publication": "Done"}
    assert len(project.current("tables.after", MAY)) == 2


def test_a_commit_without_a_record_is_adopted(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "conclude", breaks)
        with pytest.raises(KeyboardInterrupt):
            project.run(MAY)
    assert project.loop().published() == {}
    loop = project.loop()
    adopt, *later = loop.run()  # without a time: that of the run that was cut short
    assert (type(adopt.step), came([adopt])) == (Adopt, {"sources.s": "Done"})
    assert came(later) == dict.fromkeys(
        ["tables.number", "tables.after", "tables.beside", "publication"], "Done"
    )
    record = loop.published()["sources.s"]
    assert (f"{record.now:%Y-%m-%d}", record.facts["held_back"]) == (MAY, {"k.range": 1})
    assert [f["rule"] for f in record.findings] == ["k.range"]
    assert [v["_arrived_at"].strftime("%Y-%m-%d") for v in project.versions("sources.s")] == [
        MAY
    ] * 3


def test_verdicts_without_their_rows_are_not_written_twice(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = DeltaLake.append
    torn: list[str] = []

    def breaks(lake: DeltaLake, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        if table == "sources.s":
            torn.append(table)
            raise OSError("no space left")
        return append(lake, table, staged, sequence)

    with monkeypatch.context() as patch:
        patch.setattr(DeltaLake, "append", breaks)
        assert came(project.run(MAY)) == {"sources.s": "Failed"}
    assert torn == ["sources.s"]
    assert project.loop().lake.latest("quarantine.sources_s") == (1, 0)
    project.run(MAY)
    assert [v["rule"] for v in project.verdicts("sources.s")] == ["k.range"]
    assert [row["v"] for row in project.current("tables.after", MAY)] == [11, 21]


def test_a_run_that_begins_at_a_later_time_than_a_dead_one_is_gone_on_with(
    project: SmallProject,
) -> None:
    ledger = project.loop().ledger
    for run, now in (("first", MAY), ("second", JUNE)):
        project.loop().ledger.begin(run, instant(now))
        if run == "first":
            ledger.intend(run, "land", "sources.s", 1, {"tables": []})
        ledger.end(run)
    loop = project.loop()
    loop.run()
    assert f"{loop.published()['sources.s'].now:%Y-%m-%d}" == JUNE
