"""Kafka: the kit for streams, on a real broker."""

from __future__ import annotations

import pytest
from kafka_topics import Topic
from servers import Place

from lichen.testing.source import StreamKit, Wire


class TestKafka(StreamKit):
    @pytest.fixture
    def ready(self, kafka_topic: Place) -> Wire:
        return Topic(kafka_topic, "key_format: json\n")


class TestKafkaByOffset(StreamKit):
    @pytest.fixture
    def ready(self, kafka_topic: Place) -> Wire:
        return Topic(kafka_topic, keyed=False)
