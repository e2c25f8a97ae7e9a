"""Readings of an HTTP source: everything that it tells, or what is new since a value."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.http.call import Refused
from lichen.adapters.sources.http.order import Reach, Sum, Value, place_of
from lichen.adapters.sources.http.page import Page
from lichen.core.errors import SourceError
from lichen.ports.source import Batch, Limits

if TYPE_CHECKING:
    from lichen.adapters.sources.http.api import Fetched
    from lichen.adapters.sources.http.walk import Walk

MOST_PAGES = 100_000
_REMEMBERED = 200  # pages of which is kept whether they changed
_ROWS, _BYTES, _SECONDS = 20_000, 16 * 10**6, 10.0  # of one batch
_STALE = {400, 404, 409, 410, 422}  # what a server says of a cursor that it no longer knows


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A page as it was: where, a digest of its records, and what the server calls its state."""

    at: Value | None
    digest: str
    etag: str | None = None
    modified: str | None = None


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """Remembers one page, a later one each time twice as many passed: a loop comes back to it."""

    kept: str = ""
    since: int = 0
    until: int = 1

    def after(self, at: Value | None, page: Page) -> Trail:
        """Return the trail past another page; raises SourceError where it was passed before."""
        this = page.digest if page.records else f"at {at}"
        if this == self.kept:
            raise SourceError(
                "the server gives the same page again, so that there is no end",
                hint="look at pages: does the server know these parameters?",
            )
        if self.since + 1 >= self.until:
            return Trail(this, 0, self.until * 2)
        return Trail(self.kept, self.since + 1, self.until)


