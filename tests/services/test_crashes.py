"""What tests of connectors do to a server: kill it, restart it, cut and stall its connections."""

from pathlib import Path

import confluent_kafka
import pytest
from faults import Proxy
from servers import Place
from tests.services import kafka as log
from tests.services import keeper, processes
from tests.services import mosquitto as broker
from tests.services import postgres as database
from tests.services.frame import DATABASE, Room, ServiceError

# Each is killed or restarted in a home of its own; the fixture says whether it may be started.


def test_a_killed_postgres_comes_back_with_its_rows(postgres: Room, tmp_path: Path) -> None:
    with keeper.private(database, tmp_path) as now:
        assert now.room.port != postgres.port
        database.ask(now.room, "create table t as select 1 as id")
        processes.kill(now.processes)
        with pytest.raises(ServiceError, match="refused"):
            database.ask(now.room, "select id from t")
        again = keeper.start(database, tmp_path)
        assert again.room == now.room
        assert database.ask(again.room, "select id from t") == "1"


def test_a_restarted_mosquitto_keeps_its_sessions(mosquitto: Room, tmp_path: Path) -> None:
    with keeper.private(broker, tmp_path) as now:
        assert now.room.port != mosquitto.port
        session = ["-c", "-i", "sensor", "-q", "1", "-t", "a"]
        broker.client(now.room, "sub", [*session, "-E"])
        broker.client(now.room, "pub", ["-q", "1", "-t", "a", "-m", "kept"])
        assert keeper.stop(broker, tmp_path)
        again = keeper.start(broker, tmp_path).room
        assert broker.client(again, "sub", [*session, "-C", "1"]).strip() == "kept"


def test_a_killed_kafka_comes_back_where_it_was_with_its_topics(
    kafka: Room, tmp_path: Path
) -> None:
    with keeper.private(log, tmp_path) as now:
        assert now.room.port != kafka.port
        log.create(now.room, "kept", partitions=1)
        processes.kill(now.processes)
        with pytest.raises(ConnectionRefusedError):
            log.answer(now.room)
        again = keeper.start(log, tmp_path)
        assert again.room == now.room  # clients find it again
        with pytest.raises(ServiceError, match="error 36"):  # the topic is there
            log.create(again.room, "kept", partitions=1)


def test_a_cut_between_kafka_and_its_client_is_got_over(kafka_topic: Place) -> None:
    room = kafka_topic.room
    with Proxy(room.ports["behind"], door=log.cut(room)) as proxy:
        address = {"bootstrap.servers": f"{kafka_topic.host}:{proxy.port}", "log_level": 0}
        writer = confluent_kafka.Producer(address)
        for value in ("a", "b"):
            writer.produce(kafka_topic.name, value, partition=0)
            assert writer.flush(20) == 0
            before = proxy.accepted
            proxy.cut()
        writer.produce(kafka_topic.name, "c", partition=0)
        assert writer.flush(20) == 0
        assert proxy.accepted > before  # it did not go round the proxy


def through(proxy: Proxy) -> Room:
    return Room("postgres", Path(), {"main": proxy.port})


def test_a_cut_reaches_the_client_and_the_next_one_gets_through(postgres: Room) -> None:
    with Proxy(postgres.port) as proxy:
        assert database.ask(through(proxy), "select 1") == "1"
        proxy.cut_after(3000)
        with pytest.raises(ServiceError, match=r"(?i)reset|closed the connection|SSL"):
            database.ask(through(proxy), "select repeat('x', 100000)")
        assert database.ask(through(proxy), "select 2") == "2"


def test_a_half_open_server_is_given_up_in_time(postgres_database: Place) -> None:
    with Proxy(postgres_database.port) as proxy:
        proxy.stall()
        with pytest.raises(ServiceError, match="timeout expired"):
            database.ask(through(proxy), "select 1", DATABASE)
        assert proxy.accepted >= 1
