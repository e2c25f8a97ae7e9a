"""Who asks an HTTP source: a key, a token, a name and a password, or a token that is fetched."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from lichen.adapters.sources.http.call import Ask, Bounds, Caller
from lichen.adapters.sources.http.guard import Guard
from lichen.core.errors import SourceError

if TYPE_CHECKING:
    import httpx

_EARLY = 30.0  # seconds before its end at which a token is renewed
_HOUR = 3600.0


class OauthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a token is fetched, by the client credentials of OAuth 2."""

    token_url: str
    client_id: str
    scope: str | None = None
    audience: str | None = None
    in_body: bool = False  # where the server does not take the credentials as Basic


class Known:
    """Headers that stay; they are made when they are first needed, as secrets are looked up."""

    def __init__(self, made: Callable[[], Mapping[str, str]]) -> None:
        self._made = made

    def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._made()

    def renew(self) -> bool:
        """Return that nothing else can be shown."""
        return False


class Token:
    """A token by client credentials: fetched when it is needed, and renewed before it ends."""

    def __init__(
        self,
        settings: OauthSettings,
        url: httpx.URL,
        guard: Guard,
        bounds: Bounds,
        secret: Callable[[], str],
        besides: Callable[[], Mapping[str, str]],
    ) -> None:
        self._settings, self._url, self._guard, self._bounds = settings, url, guard, bounds
        self._secret, self._besides = secret, besides
        self._held: tuple[str, float] | None = None  # and the moment until which it is good

    def headers(self) -> Mapping[str, str]:
        """Return the header with the token, and those that stand besides."""
        if self._held is None or time.monotonic() >= self._held[1]:
            self._held = self._fetched()
        return {**self._besides(), "Authorization": f"Bearer {self._held[0]}"}

    def renew(self) -> bool:
        """Drop the token: another one is fetched."""
        self._held = None
        return True

    def _fetched(self) -> tuple[str, float]:
        headers = {"Accept": "application/json"}
        if not self._settings.in_body:
            headers |= basic(self._settings.client_id, self._secret())
        caller = Caller(self._guard, self._bounds, headers, Known(dict), redirects=0)
        try:
            body = caller.ask(Ask(self._url, {"data": self._form()})).body
            return _token(body or b"")
        except SourceError as error:
            what = f"no token from {self._url.host}{self._url.path}: {error.what}"
            raise SourceError(what, hint=error.hint) from error

    def _form(self) -> dict[str, str]:
        own = self._settings
        form = {"grant_type": "client_credentials"}
        form |= {"scope": own.scope} if own.scope else {}
        form |= {"audience": own.audience} if own.audience else {}
        if own.in_body:
            form |= {"client_id": own.client_id, "client_secret": self._secret()}
        return form


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a name and a password."""
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


def _token(body: bytes) -> tuple[str, float]:
    """Read the answer of a token endpoint; returns the token, and until when it is good."""
    found: Any = None
    try:
        found = msgspec.json.decode(body)
        token, lasts = found["access_token"], float(found.get("expires_in") or _HOUR)
        fit = isinstance(token, str) and token.isascii() and token.isprintable() and lasts > 0
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        fit = False
    if not fit:
        raise SourceError("there is no access_token in its answer", hint="look at oauth.token_url")
    return token, time.monotonic() + max(lasts - _EARLY, lasts / 2)
