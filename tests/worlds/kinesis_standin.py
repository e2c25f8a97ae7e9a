"""A stand-in for Kinesis where moto differs from it: shards that split, merge, expire, throttle.

Moto copies the records of a shard that is split or merged into its children, and its iterators
neither end nor expire. Here records stay where they were written, the iterator of a closed shard
ends, and sequence numbers are texts in no order. What is not asked for by a reader is left out.
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = dict[str, Any]


class Refused(Exception):
    """An error as Kinesis names it."""


@dataclass
class ShardHere:
    """A shard; a record that is None is a place where one expired: pages there are empty."""

    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[Answer | None] = field(default_factory=list)


class Standin:
    """One stream, `clicks`; a test writes and closes its shards, and sets what goes wrong."""

    def __init__(self, *shards: str) -> None:
        self.shards = {name: ShardHere() for name in shards}
        self.clock = datetime.now(UTC)
        self.made = self.clock
        self.throttled = 0  # so many calls of GetRecords are refused
        self.expired = 0  # so many iterators prove to be too old
        self.calls: list[str] = []
        self.read: list[str] = []  # the shards of which records were asked for, in order
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, shard: str, *numbers: int) -> None:
        """Write a record for each number."""
        for number in numbers:
            data = json.dumps({"n": number, "name": f"one {number}"}).encode()
            self.put_raw(shard, data)

    def put_raw(self, shard: str, data: bytes) -> None:
        """Write any bytes as a record."""
        here = self.shards[shard].records
        digest = hashlib.sha256(f"{shard} {len(here)}".encode()).hexdigest()
        here.append(
            {
                "SequenceNumber": str(int(digest, 16))[:56],
                "Data": base64.b64encode(data).decode(),
                "PartitionKey": shard,
                "ApproximateArrivalTimestamp": self.clock.timestamp(),
            }
        )

    def gap(self, shard: str, pages: int) -> None:
        """Let some pages of a shard be empty before what is written next."""
        self.shards[shard].records += [None] * pages

    def follow(self, parents: tuple[str, ...], *children: str) -> None:
        """Close shards, and let others go on after them: a split or a merge."""
        for parent in parents:
            self.shards[parent].closed = True
        for child in children:
            self.shards[child] = ShardHere(parents)

    def pass_time(self, hours: float) -> None:
        """Move the server's clock on."""
        self.clock += timedelta(hours=hours)

    def answer(self, action: str, asked: Answer) -> Answer:
        """Answer one call; raises Refused."""
        self.calls.append(action)
        match action:
            case "DescribeStreamSummary":
                return self._described(asked["StreamName"])
            case "ListShards":
                return self._listed(asked)
            case "GetShardIterator":
                return {"ShardIterator": f"{asked['ShardId']}/{self._index(asked)}"}
            case "GetRecords":
                return self._got(asked)
        raise Refused("UnknownOperationException")

    def _described(self, name: str) -> Answer:
        if name != "clicks":
            raise Refused("ResourceNotFoundException")
        summary = {
            "StreamName": "clicks",
            "StreamARN": "arn:aws:kinesis:eu-central-1:1:stream/clicks",
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": self.made.timestamp(),
            "EnhancedMonitoring": [],
            "OpenShardCount": 1,
        }
        return {"StreamDescriptionSummary": summary}

    def _listed(self, asked: Answer) -> Answer:
        """List two shards a page."""
        begin, names = int(asked.get("NextToken", 0)), list(self.shards)
        page = [self._told(name) for name in names[begin : begin + 2]]
        more = {"NextToken": str(begin + 2)} if begin + 2 < len(names) else {}
        return {"Shards": page, **more}

    def _told(self, name: str) -> Answer:
        shard = self.shards[name]
        ends = {"EndingSequenceNumber": "1"} if shard.closed else {}
        kin = zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False)
        return {
            "ShardId": name,
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {"StartingSequenceNumber": "0", **ends},
            **dict(kin),
        }

    def _index(self, asked: Answer) -> int:
        records = self.shards[asked["ShardId"]].records
        match asked["ShardIteratorType"]:
            case "TRIM_HORIZON":
                return 0
            case "AT_TIMESTAMP":
                since = asked["Timestamp"]
                times = [r["ApproximateArrivalTimestamp"] if r else 0.0 for r in records]
                return next((i for i, at in enumerate(times) if at >= since), len(records))
            case "AFTER_SEQUENCE_NUMBER":
                numbers = [r and r["SequenceNumber"] for r in records]
                if asked["StartingSequenceNumber"] in numbers:
                    return numbers.index(asked["StartingSequenceNumber"]) + 1
        raise Refused("InvalidArgumentException")

    def _got(self, asked: Answer) -> Answer:
        name, _, index = asked["ShardIterator"].partition("/")
        if self.throttled:
            self.throttled -= 1
            raise Refused("ProvisionedThroughputExceededException")
        if self.expired:
            self.expired -= 1
            raise Refused("ExpiredIteratorException")
        self.read.append(name)
        shard, begin = self.shards[name], int(index)
        end = begin
        while end < len(shard.records) and end - begin < asked["Limit"]:
            if shard.records[end] is None:
                end += end == begin
                break
            end += 1
        over = shard.closed and end == len(shard.records)
        return {
            "Records": [r for r in shard.records[begin:end] if r],
            "MillisBehindLatest": 1000 * (len(shard.records) - end),
            "NextShardIterator": None if over else f"{name}/{end}",
        }

    def _handler(standin) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5
            wbufsize = -1  # an answer goes out as one piece

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = self.headers["X-Amz-Target"].partition(".")[2]
                try:
                    status, told = 200, standin.answer(action, body)
                except Refused as refused:
                    status, told = 400, {"__type": str(refused), "message": "no"}
                content = json.dumps(told).encode()
                self.send_response_only(status)
                self.send_header("Date", format_datetime(standin.clock, usegmt=True))
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler
