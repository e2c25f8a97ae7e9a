"""MongoDB, on a server of its protocol: the kit, whole collections, a growing field, documents."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from faults import Proxy
from killed import killed
from servers import Place

from lichen.adapters.sources.mongodbrecords import plain, rows_of
from lichen.core.errors import LichenError
from lichen.core.steps import Done, Failed
from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, numbers, opened, read, record, small


@dataclass
class Documents:
    place: Place
    client: pymongo.MongoClient[dict[str, Any]]
    port: int | None = None
    more: str = "incremental: n\nkey: n\n"
    connector: str = field(default="mongodb", init=False)
    keyed: bool = field(default=False, init=False)
    replays: bool = field(default=True, init=False)

    @property
    def collection(self) -> Any:
        return self.client[self.place.name].notes

    @property
    def settings(self) -> str:
        where = f"hosts: 127.0.0.1:{self.port or self.place.port}"
        return f"{where}\ndatabase: {self.place.name}\ncollection: notes\n{self.more}"

    def put(self, numbers: Sequence[int]) -> None:
        self.collection.insert_many([record(n) for n in numbers])

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, _: int) -> bool:
        return False


@contextmanager
def documents(place: Place) -> Iterator[Documents]:
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(place.host, place.port) as client:
        client[place.name].create_collection("notes")
        yield Documents(place, client)


@pytest.fixture
def notes(mongo_database: Place) -> Iterator[Documents]:
    with documents(mongo_database) as found:
        yield found


class TestMongodb(StreamKit):
    @pytest.fixture
    def ready(self, notes: Documents) -> Wire:
        return notes


def test_a_whole_collection_is_compared(notes: Documents, tmp_path: Path) -> None:
    notes.more = "key: n\n"
    project = small(notes, tmp_path / "p")
    notes.put(range(5))
    project.run("2020-01-01")
    notes.collection.delete_one({"n": 3})
    notes.collection.update_one({"n": 1}, {"$set": {"name": "another"}})
    notes.put([5])
    project.run("2020-01-02")
    assert numbers(project, "2020-01-01") == [0, 1, 2, 3, 4]
    assert numbers(project, "2020-01-02") == [0, 1, 2, 4, 5]
    assert len(project.versions("sources.s")) == 8
    project.run("2020-01-03")
    assert len(project.versions("sources.s")) == 8


def test_documents_that_tie_with_the_last_one_are_not_lost(
    notes: Documents, tmp_path: Path
) -> None:
    notes.more = "incremental: at\nkey: n\n"
    project = small(notes, tmp_path / "p", limits="{rows: 2}")
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    notes.collection.insert_many([{**record(n), "at": moment} for n in range(5)])
    project.run("2020-01-01")
    low = bson.ObjectId("0" * 24)  # before all of them in the order of ids
    notes.collection.insert_one({**record(5), "_id": low, "at": moment})
    project.run("2020-01-02")
    assert numbers(project, "2020-01-02") == list(range(6))
    assert len(project.versions("sources.s")) == 6
    assert not project.run("2020-01-03")
    notes.collection.update_one({"n": 2}, {"$set": {"name": "another"}})
    project.run("2020-01-04")
    assert len(project.versions("sources.s")) == 7


def test_a_document_that_would_never_be_read_is_an_error(notes: Documents, tmp_path: Path) -> None:
    project = small(notes, tmp_path / "p")
    notes.put([1])
    notes.collection.insert_one({"name": "without a number"})
    (event,) = project.run("2020-01-01")
    assert isinstance(event.result, Failed)
    assert "has no number in 'n'" in event.result.error
    notes.more += "filter: {n: {$exists: true}}\n"
    project = small(notes, tmp_path / "q")
    project.run("2020-01-01")
    assert numbers(project, "2020-01-01") == [1]


def test_a_filter_knows_extended_json(notes: Documents, tmp_path: Path) -> None:
    ids = [bson.ObjectId() for _ in range(3)]
    notes.collection.insert_many([{**record(n), "_id": id_} for n, id_ in enumerate(ids)])
    notes.more += f"filter: {{_id: {{$in: [{{$oid: '{ids[0]}'}}, {{$oid: '{ids[2]}'}}]}}}}\n"
    with opened(notes, tmp_path) as stream:
        assert read(stream, None).numbers == [0, 2]


def test_a_collection_that_was_made_again_is_another_one(notes: Documents, tmp_path: Path) -> None:
    project = small(notes, tmp_path / "p")
    notes.put([1])
    project.run("2020-01-01")
    first = next(iter(notes.client[notes.place.name].list_collections())).get("info", {})
    if "uuid" not in first:
        pytest.skip("this server gives its collections no identity")
    notes.collection.drop()
    notes.put([2])
    (event,) = project.run("2020-01-02")
    assert isinstance(event.result, Failed)
    assert "somebody made it again" in event.result.error


NESTED = """
kind: DataContract
apiVersion: v3.1.0
id: s
version: 1.0.0
status: active
schema:
  - name: s
    properties:
      - {name: meta_id, logicalType: string}
      - {name: n, logicalType: integer}
      - {name: at, logicalType: timestamp}
      - {name: raw, physicalType: blob}
      - name: parts
        logicalType: array
        items:
          logicalType: object
          properties:
            - {name: size, logicalType: number}
            - {name: who, logicalType: object, properties: [{name: id, logicalType: string}]}
