"""Fill a topic of four partitions with orders, unless they are there; write the project."""

import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from world import line, objects, project, server

data, rows = Path(sys.argv[1]), int(sys.argv[2])
room = server("kafka")
from tests.services import kafka  # noqa: E402 - importable once the server's frame is

held = 0
try:
    client = Consumer({"bootstrap.servers": room.address, "group.id": "bench"})
    for partition in range(4):
        held += client.get_watermark_offsets(TopicPartition("orders", partition), timeout=10)[1]
    client.close()
except Exception as error:  # noqa: BLE001 - there is no such topic yet
    print(error)
if held != rows:
    kafka.create(room, "orders", partitions=4)
    producer = Producer({"bootstrap.servers": room.address, "linger.ms": 50})
    for nth, record in enumerate(objects(rows)):
        while True:
            try:
                producer.produce("orders", line(record), partition=nth % 4)
                break
            except BufferError:
                producer.poll(0.5)
    producer.flush(120)
project(data / "kafka", f"connector: kafka\nbrokers: {room.address}\ntopics: orders\nkey: id\n")
