"""examples/airport: every kind of source in one project, on real servers, in one run."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from servers import Place

from lichen.core.steps import Done
from lichen.loop import Loop, open_loop

ROOT = Path(__file__).parents[1] / "examples" / "airport"


@pytest.fixture
def feed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("airport_feed", ROOT / "feed.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["airport_feed"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def servers(
    feed: ModuleType,
    kafka_topic: Place,
    mqtt_topic: Place,
    postgres_database: Place,
    mariadb_database: Place,
    kinesis_stream: Place,
    mongo_database: Place,
    cassandra_keyspace: Place,
    hdfs_folder: Place,
    s3_bucket: Place,
) -> object:
    found = feed.Servers()
    found.ports |= {
        "kafka": kafka_topic.port, "mosquitto": mqtt_topic.port,
        "postgres": postgres_database.port, "mariadb": mariadb_database.port,
        "moto": kinesis_stream.port, "ferretdb": mongo_database.port,
        "cassandra": cassandra_keyspace.port, "hdfs": hdfs_folder.port,
    }  # fmt: skip
    found.names |= {
        "topic": kafka_topic.name, "weather": mqtt_topic.name, "postgres": postgres_database.name,
        "mariadb": mariadb_database.name, "stream": kinesis_stream.name,
        "mongodb": mongo_database.name, "keyspace": cassandra_keyspace.name,
        "folder": hdfs_folder.name, "bucket": s3_bucket.name,
    }  # fmt: skip
    return found


@pytest.fixture
def project(
    feed: ModuleType, servers: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of the example that reads the servers of this test."""
    monkeypatch.setenv("AIRPORT_PASSWORD", servers.password)  # type: ignore[attr-defined]
    monkeypatch.setenv("AIRPORT_KEY", "lichen")
    monkeypatch.setenv("AIRPORT_SECRET", "any")
    api = feed.airports_api(0)
    shutil.copytree(ROOT, tmp_path / "airport", ignore=shutil.ignore_patterns(".lichen", "logs"))
    ports, names = servers.ports, servers.names  # type: ignore[attr-defined]
    defaults = feed.Servers().ports
    for path in (tmp_path / "airport" / "sources").glob("*.yml"):
        text = path.read_text().replace("18099", str(api.server_address[1]))
        for name, port in defaults.items():
            text = text.replace(str(port), str(ports[name]))
        text = text.replace("[flights]", f"[{names['topic']}]")
        text = text.replace("[weather/+]", f"[{names['weather']}/+]\nclient: {names['weather']}")
        text = re.sub("^stream: clicks", f"stream: {names['stream']}", text, flags=re.MULTILINE)
        text = text.replace("keyspace: lichen", f"keyspace: {names['keyspace']}")
        text = text.replace("/archive/delays", f"/{names['folder']}/delays")
        text = text.replace("s3://archive", f"s3://{names['bucket']}")
        kind = text.partition("\n")[0].removeprefix("connector: ")
        database = names.get({"mysql": "mariadb"}.get(kind, kind), "lichen")
        text = re.sub("^database: lichen", f"database: {database}", text, flags=re.MULTILINE)
        path.write_text(text)
    yield tmp_path / "airport"
    api.shutdown()
    api.server_close()


def run(project: Path) -> dict[str, int]:
    """Run once; returns how many rows each source landed."""
    events = open_loop(project).run()
    failed = [(e.step.node, e.result) for e in events if not isinstance(e.result, Done)]
    assert failed == []
    landed: dict[str, int] = {}
    for event in events:
        assert isinstance(event.result, Done)
        if event.step.node.startswith("sources."):
            node = event.step.node.removeprefix("sources.")
            landed[node] = landed.get(node, 0) + int(event.result.facts.get("added", 0))
    return landed


def held(loop: Loop, table: str) -> int:
    answer = loop.query(f"select count(*) as n from {table}")  # noqa: S608 - a name of ours
    return int(answer.table["n"][0].as_py())


def test_one_run_reads_them_all_and_the_next_reads_nothing_twice(
    feed: ModuleType, servers: object, project: Path
) -> None:
    open_loop(project).plan()  # from here on the broker keeps what the stations tell
    wrote = {
        "flights": feed.kafka(servers),
        "weather": feed.mqtt(servers),
        "planes": feed.postgres(servers),
        "airports": 1458,
        "carriers": feed.mariadb(servers),
        "clicks": feed.kinesis(servers),
        "requests": feed.logs(project / "logs"),
        "maintenance": feed.ferretdb(servers),
        "sensors": feed.cassandra(servers),
        "delays": feed.hdfs(servers),
        "tickets": feed.s3(servers),
    }
    assert run(project) == wrote
    loop = open_loop(project)
    assert {name: held(loop, f"sources.{name}") for name in wrote} == wrote
    assert held(loop, "departures") == wrote["flights"]

    more = feed.kafka(servers, feed.FLIGHTS, feed.FLIGHTS + 10)
    again = run(project)
    assert {name: n for name, n in again.items() if n} == {"flights": more}
    assert held(open_loop(project), "departures") == wrote["flights"] + more
