"""The http connector: reads an API page by page, as a whole or from what it said last on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lichen.adapters.sources.http.call import Ask, Bounds, Caller, Refused
from lichen.adapters.sources.http.guard import Guard, trust
from lichen.adapters.sources.http.order import Sum, Value, later, place_of
from lichen.adapters.sources.http.page import Page, Shape
from lichen.adapters.sources.http.read import Everything, News, Seen, State, decoded
from lichen.adapters.sources.http.settings import (
    CONTROL,
    HttpSettings,
    check,
    is_reference,
    spelled,
    url_of,
)
from lichen.adapters.sources.http.walk import Walk
from lichen.adapters.sources.http.who import Known, Token, basic
from lichen.core.errors import SourceError
from lichen.core.size import size
from lichen.core.steps import Mark
from lichen.core.time import duration
from lichen.ports.source import Limits, Outside, Reading

if TYPE_CHECKING:
    import httpx

_KEPT = 64 * 10**6  # bytes of pages that were looked at, and are about to be read


class Fetched(NamedTuple):
    """A page, where it was, and where the next one is."""

    at: Value | None
    page: Page
    following: Value | None
    etag: str | None
    modified: str | None
    size: int


class Http:
    """Reads a list of records from an API."""

    Settings = HttpSettings

    def __init__(self, settings: HttpSettings, outside: Outside) -> None:
        self._settings, self._outside = settings, outside
        check(settings)
        url = url_of(settings.url, "url")
        self._guard = Guard(url, settings.allow, lambda: trust(settings.tls, outside.root))
        self._guard.admit(url, "url")
        self._part = f"{url.host}{url.path}"
        bounds = Bounds(
            outside.timeout,
            duration(settings.wait).total_seconds(),
            2 * size(settings.limits.bytes),
        )
        self._refuse_open_secrets(url)
        plain = {n: v for n, v in settings.headers.items() if not is_reference(v)}
        self._caller = Caller(
            self._guard,
            bounds,
            {"Accept": "application/json", "User-Agent": "lichen", **plain},
            self._credentials(bounds),
        )
        news = settings.incremental
        self._shape = Shape(
            settings.records,
            settings.pages.cursor_path if settings.pages else None,
            news.column if news else None,
        )
        self.walk = Walk(
            url,
            {n: spelled(v) for n, v in settings.parameters.items() if not is_reference(v)},
            lambda: {
                n: self._secret(v, n)
                for n, v in settings.parameters.items()
                if isinstance(v, str) and is_reference(v)
            },
            settings.pages,
            news.parameter if news else None,
            (settings.body or {}) if settings.method == "POST" else None,
        )
        self._looked: dict[tuple[Value | None, Value | None], Fetched] = {}

    def look(self, cursor: str | None) -> Mark:
        """Ask whether there is anything new; what is fetched for that is kept for reading."""
        self._looked.clear()
        state = decoded(cursor)
        if state is None:
            return Mark(until="first", said="it was not read before")
        if state.under is not None:
            return Mark(until=state.under.toward, said=f"page {state.under.nth} follows")
        news = self._news(state) if self._settings.incremental else self._changed(state)
        if news is None:
            return Mark(until=state.mark, said="nothing is new")
        digest, said = news
        until = hashlib.blake2b(f"{cursor}{digest}".encode(), digest_size=8).hexdigest()
        return Mark(until=until, said=said)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> Reading:
        """Read the pages that hold what is new, or all of them."""
        state = decoded(cursor) or State()
        if self._settings.incremental is None:
            return Everything(self, self._part, state, mark.until)
        return News(self, self._part, state, mark.until, limits)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: who asks by a value tells the server each time what is safe."""

    def close(self) -> None:
        """Close the connections."""
        self._looked.clear()
        self._guard.close()

    @property
    def start(self) -> Value | None:
        """The value from which on the first reading asks."""
        return self._settings.incremental.start if self._settings.incremental else None

    def values(self, page: Page) -> list[Value | None]:
        """Return the values of the column by which is told what is new."""
        return self._shape.values(page.records)

    def fetch(
        self, since: Value | None, at: Value | None, nth: int, seen: Seen | None = None
    ) -> Fetched | None:
        """Return a page, or None where it is as it was `seen`; raises SourceError."""
        kept = self._looked.pop((since, at), None)
        if kept is not None:
            return kept
        with self.placed(at, nth):
            ask = self.walk.ask(since, at, self._guard)
            answer = self._caller.ask(Ask(ask.url, ask.posted, _validators(seen, ask)))
            if answer.body is None:
                if seen is None:
                    raise SourceError("the server says that nothing changed, which was not asked")
                return None
            page = self._shape.page(answer.body)
            following = self.walk.following(at, page, answer, self._guard)
        return Fetched(at, page, following, answer.etag, answer.modified, len(answer.body))

    @contextmanager
    def placed(self, at: Value | None, nth: int) -> Iterator[None]:
        """Let an error say of which page it is, and which source reads it."""
        try:
            yield
        except UnicodeError:
            error = SourceError("what is to be sent is no text that can be")
            raise self._of_page(error, at, nth) from None
        except SourceError as error:
            raise self._of_page(error, at, nth) from error

    def _of_page(self, error: SourceError, at: Value | None, nth: int) -> SourceError:
        said = f"{self._part}{self.walk.shown(at, nth)}: {error.what}"
        where = self._outside.where
        if isinstance(error, Refused):
            return Refused(said, error.status, error.hint, where)
        return SourceError(
            said, where=where, allowed=error.allowed, given=error.given, hint=error.hint
        )

    def _news(self, state: State) -> tuple[str, str] | None:
        """Return what is new since the value that was reached, as a digest and in words."""
        since = state.since if state.since is not None else self.start
        at, nth, told = self.walk.first, 1, Sum()
        while True:
            fetched = self.fetch(since, at, nth)
            assert fetched is not None
            if nth == 1:
                self._keep(since, fetched)
            told = told.plus(list(map(place_of, fetched.page.records)))
            beyond = any(later(value, state.since) for value in self.values(fetched.page))
            if beyond or told.count > state.known.count:
                return fetched.page.digest, "there are new records"
            if fetched.following is None:
                same = told == state.known or not told.count
                return None if same else (f"{told}", "there are new records")
            at, nth = fetched.following, nth + 1

    def _changed(self, state: State) -> tuple[str, str] | None:
        """Return the first page that is not as it was, as a digest and in words."""
        for nth, seen in enumerate(state.pages, start=1):
            fetched = self.fetch(None, seen.at, nth, seen)
            if fetched is None:
                continue
            self._keep(None, fetched)
            follows = state.pages[nth].at if nth < len(state.pages) else None
            if (fetched.page.digest, fetched.following) != (seen.digest, follows):
                return fetched.page.digest, "its answer changed"
        return None if state.pages else (state.mark, "whether it changed is told by reading it")

    def _keep(self, since: Value | None, fetched: Fetched) -> None:
        if sum(kept.size for kept in self._looked.values()) + fetched.size <= _KEPT:
            self._looked[since, fetched.at] = fetched

    def _credentials(self, bounds: Bounds) -> Known | Token:
        settings, secret = self._settings, self._secret
        refs = {n: v for n, v in settings.headers.items() if is_reference(v)}

        def besides() -> Mapping[str, str]:
            return {name: secret(value, name) for name, value in refs.items()}

        if settings.oauth is not None and settings.client_secret is not None:
            url, held = url_of(settings.oauth.token_url, "oauth.token_url"), settings.client_secret
            self._guard.admit(url, "oauth.token_url")
            self._refuse_open_secrets(url, always=True)
            return Token(
                settings.oauth,
                url,
                self._guard,
                bounds,
                lambda: secret(held, "client_secret"),
                besides,
            )
        return Known(lambda: {**besides(), **self._shown()})

    def _shown(self) -> Mapping[str, str]:
        """The header of a token, or of a name and a password."""
        settings = self._settings
        if settings.bearer is not None:
            return {"Authorization": f"Bearer {self._secret(settings.bearer, 'bearer')}"}
        if settings.user is not None and settings.password is not None:
            return basic(settings.user, self._secret(settings.password, "password"))
        return {}

    def _secret(self, reference: str, name: str) -> str:
        found = self._outside.secret(reference)
        if not found or CONTROL.search(found):
            raise SourceError(f"the secret for {name} is empty, or holds what cannot be sent")
        return found

    def _refuse_open_secrets(self, url: httpx.URL, *, always: bool = False) -> None:
        settings = self._settings
        every = [settings.bearer, settings.password, settings.client_secret]
        every += [v for v in (*settings.headers.values(), *settings.parameters.values())
                  if isinstance(v, str) and is_reference(v)]  # fmt: skip
        if (always or any(every)) and not self._guard.trusts(url):
            raise SourceError(
                f"a secret would be sent to {url.host} unencrypted",
                hint=f"use https; or, if the way there is safe, list it: allow: [{url.host}]",
            )


def _validators(seen: Seen | None, ask: Ask) -> dict[str, str]:
    """The headers that ask for a page only if it is not as it was."""
    if seen is None or ask.posted:
        return {}
    tag = {"If-None-Match": seen.etag} if seen.etag else {}
    return tag or ({"If-Modified-Since": seen.modified} if seen.modified else {})
