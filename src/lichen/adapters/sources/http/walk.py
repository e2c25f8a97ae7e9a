"""From page to page of an HTTP source: what is asked for each, and which one follows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lichen.adapters.sources.http.call import Answer, Ask
from lichen.adapters.sources.http.guard import Guard, joined
from lichen.adapters.sources.http.order import Value
from lichen.adapters.sources.http.page import Page, parts
from lichen.core.errors import SourceError

if TYPE_CHECKING:
    import httpx

_LONG = 8_000  # characters of what leads to the next page


class PageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an answer goes on: by a number, an offset, a cursor in the page, or a link."""

    by: Literal["number", "offset", "cursor", "link"]
    parameter: str | None = None
    size_parameter: str | None = None
    size: int | None = None
    cursor_path: str | None = None
    first: str | int | None = None


_NAMED = {"number": "page", "offset": "offset", "cursor": "cursor"}
_FIRST = {"number": 1, "offset": 0}
_ONE = PageSettings(by="link")  # the whole answer is one page


def check_pages(pages: PageSettings, records: str | None, *, posted: bool) -> None:
    """Raise SourceError where the settings of the pages do not go together."""
    if pages.by == "cursor" and not pages.cursor_path:
        raise SourceError(
            "pages: where a page says the next cursor is missing",
            hint="say it: cursor_path: meta.next",
        )
    if pages.cursor_path and not records:
        hint = "say with records where they are, such as data.items"
        raise SourceError("pages: a list of records holds no cursor beside them", hint=hint)
    if (pages.size is None) != (pages.size_parameter is None):
        raise SourceError("pages: size and size_parameter need each other")
    if pages.size is not None and pages.size <= 0:
        raise SourceError("pages: a page of no records never ends", allowed=("1 and more",))
    if pages.by in _FIRST and isinstance(pages.first, str):
        raise SourceError(f"pages: first is {pages.first!r}, which is no number")
    if pages.by in _FIRST and pages.cursor_path:
        raise SourceError(f"pages: a {pages.by} needs no cursor_path", allowed=("cursor", "link"))
    if pages.by == "link" and (pages.parameter or pages.first is not None):
        raise SourceError(
            "pages: a link needs neither parameter nor first: it is all that is asked"
        )
    if pages.by == "link" and posted:
        raise SourceError("pages: a link cannot be posted to", allowed=tuple(_NAMED))


class Walk:
    """The requests of a source, page by page."""

    def __init__(
        self,
        url: httpx.URL,
        parameters: Mapping[str, str],
        secrets: Callable[[], Mapping[str, str]],
        pages: PageSettings | None,
        since: str | None,
        body: Mapping[str, Any] | None,
    ) -> None:
        self._url, self._parameters, self._secrets = url, parameters, secrets
        self._pages, self._since, self._body = pages or _ONE, since, body
        self._more = pages is not None
        named = self._pages.parameter or _NAMED.get(self._pages.by, "")
        self._named = named if self._more else ""
        self.first: Value | None = self._pages.first
        if self.first is None and self._more:
            self.first = _FIRST.get(self._pages.by)

    def ask(self, since: Value | None, at: Value | None, guard: Guard) -> Ask:
        """Return the request for a page of what came since a value."""
        if self._pages.by == "link" and at is not None:
            url = joined(self._url, str(at), "the link to the next page", guard)
            return Ask(self._signed(url, guard))
        said: dict[str, Value] = {}
        if self._since and since is not None:
            said[self._since] = since
        if self._named and at is not None:
            said[self._named] = at
        if self._pages.size_parameter and self._pages.size:
            said[self._pages.size_parameter] = self._pages.size
        url = self._url
        for name, value in self._parameters.items():
            url = url.copy_set_param(name, value)
        if self._body is not None:
            return Ask(self._signed(url, guard), {"json": _set(self._body, said)})
        for name, each in said.items():
            url = url.copy_set_param(name, each)
        return Ask(self._signed(url, guard))

    def following(self, at: Value | None, page: Page, answer: Answer, guard: Guard) -> Value | None:
        """Return where the next page is; None where there is none."""
        if not self._more:
            return None
        match self._pages.by:
            case "number":
                return _count(at) + 1 if page.records else None
            case "offset":
                return _count(at) + len(page.records) if page.records else None
            case "cursor":
                found = _fit(page.following, "the cursor of the next page")
                return None if found == at and not page.records else found
            case "link":
                path = self._pages.cursor_path
                link = _fit(page.following if path else answer.link, "the link to the next page")
                return None if link is None else self._unsigned(answer.url, str(link), guard)

    @property
    def forgotten(self) -> bool:
        """Whether a place among the pages is the server's own word, which it may forget."""
        return self._pages.by in ("cursor", "link")

    def shown(self, at: Value | None, nth: int) -> str:
        """Return how a page is called in an error; what a server made up is not repeated."""
        if not self._more:
            return ""
        if self._pages.by == "offset":
            return f", offset {at}"
        return f", page {at if self._pages.by == 'number' else nth}"

    def _signed(self, url: httpx.URL, guard: Guard) -> httpx.URL:
        if guard.at_home(url):
            for name, value in self._secrets().items():
                url = url.copy_set_param(name, value)
        return url

    def _unsigned(self, url: httpx.URL, link: str, guard: Guard) -> str:
        """Return where a link leads, without the secrets that the server repeats."""
        found = joined(url, link, "the link to the next page", guard)
        for name in self._secrets():
            found = found.copy_remove_param(name)
        return str(found)


def _set(body: Mapping[str, Any], said: Mapping[str, Value]) -> Any:
    """Return a body with some values at their paths."""
    whole: Any = copy.deepcopy(dict(body))
    for path, value in said.items():
        *above, last = parts(path)
        place = whole
        for name in above:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise SourceError(f"body: {name} is no object, so {path} has no place in it")
        place[last] = value
    return whole


def _count(at: Value | None) -> int:
    return int(at or 0)


def _fit(value: Any, what: str) -> Value | None:
    """Return what leads to the next page, if it is something that can."""
    if value is None or value is False or value == "":
        return None
    if isinstance(value, bool | dict | list) or not isinstance(value, str | int | float):
        raise SourceError(f"{what} is no text or number")
    if isinstance(value, str) and len(value) > _LONG:
        raise SourceError(f"{what} has {len(value):,} characters")
    return value
