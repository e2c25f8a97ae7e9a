"""Avro in Kafka: schemas by the id in each record, how they evolve, and what is poison."""

from __future__ import annotations

import json
import math
import struct
import urllib.request
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kafka_topics import Topic, failure, project_of
from servers import Place
from tests.services.frame import Room

from lichen.testing.source import StreamKit, Wire, record

fastavro = pytest.importorskip("fastavro")

FIRST = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "n", "type": "long"}, {"name": "name", "type": "string"}],
}


class AvroTopic(Topic):
    """A topic whose records are written by schemas of a registry."""

    registry: Room

    def register(self, schema: Any, subject: str = "value", **more: Any) -> int:
        """Return the id of a schema."""
        text = json.dumps({"schema": json.dumps(schema), **more}).encode()
        url = f"http://{self.registry.address}/subjects/{self.place.name}-{subject}/versions"
        asked = urllib.request.Request(url, text)
        with urllib.request.urlopen(asked, timeout=10) as reply:
            found: int = json.load(reply)["id"]
        return found

    def packed(self, value: Any, schema: Any, number: int | None = None) -> bytes:
        end = BytesIO()
        fastavro.schemaless_writer(end, fastavro.parse_schema(schema), value)
        number = self.register(schema) if number is None else number
        return b"\0" + struct.pack(">I", number) + end.getvalue()

    def put(self, numbers: Any) -> None:
        number = self.register(FIRST)
        for n in numbers:
            key = self.packed(n, "long", self.register("long", "key"))
            self.say(self.packed(record(n), FIRST, number), key)
        self.flush()

    def remove(self, number: int) -> bool:
        self.say(None, self.packed(number, "long", self.register("long", "key")))
        self.flush()
        return True


def topic_of(place: Place, registry: Room, more: str = "") -> AvroTopic:
    topic = AvroTopic(place, f"format: avro\nregistry: http://{registry.address}\n{more}")
    topic.registry = registry
    return topic


@pytest.fixture
def topic(kafka_topic: Place, schemas: Room) -> AvroTopic:
    return topic_of(kafka_topic, schemas)


class TestKafkaAvro(StreamKit):
    @pytest.fixture
    def ready(self, kafka_topic: Place, schemas: Room) -> Wire:
        return topic_of(kafka_topic, schemas, "key_format: avro\n")

    def test_poison_is_kept_and_the_rest_goes_on(self, ready: Wire, tmp_path: Path) -> None:
        super().test_poison_is_kept_and_the_rest_goes_on(ready, tmp_path)


