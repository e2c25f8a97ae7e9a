"""Which connectors there are: Lichen's own, and those that others add by an entry point."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from lichen.core.errors import SourceError

GROUP = "lichen.connectors"  # NAME = "package.module:Class", a Files or a Stream with Settings
OWN = {
    "files": "lichen.adapters.sources.files:Files",
    "logs": "lichen.adapters.sources.logs:Logs",
    "http": "lichen.adapters.sources.http.api:Http",
    "postgres": "lichen.adapters.sources.postgres.connector:Postgres",
    "mysql": "lichen.adapters.sources.mysql.connector:Mysql",
    "mongodb": "lichen.adapters.sources.mongodb:Mongodb",
    "cassandra": "lichen.adapters.sources.cassandra:Cassandra",
    "kafka": "lichen.adapters.sources.kafka:Kafka",
    "kinesis": "lichen.adapters.sources.kinesis:Kinesis",
    "mqtt": "lichen.adapters.sources.mqtt:Mqtt",
}


def connector(name: str) -> Any:
    """Return the class of a connector; its client is not loaded yet."""
    place = OWN.get(name) or _added().get(name)
    if place is None:
        raise SourceError(
            f"there is no connector {name!r}",
            allowed=sorted({*OWN, *_added()}),
            given=name,
            hint=f"a package adds one by an entry point in the group {GROUP!r}",
        )
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def _added() -> dict[str, str]:
    from importlib.metadata import entry_points  # slow to load, and mostly there is nobody to ask

    return {point.name: point.value for point in entry_points(group=GROUP)}
