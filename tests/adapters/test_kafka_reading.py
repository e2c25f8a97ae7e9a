"""What Kafka's topics hold besides records, and how far a reading comes: nothing twice, no gap."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka_topics import Topic, failure, project_of, transaction
from servers import Place
from tests.services import kafka as broker

from lichen.core.errors import SourceError
from lichen.testing.project import SmallProject
from lichen.testing.source import numbers, opened, read, small


@pytest.fixture
def topic(kafka_topic: Place) -> Topic:
    return Topic(kafka_topic, keyed=False, partitions=(0, 1, 2))


def places(project: SmallProject) -> list[tuple[str, int]]:
    return sorted((row["_file"], row["_line"]) for row in project.versions("sources.s"))


def test_partitions_are_read_each_from_its_own_offset(topic: Topic, tmp_path: Path) -> None:
    project = small(topic, tmp_path, limits="{rows: 10}")
    topic.put(range(50))
    project.run("2020-01-01")
    topic.put(range(50, 53))
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == list(range(53))
    name = topic.place.name
    assert places(project)[0] == (f"{name}[0]", 0)
    assert len(set(places(project))) == 53


def test_only_what_was_committed_is_read_and_the_gaps_hold_nothing_up(
    topic: Topic, tmp_path: Path
) -> None:
    project = small(topic, tmp_path)
    one, other = topic.transactions("a"), topic.transactions("b")
    body = b'{"n": %d, "name": "x"}'
    for n, commit in ((1, True), (2, False), (3, True), (4, False)):
        with transaction(one, commit=commit):
            one.produce(topic.place.name, body % n, partition=0)
    other.begin_transaction()  # stays open over the first run, before a transaction that ends
    other.produce(topic.place.name, body % 5, partition=0)
    other.flush(20)
    with transaction(one, commit=True):
        one.produce(topic.place.name, body % 6, partition=0)
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [1, 3]
    assert project.run("2020-01-02") == ()
    other.commit_transaction(20)
    project.run("2020-01-03")
    assert numbers(project, "2020-01-04") == [1, 3, 5, 6]
    with transaction(one, commit=False):  # nothing but what nobody may see
        one.produce(topic.place.name, body % 7, partition=1)
    project.run("2020-01-05")
    assert project.run("2020-01-06") == ()
    assert numbers(project, "2020-01-06") == [1, 3, 5, 6]


def test_compacted_topics_are_read_over_their_gaps(kafka_topic: Place, tmp_path: Path) -> None:
    name = f"{kafka_topic.name}_c"
    room = kafka_topic.room
    always = {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "1",
    }
    broker.create(room, name, partitions=1, settings={"cleanup.policy": "compact", **always})
    topic = Topic(Place(room, name), "key_format: json\n")
    for _ in range(3):
        topic.put(range(5))
        time.sleep(0.15)
    topic.remove(2)
    while topic.held() > 10:  # compaction comes when it comes
        time.sleep(0.1)
    project = small(topic, tmp_path)
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [0, 1, 3, 4]
    broker.drop(room, name)


def test_partitions_that_appear_later_are_read_from_their_beginning(
    topic: Topic, tmp_path: Path
) -> None:
    project = project_of(topic, tmp_path, "start: latest\n")
    topic.put([1, 2, 3])
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == []
    topic.put([4])
    client = pytest.importorskip("confluent_kafka.admin")
    grown = client.NewPartitions(topic.place.name, 4)
    topic.admin.create_partitions([grown])[topic.place.name].result(20)
    Topic(topic.place, partitions=(3,)).put([5])
    project.run("2020-01-02")
    assert set(numbers(project, "2020-01-03")) == {4, 5}


def test_a_pattern_takes_in_topics_that_are_made_later(topic: Topic, tmp_path: Path) -> None:
    name = topic.place.name
    project = SmallProject(tmp_path)
    project.write(
        "sources/s.yml",
        f"connector: kafka\nbrokers: [{topic.place.room.address}]\npattern: {name}.*\n",
    )
    project.contract("sources/s", {"n": "bigint", "meta_topic": "varchar"})
    topic.put([1])
    project.run("2020-01-01")
    broker.create(topic.place.room, f"{name}_2", partitions=1)
    second = Topic(Place(topic.place.room, f"{name}_2"))
    second.put([2])
    project.run("2020-01-02")
    broker.drop(topic.place.room, f"{name}_2")
    topic.put([3])
    project.run("2020-01-03")
    assert project.current("sources.s", "2020-01-04") == [
        {"n": 1, "meta_topic": name},
        {"n": 2, "meta_topic": f"{name}_2"},
        {"n": 3, "meta_topic": name},
    ]


@pytest.mark.parametrize(
    ("start", "found"),
    [("earliest", [1, 2, 3]), ("latest", [3]), ("2020-01-02T00:00:00Z", [2, 3])],
)
def test_where_a_source_begins(topic: Topic, tmp_path: Path, start: str, found: list[int]) -> None:
    project = project_of(topic, tmp_path, f"start: {start}\n")
    for n, day in ((1, 1), (2, 3)):
        at = int(datetime(2020, 1, day, tzinfo=UTC).timestamp() * 1000)
        topic.producer.produce(topic.place.name, b'{"n": %d}' % n, partition=0, timestamp=at)
    topic.flush()
    project.run("2020-02-01")
    topic.put([3])
    project.run("2020-02-02")
    assert numbers(project, "2020-02-03") == found
    project.contract("sources/s", {"n": "bigint", "name": "varchar", "more": "varchar"})
    project.run("2020-02-03")  # read again, from where it began at first
    assert numbers(project, "2020-02-04") == found


def test_what_kafka_says_of_a_record(topic: Topic, tmp_path: Path) -> None:
    columns = {"n": "bigint", "meta_topic": "varchar", "meta_partition": "bigint"}
    columns |= {"meta_offset": "bigint", "meta_time": "timestamptz", "meta_key": "varchar"}
    project = project_of(topic, tmp_path, **columns)
    at = datetime(2020, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
    for n, key in ((1, b"k"), (2, None), (3, b"\xff")):
        topic.producer.produce(
            topic.place.name,
            b'{"n": %d}' % n,
            key,
            partition=1,
            timestamp=int(at.timestamp() * 1000),
        )
    topic.flush()
    project.run("2020-02-01")
    shared = {"meta_topic": topic.place.name, "meta_partition": 1, "meta_time": at}
    assert project.current("sources.s", "2020-02-02") == [
        {"n": n, "meta_offset": n - 1, "meta_key": key, **shared}
        for n, key in ((1, "k"), (2, None), (3, "\\xFF"))
    ]


def retained(topic: Topic, partition: int, first: int) -> None:
    """Let retention take what lies before an offset."""
    client = topic.client
    place = client.TopicPartition(topic.place.name, partition, first)
    (done,) = topic.admin.delete_records([place]).values()
    done.result(20)


def test_what_retention_took_before_it_was_read_is_named(topic: Topic, tmp_path: Path) -> None:
    project = project_of(topic, tmp_path)
    topic.put(range(6))
    project.run("2020-01-01")
    topic.put(range(6, 18))
    retained(topic, 0, 4)
    error = failure(project, "2020-01-02")
    assert f"offsets 2 to 3 of {topic.place.name}[0] are gone" in error
    assert "lost: continue" in error
    project = project_of(topic, tmp_path, "lost: continue\n")
    (step, *_) = project.plan("2020-01-03")
    assert f"offsets 2 to 3 of {topic.place.name}[0] are gone unread" in step.reason
    project.run("2020-01-03")
    assert numbers(project, "2020-01-04") == [n for n in range(18) if n not in (6, 9)]
    assert project.run("2020-01-04") == ()


def test_what_was_read_and_is_gone_is_not_given_up_by_reading_all_again(
    topic: Topic, tmp_path: Path
) -> None:
    project = project_of(topic, tmp_path)
    topic.put(range(6))
    project.run("2020-01-01")
    retained(topic, 0, 1)
    assert project.run("2020-01-02") == ()
    project.contract("sources/s", {"n": "bigint"})
    (event, *_) = project.run("2020-01-03")
    assert "offsets 0 to 0" in repr(event.result)
    assert numbers(project, "2020-01-04") == list(range(6))


def test_a_topic_that_was_made_again_is_another_one(topic: Topic, tmp_path: Path) -> None:
    project = project_of(topic, tmp_path)
    topic.put(range(6))
    project.run("2020-01-01")
    room, name = topic.place.room, topic.place.name
    broker.drop(room, name)
    time.sleep(1)
    broker.create(room, name, partitions=3)
    again = Topic(topic.place, partitions=(0, 1, 2))
    again.put(range(6, 15))
    assert f"{name} was deleted and made again" in failure(project, "2020-01-02")
    project = project_of(topic, tmp_path, "lost: continue\n")
    project.run("2020-01-03")
    assert numbers(project, "2020-01-04") == list(range(15))
    assert (f"{name}[0].1", 0) in places(project)
    assert len(set(places(project))) == 15
    assert project.run("2020-01-04") == ()


def test_a_consumer_group_is_told_for_those_who_watch_its_lag(topic: Topic, tmp_path: Path) -> None:
    group = topic.place.name
    project = project_of(topic, tmp_path, f"group: {group}\n")
    topic.put(range(4))
    project.run("2020-01-01")
    client = topic.client
    asked = [client.ConsumerGroupTopicPartitions(group)]
    (said,) = topic.admin.list_consumer_group_offsets(asked).values()
    told = {p.partition: p.offset for p in said.result(20).topic_partitions}
    assert told == {0: 2, 1: 1, 2: 1}
    # It decides nothing: whoever moves it moves nothing here.
    moved = client.ConsumerGroupTopicPartitions(
        group, [client.TopicPartition(topic.place.name, 0, 0)]
    )
    (done,) = topic.admin.alter_consumer_group_offsets([moved]).values()
    done.result(20)
    topic.put([4])
    project.run("2020-01-02")
    assert numbers(project, "2020-01-03") == list(range(5))


def test_texts_with_the_key_of_their_record(topic: Topic, tmp_path: Path) -> None:
    settings = "format: text\nkey_format: text\nkey: id\n"
    project = project_of(topic, tmp_path, settings, id="varchar", value="varchar")
    for key, value in ((b"a", b"one"), (b"b", b"two"), (b"a", b"three"), (b"c", b"\xff")):
        topic.say(value, key)
    topic.flush()
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [
        {"id": "a", "value": "three"},
        {"id": "b", "value": "two"},
    ]
    (held,) = project.verdicts("sources.s")
    assert (bytes(held["raw"]), held["reason"]) == (b"\xff", "it is no UTF-8 text")
    topic.say(None, b"a")
    topic.flush()
    project.run("2020-01-03")
    assert project.current("sources.s", "2020-01-04") == [{"id": "b", "value": "two"}]


def test_what_kafka_says_of_a_record_is_no_drift(topic: Topic, tmp_path: Path) -> None:
    settings = "format: text\non_drift: freeze\n"
    project = project_of(topic, tmp_path, settings, value="varchar", meta_offset="bigint")
    topic.say(b"one")
    topic.flush()
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [{"value": "one", "meta_offset": 0}]
    assert [f for r in project.loop().published().values() for f in r.findings] == []


@pytest.mark.parametrize(
    ("key_format", "key", "reason"),
    [
        ("", b"1", "with `key_format` that removes what its key names"),
        ("key_format: json\nkey: n\n", None, "it has neither a value nor a key"),
        ("key_format: json\nkey: n\n", b"{torn", "its key does not read"),
        ("key_format: json\nkey: n\n", b'{"m": 1}', "its key has no n"),
        ("key_format: json\nkey: [n, name]\n", b"1", "its key is one value, not n, name"),
    ],
)
def test_a_removal_of_nobody_knows_what_is_held_back(
    topic: Topic, tmp_path: Path, key_format: str, key: bytes | None, reason: str
) -> None:
    project = project_of(topic, tmp_path, key_format)
    topic.say(b'{"n": 1, "name": "x"}', b"1")
    topic.say(None, key)
    topic.flush()
    project.run("2020-01-01")
    assert numbers(project, "2020-01-02") == [1]
    (held,) = project.verdicts("sources.s")
    assert reason in held["reason"]
    assert bytes(held["raw"]) == (key or b"")


def test_the_key_of_a_record_may_be_the_key_of_a_row(topic: Topic, tmp_path: Path) -> None:
    project = project_of(topic, tmp_path, "key: meta_key\n", meta_key="varchar", n="bigint")
    topic.say(b'{"n": 1}', b"a")
    topic.say(b'{"n": 2}', b"b")
    topic.say(None, b"a")
    topic.flush()
    project.run("2020-01-01")
    assert project.current("sources.s", "2020-01-02") == [{"meta_key": "b", "n": 2}]


@pytest.mark.parametrize(
    ("found", "other", "what"),
    [
        ('"cluster":"', '"cluster":"other', "this is the cluster"),
        ('"offsets":[1,', '"offsets":[9,', "[0] ends before what was landed of it"),
        ('"id":"', '"id":"other', "was deleted and made again"),
    ],
)
def test_offsets_that_mean_something_else_are_no_place_to_go_on_from(
    topic: Topic, tmp_path: Path, found: str, other: str, what: str
) -> None:
    topic.put([0])
    with opened(topic, tmp_path) as stream:
        (cursor,) = read(stream, None).cursors
        assert found in cursor
        with pytest.raises(SourceError) as caught:
            stream.look(cursor.replace(found, other))
    assert what in str(caught.value)
    assert topic.place.room.address in str(caught.value)