class Under(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pass over the pages that is under way: where it goes on, and what it found."""

    toward: str  # the mark to reach
    at: Value | None = None
    nth: int = 1
    reach: Reach = Reach()
    trail: Trail = Trail()


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cursor: the mark that was reached; the value, and what the server will send again at it.

    Of a source that is read whole, the pages as they were.
    """

    mark: str = ""
    since: Value | None = None
    known: Sum = Sum()
    under: Under | None = None
    pages: tuple[Seen, ...] = ()

    def encoded(self) -> str:
        """Return the state as the text of a cursor."""
        return msgspec.json.encode(self).decode()


def decoded(cursor: str | None) -> State | None:
    """Return the state that a cursor holds; None where there is none, or it is another kind's."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(cursor, type=State)
    except msgspec.DecodeError:
        return None


class Pages(Protocol):
    """Gives pages."""

    walk: Walk

    @property
    def start(self) -> Value | None: ...

    def values(self, page: Page) -> list[Value | None]: ...

    def placed(self, at: Value | None, nth: int) -> AbstractContextManager[None]: ...

    def fetch(
        self, since: Value | None, at: Value | None, nth: int, seen: Seen | None = None
    ) -> Fetched | None: ...


@dataclass
class _Gathered:
    """Records of several pages that become one batch."""

    part: str
    records: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, fetched: Fetched, lines: Sequence[int]) -> None:
        self.records += fetched.page.records
        self.lines += lines
        self.bytes += fetched.size

    def full(self, limits: Limits) -> bool:
        return (
            len(self.records) >= min(limits.rows, _ROWS)
            or self.bytes >= min(limits.bytes, _BYTES)
            or time.monotonic() - self.began >= min(limits.seconds, _SECONDS)
        )

    def batch(self, cursor: str) -> Batch:
        """Return what was gathered, and begin again."""
        rows: Any = Table.from_pydict(
            {
                "_payload": Array(self.records, DataType.binary()),
                "_file": Array([self.part] * len(self.records), DataType.utf8()),
                "_line": Array(self.lines, DataType.int64()),
            }
        )
        self.records, self.lines, self.bytes, self.began = [], [], 0, time.monotonic()
        return Batch(rows, cursor)


class Everything:
    """All pages: a record that is in none of them is gone."""

    def __init__(self, pages: Pages, part: str, state: State, until: str) -> None:
        self._pages, self._part, self._until = pages, part, until
        self.ended = state.mark == until
        self.whole: tuple[str, ...] = () if self.ended else (part,)

    def __iter__(self) -> Iterator[Batch]:
        if self.ended:
            return
        gathered, seen, line, trail = _Gathered(self._part), [], 0, Trail()
        at, limits = self._pages.walk.first, Limits(_ROWS, _BYTES, _SECONDS)
        for nth in range(1, MOST_PAGES + 1):
            fetched = _fetched(self._pages, None, at, nth)
            with self._pages.placed(at, nth):
                trail = trail.after(at, fetched.page)
            count = len(fetched.page.records)
            gathered.add(fetched, range(line + 1, line + count + 1))
            line += count
            seen.append(Seen(at, fetched.page.digest, fetched.etag, fetched.modified))
            if fetched.following is None:
                kept = tuple(seen) if len(seen) <= _REMEMBERED else ()
                self.ended = True
                yield gathered.batch(State(mark=self._until, pages=kept).encoded())
                return
            if gathered.full(limits):
                yield gathered.batch(State().encoded())
            at = fetched.following
        raise SourceError(f"there are more than {MOST_PAGES:,} pages")

    def close(self) -> None:
        """Do nothing: a page is read when it is fetched."""


class News:
    """What is new since a value. It only counts as reached when all pages were read."""

    whole: tuple[str, ...] = ()

    def __init__(self, pages: Pages, part: str, state: State, until: str, limits: Limits) -> None:
        self._pages, self._part, self._state = pages, part, state
        self._until, self._limits = until, limits
        self._beyond = 0  # the page that must be passed, for what came to be a step on
        self.ended = state.under is None and state.mark == until

    def __iter__(self) -> Iterator[Batch]:
        if self.ended:
            return
        state, gathered, given = self._state, _Gathered(self._part), False
        under = self._state.under or self._fresh()
        while True:
            try:
                fetched, places, under = self._next(state, under)
            except SourceError:
                if under.nth <= self._beyond or not (given or gathered.records):
                    raise
                break  # what came is kept; who goes on there is told again
            gathered.add(fetched, places)
            if fetched.following is None:
                self.ended = True
                yield gathered.batch(self._done(state, under.reach).encoded())
                return
            state = msgspec.structs.replace(state, under=under)
            if gathered.full(self._limits):
                given = True
                yield gathered.batch(state.encoded())
        if gathered.records:
            yield gathered.batch(state.encoded())

    def close(self) -> None:
        """Do nothing: a page is read when it is fetched."""

    def _fresh(self) -> Under:
        return Under(self._until, self._pages.walk.first)

    def _next(self, state: State, under: Under) -> tuple[Fetched, list[int], Under]:
        """Fetch a page; returns it, its records' places, and the pass as it stands after it."""
        since = state.since if state.since is not None else self._pages.start
        try:
            fetched = _fetched(self._pages, since, under.at, under.nth)
        except Refused as error:
            resumed = not self._beyond and under == self._state.under and self._pages.walk.forgotten
            if not resumed or error.status not in _STALE:
                raise
            self._beyond = under.nth
            under = self._fresh()  # the server forgot where we were: from the first page again
            fetched = _fetched(self._pages, since, under.at, under.nth)
        page = fetched.page
        places = list(map(place_of, page.records))
        with self._pages.placed(under.at, under.nth):
            if under.nth > MOST_PAGES:
                raise SourceError(f"there are more than {MOST_PAGES:,} pages")
            after = Under(
                under.toward,
                fetched.following,
                under.nth + 1,
                under.reach.after(places, self._pages.values(page), state.since),
                under.trail.after(under.at, page),
            )
        return fetched, places, after

    def _done(self, state: State, reach: Reach) -> State:
        since = state.since if reach.high is None else reach.high
        return State(mark=self._until, since=since, known=reach.known())


def _fetched(pages: Pages, since: Value | None, at: Value | None, nth: int) -> Fetched:
    found = pages.fetch(since, at, nth)
    assert found is not None
    return found
