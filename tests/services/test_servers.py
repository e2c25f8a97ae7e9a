"""Each server answers a client's question and has what the sources need of it."""

import json
import socket
import ssl
import struct
import urllib.request
from urllib.error import HTTPError

import confluent_kafka
import pytest
from servers import Place
from tests.services import cassandra, ferretdb, hdfs, kafka, mariadb, mosquitto, moto, postgres
from tests.services.frame import HOST, PASSWORD, USER, Room, ServiceError, run


def test_postgres_tells_a_logical_slot_what_changed(postgres_database: Place) -> None:
    room, name = postgres_database.room, postgres_database.name
    slot = f"select from pg_create_logical_replication_slot('{name}', 'pgoutput')"
    postgres.ask(room, f"create table t (id int primary key); {slot}", name)
    postgres.ask(room, "create publication p for table t; insert into t values (1), (2)", name)
    options = "'proto_version', '1', 'publication_names', 'p'"
    changes = f"pg_logical_slot_peek_binary_changes('{name}', null, null, {options})"
    inserts = f"select count(*) from {changes} where get_byte(data, 0) = ascii('I')"  # noqa: S608
    assert postgres.ask(room, inserts, name) == "2"


def test_postgres_wants_its_password(postgres: Room) -> None:
    place = f"postgresql://{USER}@{postgres.address}/postgres"
    with pytest.raises(ServiceError, match="password authentication failed"):
        run(["psql", place, "-c", "select 1"], env={"PGPASSWORD": "another"})


def test_mariadb_logs_rows_under_a_gtid(mariadb_database: Place) -> None:
    room, name = mariadb_database.room, mariadb_database.name
    mariadb.ask(room, "create table t (id int primary key)", name)
    before = mariadb.ask(room, "select @@gtid_binlog_pos")
    mariadb.ask(room, "insert into t values (1), (2)", name)
    assert mariadb.ask(room, "select @@gtid_binlog_pos") != before
    log = mariadb.ask(room, "show master status").split("\t")[0]
    assert "Write_rows" in mariadb.ask(room, f"show binlog events in '{log}'")
    assert mariadb.ask(room, "select @@binlog_format, @@binlog_row_metadata") == "ROW\tFULL"


def test_mosquitto_keeps_a_message_for_a_session_that_is_away(mqtt_topic: Place) -> None:
    room, topic = mqtt_topic.room, mqtt_topic.name
    session = ["-c", "-i", topic, "-q", "1", "-t", f"{topic}/#"]
    mosquitto.client(room, "sub", [*session, "-E"])  # subscribes and goes
    mosquitto.client(room, "pub", ["-q", "1", "-t", f"{topic}/a", "-m", "21.5"])
    assert mosquitto.client(room, "sub", [*session, "-C", "1"]).strip() == "21.5"
    mosquitto.client(room, "sub", ["-i", topic, "-t", topic, "-E"])  # a clean session: forgotten


def test_mosquitto_refuses_a_wrong_password(mosquitto: Room) -> None:
    words = ["-h", HOST, "-p", str(mosquitto.port), "-u", USER, "-P", PASSWORD + "!"]
    with pytest.raises(ServiceError, match="not authorised"):
        run(["mosquitto_pub", *words, "-t", "a", "-m", "b"])


def test_ferretdb_finds_a_nested_document(mongo_database: Place) -> None:
    room, name = mongo_database.room, mongo_database.name
    note: ferretdb.Document = {"_id": 7, "note": {"text": "new tyre", "parts": [1, 2]}}
    ferretdb.command(room, {"insert": "notes", "documents": [note, {"_id": 8}], "$db": name})
    found = ferretdb.command(room, {"find": "notes", "filter": {"_id": 7}, "$db": name})
    assert ferretdb.bson(note) in found
    assert ferretdb.bson({"_id": 8}) not in found


def test_s3_gives_back_what_it_got(s3_bucket: Place) -> None:
    script = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="a",
                  aws_secret_access_key="b", region_name=sys.argv[3])
s3.put_object(Bucket=sys.argv[2], Key="a/b.csv", Body=b"1,2")
print([each["Key"] for each in s3.list_objects_v2(Bucket=sys.argv[2])["Contents"]],
      s3.get_object(Bucket=sys.argv[2], Key="a/b.csv")["Body"].read().decode())
