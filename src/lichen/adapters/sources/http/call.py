"""One request to an HTTP source and its whole answer: who asks, what is tried again, what is read.

A server that says when to come back is believed, up to a bound; one that stumbles is asked a few
times more. An answer is read up to a bound too, packed or not.
"""

from __future__ import annotations

import email.utils
import math
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lichen.adapters.sources.http.guard import Guard, joined
from lichen.core.errors import SourceError, Where
from lichen.core.extras import needed

if TYPE_CHECKING:
    import httpx

TRIES = 4  # of one request, where the server stumbles
REDIRECTS = 5
SLOW = 10.0  # times the timeout, that one answer may take in all
_FIRST, _MOST = 0.5, 30.0  # seconds between tries
_MOVED = {301, 302, 303, 307, 308}
_KEEPS = {307, 308}  # what is posted is posted again
_LATER = {429, 503}  # of these it is believed when to come back


class Ask(NamedTuple):
    """A request: `url` with its query, what is posted, and `validators` of what was read before.

    `posted` is {"json": value} or {"data": form}; empty where nothing is.
    """

    url: httpx.URL
    posted: Mapping[str, Any] = {}
    validators: Mapping[str, str] = {}


class Answer(NamedTuple):
    """What a server answered; `body` is None where nothing changed. `link` is rel=next."""

    body: bytes | None
    etag: str | None
    modified: str | None
    link: str | None
    url: httpx.URL


class Bounds(NamedTuple):
    """How long and how much: seconds for each wait, seconds to come back in, bytes of an answer."""

    timeout: float
    patience: float
    bytes: int


class Refused(SourceError):
    """A server does not answer what it was asked; status 0 where it does not answer at all."""

    def __init__(
        self, what: str, status: int, hint: str | None = None, where: Where | None = None
    ) -> None:
        self.status = status
        super().__init__(what, hint=hint, where=where)


class Credentials(Protocol):
    """Who asks."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that show it; they go to the server itself alone."""

    def renew(self) -> bool:
        """Take what was shown back as worthless; returns whether something else can be shown."""


@dataclass(frozen=True)
class Caller:
    """Asks a server; raises SourceError where it does not answer well."""

    guard: Guard
    bounds: Bounds
    headers: Mapping[str, str]
    credentials: Credentials
    redirects: int = REDIRECTS
    chance: Callable[[], float] = random.random

    def ask(self, ask: Ask) -> Answer:
        """Return the answer to a request, which is made again where that may help."""
        left, renewed, nth = self.bounds.patience, False, 0
        while True:
            found = self._asked(ask)
            if isinstance(found, Answer):
                return found
            nth += 1
            if found.status == HTTPStatus.UNAUTHORIZED and not renewed and self.credentials.renew():
                renewed = True
                continue
            wait = self._wait(found, nth, left)
            left -= wait
            time.sleep(wait)

    def _wait(self, refusal: _Refusal, nth: int, left: float) -> float:
        """Return how long to wait before asking again; raises SourceError where that is no use."""
        times = f", {nth} times" if nth > 1 else ""
        if refusal.after is not None:
            if refusal.after > left:
                raise SourceError(
                    f"{refusal.what}, and wants {max(refusal.after, 1):,.0f} s of rest",
                    hint="run it later, or say how long it may be waited for: wait: 10 minutes",
                )
            return max(refusal.after, _FIRST) + self.chance() * _FIRST
        wait = min(_FIRST * 2.0 ** (nth - 1), _MOST) * (0.5 + self.chance() / 2)
        if not refusal.passes or nth == TRIES or wait > left:
            hint = _HINTS.get(refusal.status)
            raise Refused(f"{refusal.what}{times}", refusal.status, hint) from refusal.error
        return wait

    def _asked(self, ask: Ask) -> Answer | _Refusal:
        """Ask once, going where the server sends us."""
        url, posted = ask.url, ask.posted
        for _ in range(self.redirects + 1):
            headers = {"Accept-Encoding": "gzip", **self.headers, **ask.validators}
            if self.guard.at_home(url):
                headers |= self.credentials.headers()
            try:
                with closing(self._sent(url, headers, posted)) as response:
                    if response.status_code not in _MOVED or "location" not in response.headers:
                        return self._read(response, url)
                    if posted and response.status_code not in _KEEPS:
                        raise SourceError("the server redirects what was posted somewhere else")
                    location = response.headers["location"]
            except _Cut as cut:
                return _Refusal(0, str(cut), cut.__cause__)
            url = joined(url, location, "a redirect", self.guard)
        raise SourceError(f"the server redirects more than {self.redirects} times")

    def _sent(
        self, url: httpx.URL, headers: Mapping[str, str], posted: Mapping[str, Any]
    ) -> httpx.Response:
        client = needed("httpx", "http")
        timeout = client.Timeout(self.bounds.timeout).as_dict()
        method = "POST" if posted else "GET"
        request = client.Request(
            method, url, headers=headers, extensions={"timeout": timeout}, **posted
        )
        with _translated(self.bounds.timeout):
            return self.guard.send(request)

    def _read(self, response: httpx.Response, url: httpx.URL) -> Answer | _Refusal:
        """Read an answer to its end."""
        status, headers = response.status_code, response.headers
        if status not in (200, 304):
            after = after_seconds(headers.get("retry-after")) if status in _LATER else None
            return _Refusal(status, _said(status), after=after)
        link = response.links.get("next", {}).get("url") if "link" in headers else None
        etag, modified = headers.get("etag"), headers.get("last-modified")
        if status == HTTPStatus.NOT_MODIFIED:
            return Answer(None, etag, modified, link, url)
        with _translated(self.bounds.timeout):
            pieces = _bounded(response.iter_raw(), self.bounds)
            packed = headers.get("content-encoding", "").strip().lower()
            body = b"".join(pieces) if packed in _PLAIN else _unpacked(pieces, packed, self.bounds)
        return Answer(body, etag, modified, link, url)


