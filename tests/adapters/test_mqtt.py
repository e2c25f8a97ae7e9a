"""MQTT on a real broker: the kit for streams, for both versions of the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqtt_world import Wire
from servers import Place

from lichen.testing.source import StreamKit


class _OnMosquitto(StreamKit):
    patience = 2  # a reading that brought something has not ended: the broker may hold more back
    more = ""

    @pytest.fixture
    def ready(self, mqtt_topic: Place, tmp_path: Path) -> Wire:
        return Wire(mqtt_topic, tmp_path, more=self.more)


class TestVersion5(_OnMosquitto):
    """The default."""


class TestVersion3(_OnMosquitto):
    more = "version: 3.1.1\n"
    at_once = 20  # Mosquitto sends no more, and here it cannot be asked to
