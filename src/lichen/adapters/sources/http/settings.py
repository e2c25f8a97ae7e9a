"""What a source that is an HTTP API may say, and what of it does not go together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from lichen.adapters.sources.http.walk import PageSettings, check_pages
from lichen.adapters.sources.http.who import OauthSettings
from lichen.core.errors import SourceError
from lichen.core.extras import needed
from lichen.core.secrets import ALLOWED, refers
from lichen.ports.source import Settings, Tls

if TYPE_CHECKING:
    import httpx

Plain = str | int | float | bool
_TELLING = re.compile(
    r"(x[-_])?((api|app|application|access|auth|client|secret|private|subscription)[-_]?)*"
    r"(key|token|secret|auth|password|passwd|pwd|sig|signature|credentials?)",
    re.IGNORECASE,
)
_HEADERS = re.compile(r".*(key|token|secret|auth|password|cookie|credential|signature).*", re.I)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class IncrementalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent to be told only news: the greatest value of a column so far."""

    parameter: str
    column: str
    start: str | int | float | None = None


class HttpSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source that is an HTTP API may say besides.

    `parameters` and `headers` are texts, or references to secrets. `allow` lists hosts that may be
    reached though their addresses are not public, or though they are another one than the url's.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"bearer", "password", "client_secret"})
    ASIDE: ClassVar[frozenset[str]] = frozenset({"user", "oauth", "tls", "allow", "wait"})

    url: str
    records: str | None = None
    method: Literal["GET", "POST"] = "GET"
    parameters: dict[str, Plain] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: dict[str, Any] | None = None
    pages: PageSettings | None = None
    incremental: IncrementalSettings | None = None
    bearer: str | None = None
    user: str | None = None
    password: str | None = None
    oauth: OauthSettings | None = None
    client_secret: str | None = None
    tls: Tls = Tls()
    allow: tuple[str, ...] = ()
    wait: str = "1 minute"


def url_of(text: str, name: str) -> httpx.URL:
    """Return an address; raises SourceError where it is none, or holds a secret."""
    client = needed("httpx", "http")
    try:
        url: httpx.URL = client.URL(text)
    except client.InvalidURL as error:
        raise SourceError(f"{name} is no address: {error}") from None
    for parameter in url.params:
        if _TELLING.fullmatch(parameter):
            raise _written_out(f"{name}: its parameter {parameter}", f"parameters: {{{parameter}: ")
    bare: httpx.URL = url.copy_with(fragment=None)
    return bare


def check(settings: HttpSettings) -> None:
    """Raise SourceError where settings do not go together, or a secret is written out."""
    for name, value in settings.parameters.items():
        if _TELLING.fullmatch(name) and not is_reference(value):
            raise _written_out(f"parameters: {name}", f"{name}: ")
    for name, header in settings.headers.items():
        if _HEADERS.fullmatch(name) and not refers(header):
            raise _written_out(f"headers: {name}", f"{name}: ")
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or CONTROL.search(header):
            raise SourceError(f"headers: {name!r} cannot be sent", hint="one line of plain text")
        if not header.isascii():
            raise SourceError(f"headers: {name!r} holds other letters than those of ASCII")
    _check_who(settings)
    _check_what(settings)


def _check_who(settings: HttpSettings) -> None:
    ways = [name for name in ("bearer", "user", "oauth") if getattr(settings, name) is not None]
    if len(ways) > 1:
        raise SourceError(f"{' and '.join(ways)} say twice who asks", hint="keep one of them")
    for one, other in (("user", "password"), ("oauth", "client_secret")):
        if (getattr(settings, one) is None) != (getattr(settings, other) is None):
            raise SourceError(f"{one} and {other} need each other")


def _check_what(settings: HttpSettings) -> None:
    if settings.body is not None and settings.method != "POST":
        raise SourceError("a body is only posted", hint="say method: POST")
    if settings.incremental is not None and settings.key is None:
        raise SourceError(
            "incremental: what is sent twice is told apart by a key, and there is none",
            hint="name the column or columns that identify a record: key: id",
        )
    if settings.pages is not None:
        check_pages(settings.pages, settings.records, posted=settings.method == "POST")


def _written_out(what: str, hint: str) -> SourceError:
    return SourceError(
        f"{what} is written out",  # the text is never told: it may be the secret
        allowed=ALLOWED,
        hint=f"refer to it: {hint}env:VARIABLE",
    )


def is_reference(value: object) -> bool:
    """Return whether a setting's value refers to a secret."""
    return isinstance(value, str) and refers(value)


def spelled(value: Plain) -> str:
    """Return a value as it is written in a query."""
    return str(value).lower() if isinstance(value, bool) else str(value)