@dataclass(frozen=True)
class _Refusal:
    """What came instead of an answer; status 0 where the connection ended."""

    status: int
    what: str
    error: BaseException | None = None
    after: float | None = None

    @property
    def passes(self) -> bool:
        return self.status in (0, 429) or self.status >= 500


class _Cut(Exception):
    """The connection ended before the answer did."""


@contextmanager
def _translated(timeout: float) -> Iterator[None]:
    """Say what a client's error means for who reads a source."""
    httpx = needed("httpx", "http")
    try:
        yield
    except httpx.TimeoutException as error:
        raise SourceError(f"the server said nothing for {timeout:g} s") from error
    except httpx.LocalProtocolError:
        raise SourceError("this is no request that can be sent") from None  # it may hold secrets
    except httpx.TransportError as error:
        if "CERTIFICATE" in str(error).upper():
            hint = "name the authority that vouches for it: tls: {ca: PATH}"
            what = f"the server's certificate is not trusted: {error}"
            raise SourceError(what, hint=hint) from error
        raise _Cut(f"the connection failed: {error or type(error).__name__}") from error


_PLAIN = ("", "identity")
_HINTS = {
    400: "look at the parameters that are sent: pages, incremental, parameters",
    401: "who asks is not known: look at bearer, password, oauth, or the key in headers",
    403: "who asks may not read this",
    404: "look at the url",
}


def _said(status: int) -> str:
    known = status in {each.value for each in HTTPStatus}
    return f"the server says {status}" + (f" {HTTPStatus(status).phrase}" if known else "")


def after_seconds(said: str | None, now: datetime | None = None) -> float | None:
    """Return for how long a Retry-After asks to wait: seconds, or a date. None if it is neither.

    >>> after_seconds("120"), after_seconds("-1"), after_seconds("soon")
    (120.0, None, None)
    """
    if said is None:
        return None
    if said.isascii() and said.isdecimal():
        return float(said) if len(said) < 10 else math.inf
    try:
        moment = email.utils.parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _bounded(pieces: Iterator[bytes], bounds: Bounds) -> Iterator[bytes]:
    """Yield what comes, up to a size and a time."""
    until, size = time.monotonic() + bounds.timeout * SLOW, 0
    for piece in pieces:
        size += len(piece)
        if size > bounds.bytes:
            raise _too_large(bounds)
        if time.monotonic() > until:
            raise SourceError(f"the answer did not end within {bounds.timeout * SLOW:g} s")
        yield piece


def _unpacked(pieces: Iterator[bytes], packed: str, bounds: Bounds) -> bytes:
    """Return what was packed by gzip; a few bytes never become more than the bound."""
    if packed not in ("gzip", "x-gzip"):
        raise SourceError(f"the answer is packed by {packed[:40]!r}", allowed=("gzip",))
    made, size, rest = [], 0, b""
    unpack = zlib.decompressobj(wbits=31)
    for piece in pieces:
        rest = piece
        while rest:
            if unpack.eof:  # another member follows
                unpack = zlib.decompressobj(wbits=31)
            try:
                out = unpack.decompress(rest, bounds.bytes - size + 1)
            except zlib.error as error:
                raise SourceError(f"the answer is no gzip: {error}") from error
            made.append(out)
            size += len(out)
            if size > bounds.bytes:
                raise _too_large(bounds)
            rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    if not unpack.eof:
        raise _Cut("the connection failed: the packed answer has no end")
    return b"".join(made)


def _too_large(bounds: Bounds) -> SourceError:
    return SourceError(
        f"the answer has more than {bounds.bytes:,} bytes",
        hint="ask for smaller pages (pages.size), or allow more (limits.bytes: half of it)",
    )
