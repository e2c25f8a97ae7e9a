"""The Kinesis connector: a stream, shard by shard, through splits and merges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from lichen.adapters.sources.kinesisclient import Access, Calls, Shard, Stream
from lichen.adapters.sources.kinesisreading import At, KinesisReading, Place, as_mark, readable
from lichen.core.digest import digest
from lichen.core.errors import LichenError, SourceError
from lichen.core.steps import Mark
from lichen.core.time import Instant, instant
from lichen.ports.source import Limits, Outside, Settings, Tls

_PROBES = 20  # calls without a record, behind which there may be one: gaps that expired


class KinesisSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of Kinesis may say besides.

    Either two secrets, or `credentials: ambient` for those of the surroundings. `start` is the
    time from which on records are read; without it all that are kept are. `lost` says what to do
    where records expired before they were read.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset(
        {"access_key_id", "secret_access_key", "session_token"}
    )
    ASIDE: ClassVar[frozenset[str]] = frozenset({"endpoint", "credentials", "lost", "tls"})

    stream: str
    region: str
    endpoint: str | None = None
    credentials: Literal["ambient"] | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    start: str | None = None
    lost: Literal["fail", "continue"] = "fail"
    tls: Tls | None = None


class Kinesis:
    """Reads a stream; a child of a split or a merge is read once its parents are at their end."""

    Settings = KinesisSettings

    def __init__(self, settings: KinesisSettings, outside: Outside) -> None:
        self._settings = settings
        self._since = _since(settings.start)
        self._calls = Calls(settings.stream, _access(settings), outside)

    def look(self, cursor: str | None) -> Mark:
        """Return a mark that stays while no shard has records or an end that were not read."""
        stream, place = self._calls.describe(), self._place(cursor)
        if place is not None and (place.arn, place.made) != (stream.arn, stream.made):
            raise self._calls.trouble(
                f"it was made at {stream.made}, and what was landed came from another one, made "
                f"at {place.made}",
                "begin another source beside this one; this one reads the stream that it began",
            )
        place = place or Place(stream.arn, stream.made)
        shards = self._calls.shards()
        lost = _lost(place, shards, stream)
        if lost and self._settings.lost == "fail":
            raise self._calls.trouble(
                f"records may have expired before they were read: {lost}",
                "run more often or keep records longer; `lost: continue` goes on from what is "
                "there",
            )
        seen = digest(*sorted(shard.id for shard in shards))
        found, said = self._new(place, shards), "nothing is new"
        if found is not None:
            said = f"new records in {found[0]}" + (f", after a loss: {lost}" if lost else "")
            until = as_mark(stream.now, digest(cursor or "", seen, *found))
        elif _stale(place, stream):  # else nobody could tell later that nothing was lost meanwhile
            said = "nothing is new, which is written down"
            until = as_mark(stream.now, digest(cursor or "", seen))
        else:
            until = place.mark or as_mark(stream.now, digest(cursor or "", seen))
        return Mark(until=until, said=said, gone=_gone(place, stream))

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> KinesisReading:
        """Read every shard until nothing is behind it."""
        place = self._place(cursor)
        if place is None:
            stream = self._calls.describe()
            place = Place(stream.arn, stream.made)
        return KinesisReading(self._calls, self._since, place, mark, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: Kinesis keeps records for their time, whoever read them."""

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def _place(self, cursor: str | None) -> Place | None:
        return msgspec.json.decode(cursor, type=Place) if cursor is not None else None

    def _new(self, place: Place, shards: Sequence[Shard]) -> tuple[str, str] | None:
        """Return the first shard that can be read on, and what is next in it."""
        for shard in readable(place.shards, shards):
            at = place.shards.get(shard.id, At())
            iterator: str | None = self._calls.iterator(shard.id, at.after, self._since)
            for _ in range(_PROBES):
                assert iterator is not None
                page = self._calls.page(iterator, 1)
                if page.records:
                    return shard.id, page.records[0]["SequenceNumber"]
                if page.next is None or (shard.closed and not page.behind):
                    return shard.id, "end"
                if not page.behind:
                    break
                iterator = page.next
            else:
                return shard.id, iterator or ""
        return None


def _lost(place: Place, shards: Sequence[Shard], stream: Stream) -> str:
    """Return what may have expired unread, in words, or nothing."""
    listed = {shard.id for shard in shards}
    waiting = {id_: at for id_, at in place.shards.items() if not at.done}
    if gone := sorted(set(waiting) - listed):
        return f"{gone[0]} is gone, and its end was not reached"
    keeps = timedelta(hours=stream.keeps)
    late = sorted((at.till, id_) for id_, at in waiting.items() if _age(at.till, stream) > keeps)
    if late:
        return f"{late[0][1]} was read at {late[0][0]} last, and keeps {stream.keeps:g} hours"
    return ""


def _stale(place: Place, stream: Stream) -> bool:
    """Whether it was last written down so long ago that it soon could not be believed."""
    quarter = timedelta(hours=stream.keeps / 4)
    return any(_age(at.till, stream) > quarter for at in place.shards.values() if not at.done)


def _gone(place: Place, stream: Stream) -> str:
    if not place.first or _age(place.first, stream) <= timedelta(hours=stream.keeps):
        return ""
    return f"what came before the last {stream.keeps:g} hours is not kept"


def _age(moment: str, stream: Stream) -> timedelta:
    return stream.now - instant(moment)


def _since(start: str | None) -> Instant | None:
    try:
        return instant(start) if start is not None else None
    except LichenError as error:
        raise SourceError(f"start: {error.what}", allowed=error.allowed) from error


def _access(settings: KinesisSettings) -> Access:
    """Return where Kinesis is and who asks; raises SourceError for half of a key, or none."""
    names = ("access_key_id", "secret_access_key", "session_token")
    given = {name: said for name in names if (said := getattr(settings, name)) is not None}
    if settings.credentials is not None and given:
        raise SourceError(
            "credentials: those of the surroundings are to be used, and others are named",
            allowed=("credentials: ambient", "access_key_id and secret_access_key"),
        )
    missing = [name for name in names[:2] if name not in given]
    if settings.credentials is None and missing:
        raise SourceError(
            f"{missing[0]} is missing",
            allowed=("access_key_id and secret_access_key", "credentials: ambient"),
            hint="those of the surroundings are only used where a source says so",
        )
    return Access(settings.region, _endpoint(settings.endpoint), settings.tls, given or None)


def _endpoint(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(
            "endpoint: this is no address of a server", allowed=("https://HOST:PORT",)
        )
    if parts.username is not None or parts.password is not None or parts.query:
        raise SourceError(
            "endpoint: it may hold no user, password or query",
            hint="name the secrets in access_key_id and secret_access_key",
        )
    return url
