"""A run that is killed while records and transactions come: none is lost, none comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kafka_topics import Topic, project_of, transaction
from killed import killed
from servers import Place

KILLS, PIECE = 12, 500


def committed(number: int) -> bool:
    """Whether the transaction that a number is written in ends well: two of three do."""
    return number // PIECE % 3 != 2


def test_kills_under_load_lose_nothing_and_land_nothing_twice(
    kafka_topic: Place, tmp_path: Path
) -> None:
    topic = Topic(kafka_topic, keyed=False)
    settings = f"limits: {{rows: 2000}}\ngroup: {kafka_topic.name}\n"
    project = project_of(topic, tmp_path, settings, n="bigint")
    producer = topic.transactions(kafka_topic.name)

    def put(numbers: Sequence[int]) -> None:
        with transaction(producer, commit=committed(numbers[0])):
            for number in numbers:
                body = b'{"n": %d}' % number
                producer.produce(kafka_topic.name, body, partition=number % 3)

    tally = killed(project, put, kills=KILLS, piece=PIECE)
    assert tally.in_flight >= 0.3 * KILLS, tally
    found = sorted(row["n"] for row in project.versions("sources.s"))
    assert found == [n for n in range(tally.written) if committed(n)]
    assert len(found) < tally.written