def field(name: str, type_: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def test_values_of_all_kinds_keep_what_they_are(topic: AvroTopic, tmp_path: Path) -> None:
    schema = {
        "type": "record",
        "name": "Kinds",
        "fields": [
            field("whole", "long"),
            field("number", ["null", "double"]),
            field("raw", "bytes"),
            field("at", {"type": "long", "logicalType": "timestamp-micros"}),
            field("day", {"type": "int", "logicalType": "date"}),
            field(
                "price",
                {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
            ),
            field("kind", {"type": "enum", "name": "K", "symbols": ["a", "b"]}),
            field("tags", {"type": "array", "items": "string"}),
            field("more", {"type": "map", "values": "double"}),
        ],
    }
    columns = {"whole": "bigint", "number": "double", "raw": "blob", "at": "timestamptz"}
    columns |= {"day": "date", "price": "decimal(20,2)", "kind": "varchar", "tags": "varchar"}
    project = project_of(topic, tmp_path, **columns, more="varchar")
    at = datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    row = {
        "whole": 2**62 + 1, "number": math.inf, "raw": b"\x00\xff", "at": at,
        "day": date(2020, 1, 2), "price": Decimal("123456789012345678.90"), "kind": "b",
        "tags": ["x", "y"], "more": {"z": 0.5},
    }  # fmt: skip
    topic.say(topic.packed(row, schema))
    topic.say(topic.packed({**row, "number": math.nan, "whole": 2}, schema))
    topic.flush()
    project.run("2020-02-01")
    found = {each["whole"]: each for each in project.current("sources.s", "2020-02-02")}
    assert math.isnan(found[2].pop("number"))
    assert found[2**62 + 1] == {**row, "tags": '["x","y"]', "more": '{"z":0.5}'}


def test_a_schema_that_grew_and_shrank_is_read_as_each_record_was_written(
    topic: AvroTopic, tmp_path: Path
) -> None:
    grown = {**FIRST, "fields": [*FIRST["fields"], field("more", "string", default="?")]}
    shrunk = {**FIRST, "fields": [field("n", "int")]}
    for n, schema in ((1, FIRST), (2, grown), (3, shrunk)):
        topic.say(topic.packed({"n": n, "name": "x", "more": "y"}, schema))
    topic.flush()
    columns = {"n": "bigint", "name": "varchar", "more": "varchar"}
    project = project_of(topic, tmp_path, **columns)
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [
        {"n": 1, "name": "x", "more": None},
        {"n": 2, "name": "x", "more": "y"},
        {"n": 3, "name": None, "more": None},
    ]


def test_a_reader_fills_in_and_renames(topic: AvroTopic, tmp_path: Path) -> None:
    reader = {
        **FIRST,
        "fields": [
            field("n", "long"),
            field("title", "string", aliases=["name"]),
            field("more", "string", default="?"),
        ],
    }
    project = project_of(
        topic, tmp_path, "reader: r.avsc\n", n="bigint", title="varchar", more="varchar"
    )
    project.write("r.avsc", json.dumps(reader))
    topic.put([1])
    topic.say(topic.packed({"n": 2}, {**FIRST, "fields": [field("n", "int")]}))
    topic.flush()
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [{"n": 1, "title": "one 1", "more": "?"}]
    (held,) = project.verdicts("sources.s")
    assert "title" in held["reason"]


def test_a_schema_may_refer_to_another_one(topic: AvroTopic, tmp_path: Path) -> None:
    shop = {"type": "record", "name": "Shop", "fields": [field("id", "long")]}
    sale = {"type": "record", "name": "Sale", "fields": [field("shop", "Shop")]}
    subject = f"{topic.place.name}-shop"
    topic.register(shop, "shop")
    named = [{"name": "Shop", "subject": subject, "version": 1}]
    number = topic.register(sale, references=named)
    whole = {**sale, "fields": [field("shop", shop)]}
    topic.say(topic.packed({"shop": {"id": 7}}, whole, number))
    topic.flush()
    project = project_of(topic, tmp_path, shop="varchar")
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [{"shop": '{"id":7}'}]


def test_what_does_not_read_is_kept_with_the_reason(topic: AvroTopic, tmp_path: Path) -> None:
    good = topic.packed(record(1), FIRST)
    number = topic.register(FIRST)
    poison = {
        b"{torn": "it does not begin with the id of a schema",
        b"\0\0\0\1": "it does not begin with the id of a schema",
        b"\0" + struct.pack(">I", 999_999) + b"x": "the registry has no schema 999999",
        good[:-2]: f"it does not read by schema {number}",
        good + b"\0": f"it is longer than schema {number} says",
    }
    for raw in (*poison, good):
        topic.say(raw)
    topic.flush()
    project = project_of(topic, tmp_path)
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [record(1)]
    held = {bytes(v["raw"]): v["reason"] for v in project.verdicts("sources.s")}
    assert held.keys() == poison.keys()
    assert all(held[raw].startswith(reason) for raw, reason in poison.items()), held


def test_a_registry_that_is_away_holds_records_up_and_loses_none(
    topic: AvroTopic, tmp_path: Path
) -> None:
    topic.put([1])
    project = project_of(topic, tmp_path)
    there = (tmp_path / "sources/s.yml").read_text()
    project.write("sources/s.yml", there.replace(topic.registry.address, "127.0.0.1:1"))
    error = failure(project, "2020-01-01")
    assert "the schema registry http://127.0.0.1:1 does not answer" in error
    project.write("sources/s.yml", there)
    project.run("2020-01-02")
    assert project.current("sources.s", "2020-01-03") == [record(1)]
