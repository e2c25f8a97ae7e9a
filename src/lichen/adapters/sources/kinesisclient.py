"""Calls of Kinesis: timeouts, bounded waits where it is throttled, errors that say what next."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.core.time import Instant, wall
from lichen.ports.source import Outside, Tls

TRIES = 6  # of a call that is throttled: about six seconds in all
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 3.0  # seconds
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException",
        "KMSThrottlingException", "RequestLimitExceeded",
    }
)  # fmt: skip
_REFUSED = frozenset(
    {
        "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException",
        "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch",
        "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
        "KMSAccessDeniedException", "OptInRequired",
    }
)  # fmt: skip


class Expired(Exception):
    """An iterator is too old; a new one from the same place goes on."""


class Access(NamedTuple):
    """Where Kinesis is and who asks: `keys` refers to secrets, None means the surroundings'."""

    region: str
    endpoint: str | None
    tls: Tls | None
    keys: Mapping[str, str] | None


class Stream(NamedTuple):
    """What a stream is: its own identity, and for how long it keeps records."""

    arn: str
    made: str
    keeps: float  # hours
    now: Instant  # by the server's clock


class Shard(NamedTuple):
    """A part of a stream; it is closed once it was split or merged into others."""

    id: str
    parents: tuple[str, ...]
    closed: bool


class Page(NamedTuple):
    """Some records of a shard; `next` is None behind the last record of a closed one."""

    records: list[dict[str, Any]]
    next: str | None
    behind: int  # milliseconds
    now: Instant


class Calls:
    """Kinesis as one stream's reader needs it. The client is made at the first call."""

    def __init__(self, stream: str, access: Access, outside: Outside) -> None:
        self._stream, self._access, self._outside = stream, access, outside
        self._client: Any = None

    def describe(self) -> Stream:
        """Return what the stream is."""
        told = self._call("describe_stream_summary", StreamName=self._stream)
        summary = told["StreamDescriptionSummary"]
        made = summary.get("StreamCreationTimestamp")
        return Stream(
            arn=summary.get("StreamARN", ""),
            made=made.astimezone(UTC).isoformat() if isinstance(made, datetime) else "",
            keeps=float(summary.get("RetentionPeriodHours", 24)),
            now=_now(told),
        )

    def shards(self) -> list[Shard]:
        """Return all shards that still keep records, parents before their children."""
        found: list[dict[str, Any]] = []
        asked: dict[str, Any] = {"StreamName": self._stream}
        while True:
            told = self._call("list_shards", **asked)
            found += told["Shards"]
            if not (token := told.get("NextToken")):
                break
            asked = {"NextToken": token}
        shards = [
            Shard(
                each["ShardId"],
                tuple(
                    each[name]
                    for name in ("ParentShardId", "AdjacentParentShardId")
                    if each.get(name)
                ),
                "EndingSequenceNumber" in each["SequenceNumberRange"],
            )
            for each in found
        ]
        return sorted(shards, key=lambda shard: shard.id)

    def iterator(self, shard: str, after: str | None, since: Instant | None) -> str:
        """Return where to go on: after a record, or from a time, or from the oldest record."""
        asked: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            asked = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        elif since is not None:
            asked = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        told = self._call("get_shard_iterator", StreamName=self._stream, ShardId=shard, **asked)
        return str(told["ShardIterator"])

    def page(self, iterator: str, most: int) -> Page:
        """Return the next records; raises Expired."""
        told = self._call("get_records", ShardIterator=iterator, Limit=most)
        behind = int(told.get("MillisBehindLatest") or 0)
        return Page(told["Records"], told.get("NextShardIterator"), behind, _now(told))

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def trouble(self, what: str, hint: str, kind: type[SourceError] = SourceError) -> SourceError:
        """Return an error about this stream."""
        place = self._access.endpoint or self._access.region
        return kind(
            f"the Kinesis stream {self._stream!r} at {place}: {what}",
            where=self._outside.where,
            hint=hint,
        )

    def _call(self, action: str, **asked: Any) -> dict[str, Any]:
        """Make one call; waits and tries again, but not for ever, where there are too many."""
        exceptions = needed("botocore.exceptions", "kinesis")
        for nth in range(TRIES):
            try:
                client = self._client = self._client or self._opened()
                told: dict[str, Any] = getattr(client, action)(**asked)
                return told
            except exceptions.ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code == "ExpiredIteratorException":
                    raise Expired from error
                if code not in _THROTTLED or nth == TRIES - 1:
                    raise self._answered(code, error) from error
                longest = min(_FIRST_WAIT * 2**nth, _LONGEST_WAIT)
                time.sleep(longest * (0.5 + random.random() / 2))  # noqa: S311 - a jitter
            except exceptions.BotoCoreError as error:
                raise self._failed(error, exceptions) from error
        raise AssertionError("unreachable")

    def _answered(self, code: str, error: Any) -> SourceError:
        said = error.response.get("Error", {}).get("Message") or code
        if code == "ResourceNotFoundException":
            return self.trouble(f"there is none of this name: {said}", "see `stream` and `region`")
        if code in _REFUSED:
            return self.trouble(
                f"it refused us: {code}: {said}",
                "the credentials need kinesis:DescribeStreamSummary, ListShards, GetShardIterator "
                "and GetRecords",
            )
        if code in _THROTTLED:
            return self.trouble(
                f"it is read by too many at once: {code}, {TRIES} times",
                "run again later, or with `retries`; a shard answers five calls a second",
                SourceAway,
            )
        return self.trouble(
            f"it answered {code}: {said}", "run again; `retries` does by itself", SourceAway
        )

    def _failed(self, error: Any, exceptions: Any) -> SourceError:
        if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return self.trouble(
                "there are no credentials in the surroundings",
                "set AWS_ACCESS_KEY_ID and the like, or name `access_key_id` and "
                "`secret_access_key` here",
            )
        if isinstance(error, exceptions.ConnectTimeoutError | exceptions.ReadTimeoutError):
            what = f"it did not answer within {self._outside.timeout:g} s"
            return self.trouble(
                what, "see `endpoint`; `timeout` and `retries` give it more time", SourceAway
            )
        if isinstance(error, exceptions.SSLError):
            what = "no secure connection was made (the certificate, most often)"
            return self.trouble(what, "name what it is checked against: tls: {ca: PATH}")
        what = f"the connection failed ({type(error).__name__})"
        return self.trouble(what, "see `endpoint` and `region`, or run again later", SourceAway)

    def _opened(self) -> Any:
        session = needed("boto3.session", "kinesis")
        said = (self._access.keys or {}).items()
        keys = {f"aws_{name}": self._outside.secret(reference) for name, reference in said}
        config = needed("botocore.config", "kinesis")
        access, tls = self._access, self._access.tls or Tls()
        root = self._outside.root
        ours = [str(root / path) for path in (tls.cert, tls.key) if path]
        return session.Session(region_name=access.region, **keys).client(
            "kinesis",
            endpoint_url=access.endpoint,
            verify=str(root / tls.ca) if tls.ca and tls.verify else tls.verify,
            config=config.Config(
                connect_timeout=self._outside.timeout,
                read_timeout=self._outside.timeout,
                # One attempt: what is throttled is tried again here, all else by the stage.
                retries={"mode": "standard", "total_max_attempts": 1},
                client_cert=tuple(ours) if len(ours) > 1 else next(iter(ours), None),
                ignore_configured_endpoint_urls=access.keys is not None,
            ),
        )


def _now(told: Mapping[str, Any]) -> Instant:
    """The server's time, so that a wrong clock here makes no records seem lost."""
    date = told.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else wall()