"""
    url = f"http://{s3_bucket.host}:{s3_bucket.port}"
    told = run([moto.PYTHON, "-c", script, url, s3_bucket.name, moto.REGION])
    assert told.strip() == "['a/b.csv'] 1,2"


def test_kinesis_reads_a_record_by_its_sequence_number(kinesis_stream: Place) -> None:
    room, name = kinesis_stream.room, kinesis_stream.name
    put = moto.kinesis(room, "PutRecord", {"StreamName": name, "Data": "YQ==", "PartitionKey": "k"})
    place = {
        "StreamName": name,
        "ShardId": put["ShardId"],
        "ShardIteratorType": "AT_SEQUENCE_NUMBER",
        "StartingSequenceNumber": put["SequenceNumber"],
    }
    iterator = moto.kinesis(room, "GetShardIterator", place)["ShardIterator"]
    records = moto.kinesis(room, "GetRecords", {"ShardIterator": iterator})["Records"]
    assert [record["Data"] for record in records] == ["YQ=="]
    assert len(moto.kinesis(room, "ListShards", {"StreamName": name})["Shards"]) == 2


def test_kafka_hides_an_aborted_transaction_from_read_committed(kafka_topic: Place) -> None:
    address = {"bootstrap.servers": kafka_topic.room.address}
    told = confluent_kafka.Producer({**address, "transactional.id": kafka_topic.name})
    told.init_transactions(20)
    for value, end in (("a", told.commit_transaction), ("b", told.abort_transaction)):
        told.begin_transaction()
        told.produce(kafka_topic.name, value, partition=0)
        told.flush(20)
        end(20)
    seen = {"read_committed": [b"a"], "read_uncommitted": [b"a", b"b"]}
    for isolation, values in seen.items():
        reader = confluent_kafka.Consumer(
            {
                **address,
                "group.id": f"{kafka_topic.name}-{isolation}",
                "isolation.level": isolation,
                "enable.partition.eof": True,
            }
        )
        reader.assign([confluent_kafka.TopicPartition(kafka_topic.name, 0, 0)])
        read = reader.consume(len(values) + 1, 20)  # and the word that the partition ends
        reader.close()
        assert [message.value() for message in read if not message.error()] == values
        assert len(read) == len(values) + 1


def test_kafka_makes_no_topic_that_was_not_asked_for(kafka_topic: Place) -> None:
    with pytest.raises(ServiceError, match="error 36"):  # it is there already
        kafka.create(kafka_topic.room, kafka_topic.name, partitions=1)
    with pytest.raises(ServiceError, match="error 3 "):  # unknown
        kafka.drop(kafka_topic.room, f"{kafka_topic.name}_2")


def test_cassandra_counts_rows_by_ranges_of_tokens(cassandra_keyspace: Place) -> None:
    room, table = cassandra_keyspace.room, f"{cassandra_keyspace.name}.t"
    cassandra.ask(room, f"create table {table} (a int primary key)")
    for number in range(20):
        cassandra.ask(room, f"insert into {table} (a) values ({number})")  # noqa: S608

    def count(where: str) -> int:
        rows = cassandra.ask(room, f"select count(*) from {table} where {where}")  # noqa: S608
        (found,) = struct.unpack(">q", rows[-8:])
        return int(found)

    below, above = count("token(a) < 0"), count("token(a) >= 0")
    assert (below > 0, above > 0, below + above) == (True, True, 20)


def test_hdfs_keeps_a_file_of_several_blocks(hdfs_folder: Place) -> None:
    path, content = f"/{hdfs_folder.name}/é & 100%.csv", bytes(range(256)) * 10_000
    hdfs.put(hdfs_folder.room, path, content)
    assert hdfs.get(hdfs_folder.room, path) == content
    hdfs.drop(hdfs_folder.room, path)
    with pytest.raises(ConnectionError, match="FileNotFoundException"):
        hdfs.get(hdfs_folder.room, path)


def test_the_stand_in_for_a_registry_knows_a_schema_again(
    schemas: Room, kafka_topic: Place
) -> None:
    subject = f"/subjects/{kafka_topic.name}-value"
    text = '{"type": "record", "name": "R", "fields": []}'
    first = registry(schemas, f"{subject}/versions", schema=text)
    assert registry(schemas, f"{subject}/versions", schema=text.replace(" ", "")) == first
    assert registry(schemas, f"/schemas/ids/{first['id']}") == {"schema": text}
    other = registry(schemas, f"{subject}/versions", schema=text.replace("R", kafka_topic.name))
    latest = registry(schemas, f"{subject}/versions/latest")
    assert (latest["id"], latest["version"]) == (other["id"], 2)
    for path, code in (("/schemas/ids/999999", 40403), ("/subjects/none/versions", 40401)):
        with pytest.raises(HTTPError) as refused:
            registry(schemas, path)
        with refused.value as reply:
            assert (reply.code, json.load(reply)["error_code"]) == (404, code)


def registry(room: Room, path: str, **body: str) -> dict[str, int | str]:
    """Ask a schema registry; with words to say, by POST."""
    said = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(f"http://{room.address}{path}", said, timeout=5) as reply:
        told: dict[str, int | str] = json.load(reply)
    return told


def test_postgres_speaks_tls(postgres: Room) -> None:
    place = f"postgresql://{USER}@{postgres.address}/postgres?sslmode=verify-full&sslrootcert="
    sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    told = run(["psql", place + trusted(postgres), "-Atc", sql], env={"PGPASSWORD": PASSWORD})
    assert told.strip() == "t"


def test_mariadb_speaks_tls(mariadb: Room) -> None:
    place = ["--no-defaults", f"--host={HOST}", f"--port={mariadb.port}", f"--user={USER}"]
    trust = [f"--ssl-ca={trusted(mariadb)}", "--ssl-verify-server-cert", "--skip-column-names"]
    sql = "show status like 'Ssl_version'"
    assert "TLSv1." in run(["mariadb", *place, *trust, "-e", sql], env={"MYSQL_PWD": PASSWORD})


def test_mosquitto_speaks_tls(mosquitto: Room) -> None:
    trust = ssl.create_default_context(cafile=trusted(mosquitto))
    with (
        socket.create_connection((HOST, mosquitto.ports["tls"]), timeout=5) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as wire,
    ):
        wire.sendall(bytes.fromhex("100c 0004 4d515454 04 02 003c 0000"))  # CONNECT, no user
        assert wire.recv(4) == bytes.fromhex("20 02 00 05")  # CONNACK: not authorised


def trusted(room: Room) -> str:
    certificate = Place(room, "").certificate
    if not certificate.exists():
        pytest.skip(f"{room.name} was started elsewhere, with a certificate that is not ours")
    return str(certificate)