"""


def test_nested_documents_become_nested_columns(notes: Documents, tmp_path: Path) -> None:
    project = SmallProject(tmp_path / "p")
    project.write("sources/s.yml", f"connector: mongodb\n{notes.settings}")
    project.write("sources/s.odcs.yaml", NESTED)
    project.write("tables/first.sql", "select n, parts[1].who.id as who from s")
    who = bson.ObjectId()
    part = {"size": 2.5, "who": {"id": who}}
    document = {
        "_id": who, "n": bson.Int64(2**62), "at": datetime(2020, 1, 1, 12, 30, tzinfo=UTC),
        "raw": b"\x00\xff'", "parts": [part, {"size": 3}],
    }  # fmt: skip
    notes.collection.insert_one(document)
    for event in project.run("2020-01-02"):
        assert isinstance(event.result, Done), event.result
    (row,) = project.current("sources.s", "2020-01-02")
    assert (row["meta_id"], row["n"], row["raw"]) == (str(who), 2**62, b"\x00\xff'")
    assert row["at"].isoformat() == "2020-01-01T12:30:00+00:00"
    assert row["parts"][1] == {"size": 3.0, "who": None}
    (found,) = project.current("tables.first", "2020-01-02")
    assert found["who"] == str(who)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (bson.Decimal128("1.10"), "1.10"),
        (bson.Decimal128("NaN"), "NaN"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (bson.Int64(-(2**63)), -(2**63)),
        (bson.ObjectId("5" * 24), "5" * 24),
        (datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00Z"),
        (bson.datetime_ms.DatetimeMS(2**60), f"{2**60} ms since 1970"),
        (b"\x00a", "\\x00\\x61"),
        (bson.Binary.from_uuid(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
        (bson.Timestamp(5, 6), "5.6"),
        (bson.Regex("a.b", "i"), "a.b"),
        (re.compile("a.b"), "a.b"),
        ({"a": [None, True, {"b": "c"}]}, {"a": [None, True, {"b": "c"}]}),
    ],
)
def test_a_value_is_exact_or_text(value: Any, expected: Any) -> None:
    raw = bson.encode({"v": value})
    auto = bson.codec_options.DatetimeConversion.DATETIME_AUTO
    options: Any = bson.codec_options.CodecOptions(tz_aware=True, datetime_conversion=auto)
    assert plain(bson.decode(raw, options)["v"]) == expected


def test_a_document_that_is_broken_is_held_back_with_its_bytes() -> None:
    good, bad = bson.encode({"n": 1}), bson.encode({"n": "ab"}).replace(b"ab", b"\xff\xfe")
    rows, rejects = rows_of([good, bad, good], "part", 4)
    assert rows.column("_line").to_pylist() == [4, 6]
    assert rejects is not None
    assert rejects.column("_line").to_pylist() == [5]
    assert [bytes(raw) for raw in rejects.column("raw").to_pylist()] == [bad]


def test_kills_lose_and_double_nothing(notes: Documents, tmp_path: Path) -> None:
    project = small(notes, tmp_path / "p", limits="{rows: 100}")
    # This server sorts without an index: a larger collection would test its patience.
    tally = killed(project, notes.put, kills=10, piece=10, pause=0.1)
    assert tally.in_flight >= 3, tally
    rows = project.versions("sources.s")
    assert sorted(row["n"] for row in rows) == list(range(tally.written))


@pytest.mark.parametrize("fault", ["refused", "cut", "stalled"])
def test_a_network_fault_is_an_error_in_time_and_nothing_is_lost(
    fault: str, notes: Documents, tmp_path: Path
) -> None:
    with Proxy(notes.place.port) as proxy:
        notes.port = proxy.port
        notes.more += "timeout: 1 s\n"
        project = small(notes, tmp_path / "p")
        notes.put(range(10))
        project.run("2020-01-01")
        notes.put(range(10, 3000))
        match fault:
            case "refused":
                proxy.refuse()
            case "cut":
                proxy.cut_after(30_000)
            case "stalled":
                proxy.stall()
        (event,) = project.run("2020-01-02")
        assert isinstance(event.result, Failed)
        assert f"127.0.0.1:{proxy.port}" in event.result.error
        proxy.heal()
        project.run("2020-01-03")
        assert numbers(project, "2020-01-03") == list(range(3000))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("incremental: n\n", "takes a key"),
        ("filter: {$where: 'sleep(1)'}\n", "filter: $where runs a program"),
        ("filter: {$or: [{a: {$elemMatch: {$function: {}}}}]}\n", "filter: $function runs"),
        ("collection: other\n", "has no collection 'other'"),
        ("hosts: 'u:hunter2@host'\n", "hosts: one of them is no host with a port"),
        ("filter: {a: {$nonsense: 1}}\n", "it answered"),
    ],
)
def test_mistakes(more: str, said: str, notes: Documents, tmp_path: Path) -> None:
    notes.more = ""
    name = more.partition(":")[0]
    lines = [line for line in notes.settings.splitlines() if not line.startswith(f"{name}:")]
    project = small(notes, tmp_path / "p", text="\n".join(["connector: mongodb", *lines, more]))
    notes.put([1])
    try:
        (event,) = project.run("2020-01-01")
        assert isinstance(event.result, Failed)
        error = event.result.error
    except LichenError as raised:
        error = str(raised)
    assert said in error
    assert "hunter2" not in error
