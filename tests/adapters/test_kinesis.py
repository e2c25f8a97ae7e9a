"""Kinesis: the kit on moto; splits, merges, gaps and what expires on a stand-in."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import Proxy
from killed import killed
from kinesis_standin import Standin
from servers import Place
from tests.services import moto

from lichen.core.errors import LichenError
from lichen.core.steps import Done, Failed
from lichen.testing.project import SmallProject
from lichen.testing.source import PLENTY, StreamKit, Wire, numbers, opened, read, record, small

SETTINGS = """
stream: {stream}
region: eu-central-1
endpoint: {endpoint}
access_key_id: env:LICHEN_TEST_KEY_ID
secret_access_key: env:LICHEN_TEST_KEY
"""


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICHEN_TEST_KEY_ID", moto.KEY_ID)
    monkeypatch.setenv("LICHEN_TEST_KEY", "any")


@dataclass
class Moto:
    place: Place
    port: int | None = None
    connector = "kinesis"
    keyed = False
    replays = True

    @property
    def settings(self) -> str:
        endpoint = f"http://127.0.0.1:{self.port or self.place.port}"
        return SETTINGS.format(stream=self.place.name, endpoint=endpoint)

    def put(self, numbers: Sequence[int], key: str = "one") -> None:
        for begin in range(0, len(numbers), 500):
            self._put([json.dumps(record(n)).encode() for n in numbers[begin : begin + 500]], key)

    def poison(self, raw: bytes) -> bool:
        self._put([raw], "one")
        return True

    def remove(self, _: int) -> bool:
        return False

    def _put(self, payloads: list[bytes], key: str) -> None:
        records = [
            {"Data": base64.b64encode(raw).decode(), "PartitionKey": key} for raw in payloads
        ]
        asked = {"StreamName": self.place.name, "Records": records}
        moto.kinesis(self.place.room, "PutRecords", asked)


class TestKinesis(StreamKit):
    @pytest.fixture
    def ready(self, kinesis_stream: Place) -> Wire:
        return Moto(kinesis_stream)


@dataclass
class Clicks:
    """The stand-in's stream."""

    standin: Standin
    more: str = ""
    connector = "kinesis"
    keyed = False
    replays = True

    @property
    def settings(self) -> str:
        return SETTINGS.format(stream="clicks", endpoint=self.standin.endpoint) + self.more

    def put(self, numbers: Sequence[int]) -> None:
        self.standin.put("shardId-0", *numbers)

    def poison(self, raw: bytes) -> bool:
        self.standin.put_raw("shardId-0", raw)
        return True

    def remove(self, _: int) -> bool:
        return False


class TestKinesisStandin(StreamKit):
    @pytest.fixture
    def ready(self) -> Iterator[Wire]:
        with Standin("shardId-0", "shardId-1") as standin:
            yield Clicks(standin)


@pytest.fixture
def standin() -> Iterator[Standin]:
    with Standin("shardId-0", "shardId-1", "shardId-2") as standin:
        yield standin


def project_of(standin: Standin, tmp_path: Path, more: str = "") -> SmallProject:
    return small(Clicks(standin, more), tmp_path / "p")


def test_every_shard_is_read_and_each_record_has_its_place(
    standin: Standin, tmp_path: Path
) -> None:
    project = project_of(standin, tmp_path)
    for n in range(12):
        standin.put(f"shardId-{n % 3}", n)
    project.run("2020-01-01")
    standin.put("shardId-1", 12, 13)
    project.run("2020-01-02")
    rows = project.versions("sources.s")
    places = {row["n"]: (row["_file"], row["_line"]) for row in rows}
    assert len(rows) == 14
    assert places[0] == ("shardId-0", 1)
    assert places[10] == ("shardId-1", 4)
    assert places[13] == ("shardId-1", 6)


def test_children_of_a_split_come_after_their_parent(standin: Standin, tmp_path: Path) -> None:
    with opened(Clicks(standin), tmp_path) as stream:
        standin.put("shardId-0", *range(5))
        standin.follow(("shardId-0",), "shardId-3", "shardId-4")
        standin.put("shardId-3", 5, 6)
        standin.put("shardId-4", 7)
        assert read(stream, None).numbers == list(range(8))


def test_a_merged_shard_waits_for_both_its_parents(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path, "limits: {rows: 3}\n")
    standin.put("shardId-0", *range(5))
    standin.put("shardId-1", *range(5, 15))
    standin.follow(("shardId-0", "shardId-1"), "shardId-3")
    standin.put("shardId-3", 15)
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == list(range(16))
    first = standin.read.index("shardId-3")
    assert not {"shardId-0", "shardId-1"} & set(standin.read[first:])


