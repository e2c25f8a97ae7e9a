"""Mistakes in a source of Kafka's topics are told before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from lichen.adapters.sources.kafka import Kafka, KafkaSettings
from lichen.core.errors import LichenError, Where
from lichen.core.settings import decode
from lichen.ports.source import Outside


def kafka(settings: str) -> Kafka:
    path = Path("s.yml")
    outside = Outside(
        node="sources.s",
        where=Where(path),
        root=Path(),
        folder=Path(),
        target="dev",
        timeout=1.0,
        secret=lambda reference: reference,
    )
    return Kafka(decode(f"connector: kafka\n{settings}", KafkaSettings, path), outside)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ("brokers: h:1", "either topics or a pattern"),
        ("brokers: h:1\ntopics: [a]\npattern: b", "either topics or a pattern"),
        ("brokers: h:1\ntopics: ['a b']", "'a b' is no name of a topic"),
        ("brokers: h:1\ntopics: ['../x']", "'../x' is no name of a topic"),
        ("brokers: h:1\npattern: '('", "no regular expression"),
        ("brokers: h\ntopics: a", "'h' is no address"),
        ("brokers: []\ntopics: a", "is no address"),
        ("brokers: 'h:1,evil:2'\ntopics: a", "'h:1,evil:2' is no address"),
        ("brokers: 'user:hunter2@h:1'\ntopics: a", "what stands there is no address"),
        ("brokers: h:1\ntopics: a\nstart: yesterday", "'yesterday' is no place to begin"),
        ("brokers: h:1\ntopics: a\nlost: skip", "lost: 'skip' is not allowed"),
        ("brokers: h:1\ntopics: a\nformat: avro", "no registry is named"),
        ("brokers: h:1\ntopics: a\nformat: avro\nregistry: ftp://h", "registry: this is no"),
        (
            "brokers: h:1\ntopics: a\nformat: avro\nregistry: https://u:hunter2@h",
            "the address holds a user",
        ),
        ("brokers: h:1\ntopics: a\nkey_format: json", "no `key` names them"),
        ("brokers: h:1\ntopics: a\nkey_format: text\nkey: [a, b]", "a text cannot fill a, b"),
        ("brokers: h:1\ntopics: a\nuser: u", "none is named"),
        ("brokers: h:1\ntopics: a\nsasl: PLAIN", "asks for a user and a password"),
        ("brokers: h:1\ntopics: a\nsasl: plain", "'plain' is not allowed"),
    ],
)
def test_a_mistake_is_told(settings: str, what: str) -> None:
    with pytest.raises(LichenError) as caught:
        kafka(settings)
    assert what in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nothing_is_opened_before_it_is_asked() -> None:
    kafka("brokers: [h:1, '[::1]:9092']\ntopics: [a, b.c_d-e]").close()