def test_a_shard_that_closes_between_runs_goes_on_in_its_children(
    standin: Standin, tmp_path: Path
) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 0)
    project.run("2020-01-01")
    standin.follow(("shardId-0",), "shardId-3")
    standin.put("shardId-3", 1)
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == [0, 1]
    del standin.shards["shardId-0"]  # it was read to its end, so that nothing is lost with it
    standin.put("shardId-3", 2)
    project.run("2020-01-03")
    assert numbers(project, "2020-01-04") == [0, 1, 2]
    assert not project.run("2020-01-04")


def test_pages_without_records_are_no_end(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-2", 0)
    standin.gap("shardId-2", 5)
    standin.put("shardId-2", 1)
    project.run("2020-01-01")
    standin.gap("shardId-2", 30)
    standin.put("shardId-2", 2)
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == [0, 1, 2]


def test_a_run_without_new_records_reads_none_and_does_nothing(
    standin: Standin, tmp_path: Path
) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", *range(3))
    project.run("2020-01-01")
    standin.calls.clear()
    assert not project.run("2020-01-02")
    assert standin.calls.count("GetRecords") == 3, "one for each shard"


def test_an_expired_iterator_is_asked_for_again(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", *range(3))
    with opened(Clicks(standin), tmp_path) as stream:
        mark = stream.look(None)
        standin.expired = 2
        batches = list(stream.read(None, mark, PLENTY))
    assert sum(batch.rows.num_rows for batch in batches) == 3
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [0, 1, 2]


def test_a_throttled_call_is_made_again_but_not_for_ever(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("lichen.adapters.sources.kinesisclient.time.sleep", waits.append)
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 1)
    standin.throttled = 4
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [1]
    assert len(waits) == 4
    assert waits[3] > waits[0]
    standin.throttled = 1000
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "read by too many at once" in event.result.error
    standin.throttled = 0
    assert len(waits) < 20


def test_what_expired_unread_fails_the_source_unless_it_may_be_lost(
    standin: Standin, tmp_path: Path
) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 1)
    project.run("2020-01-01")
    standin.pass_time(25)
    standin.put("shardId-0", 2)
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "records may have expired before they were read" in event.result.error
    assert "lost: continue" in event.result.error
    project.write("sources/s.yml", f"connector: kinesis\n{Clicks(standin).settings}lost: continue")
    assert all(isinstance(e.result, Done) for e in project.run("2020-01-03"))
    assert numbers(project, "2020-01-04") == [1, 2]


def test_a_stream_that_rests_loses_nothing(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 1)
    project.run("2020-01-01")
    for day in range(2, 6):
        standin.pass_time(20)
        for event in project.run(f"2020-01-0{day}"):
            assert isinstance(event.result, Done), event.result
    standin.put("shardId-0", 2)
    project.run("2020-01-06")
    assert numbers(project, "2020-01-07") == [1, 2]


def test_a_shard_that_is_gone_before_its_end_is_a_loss(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 1)
    project.run("2020-01-01")
    del standin.shards["shardId-0"]
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "shardId-0 is gone, and its end was not reached" in event.result.error


def test_a_stream_that_was_made_again_is_another_one(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    standin.put("shardId-0", 1)
    project.run("2020-01-01")
    standin.pass_time(1)
    standin.made = standin.clock
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "came from another one" in event.result.error


def test_records_from_a_time_on(standin: Standin, tmp_path: Path) -> None:
    standin.put("shardId-0", 1)
    standin.pass_time(1)
    since = standin.clock.isoformat()
    standin.put("shardId-0", 2)
    with opened(Clicks(standin, f"start: '{since}'\n"), tmp_path) as stream:
        assert read(stream, None).numbers == [2]


def test_metadata_are_columns_that_a_contract_may_promise(standin: Standin, tmp_path: Path) -> None:
    project = project_of(standin, tmp_path)
    columns = {
        "n": "bigint", "meta_sequence_number": "varchar", "meta_partition_key": "varchar",
        "meta_time": "timestamptz",
    }  # fmt: skip
    project.contract("sources/s", columns)
    standin.put("shardId-1", 7)
    project.run("2020-01-01")
    (row,) = project.current("sources.s", "2020-01-02")
    assert row["n"] == 7
    assert len(row["meta_sequence_number"]) == 56
    assert row["meta_partition_key"] == "shardId-1"
    assert abs((row["meta_time"] - standin.clock).total_seconds()) < 0.001


def test_records_of_the_producer_library_are_kept_with_the_reason(
    standin: Standin, tmp_path: Path
) -> None:
    project = project_of(standin, tmp_path)
    standin.put_raw("shardId-0", b"\xf3\x89\x9a\xc2...")
    standin.put("shardId-0", 1)
    project.run("2020-01-01")
    (held,) = project.verdicts("sources.s")
    assert "several records in one" in held["reason"]
    assert numbers(project, "2020-01-02") == [1]


def test_new_shards_cut_a_landing_anywhere_and_lose_nothing(tmp_path: Path) -> None:
    with Standin("shardId-0", "shardId-1") as standin:
        project = project_of(standin, tmp_path, "limits: {rows: 4}\n")
        number, leaves = 0, ["shardId-0", "shardId-1"]
        for day in range(1, 8):
            for leaf in leaves:
                standin.put(leaf, *range(number, number + 3))
                number += 3
            name = f"shardId-{len(standin.shards)}"
            if day % 3:
                standin.follow((leaves[0],), name, f"{name}b")
                leaves = [*leaves[1:], name, f"{name}b"]
            else:
                standin.follow((leaves[0], leaves[1]), name)
                leaves = [*leaves[2:], name]
            project.run(f"2020-01-0{day}")
        project.run("2020-01-08")
        rows = project.versions("sources.s")
        assert sorted(row["n"] for row in rows) == list(range(number))
        assert len({(row["_file"], row["_line"]) for row in rows}) == number


def test_kills_lose_and_double_nothing(kinesis_stream: Place, tmp_path: Path) -> None:
    wire = Moto(kinesis_stream)
    project = small(wire, tmp_path / "p", limits="{rows: 60}")
    turn = itertools.cycle(["one", "two", "three", "four"])  # of both shards

    tally = killed(project, lambda numbers: wire.put(numbers, next(turn)), kills=12)
    assert tally.in_flight >= 4, tally
    rows = project.versions("sources.s")
    assert sorted(row["n"] for row in rows) == list(range(tally.written))
    assert len({row["_file"] for row in rows}) == 2


FAULTS = ("refused", "cut", "stalled")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_fault_is_an_error_in_time_and_nothing_is_lost(
    fault: str, kinesis_stream: Place, tmp_path: Path
) -> None:
    with Proxy(kinesis_stream.port) as proxy:
        wire = Moto(kinesis_stream, proxy.port)
        project = small(wire, tmp_path / "p")
        project.write("sources/s.yml", f"connector: kinesis\n{wire.settings}timeout: 1 s\n")
        wire.put(range(10))
        project.run("2020-01-01")
        wire.put(range(10, 2000))
        match fault:
            case "refused":
                proxy.refuse()
            case "cut":
                proxy.cut_after(20_000)
            case "stalled":
                proxy.stall()
        (event,) = project.run("2020-01-02")
        assert isinstance(event.result, Failed)
        assert f"http://127.0.0.1:{proxy.port}" in event.result.error
        assert "any" not in event.result.error.split()
        assert event.seconds < 4
        proxy.heal()
        project.run("2020-01-03")
        assert numbers(project, "2020-01-04") == list(range(2000))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"access_key_id": None}, "access_key_id is missing"),
        ({"credentials": "ambient"}, "others are named"),
        ({"endpoint": "http://u:hunter2@host"}, "may hold no user"),
        ({"endpoint": "ftp://host"}, "no address of a server"),
        ({"start": "'yesterday'"}, "start: 'yesterday' is not a time"),
        ({"lost": "maybe"}, "lost"),
        ({"stream": "other"}, "there is none of this name"),
    ],
)
def test_mistakes(
    change: dict[str, str | None], said: str, kinesis_stream: Place, tmp_path: Path
) -> None:
    wire = Moto(kinesis_stream)
    project = small(wire, tmp_path / "p")
    lines = dict(line.split(": ", 1) for line in wire.settings.strip().splitlines()) | change
    text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value is not None)
    project.write("sources/s.yml", f"connector: kinesis\n{text}")
    try:
        (event,) = project.run("2020-01-01")
        assert isinstance(event.result, Failed)
        error = event.result.error
    except LichenError as raised:
        error = str(raised)
    assert said in error
    assert "hunter2" not in error
