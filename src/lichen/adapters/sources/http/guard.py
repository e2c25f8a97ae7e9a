"""Which hosts and addresses an HTTP source may reach; what was checked is what is called.

A name is resolved here, every address that it has is checked, and the connection goes to a checked
address itself: the name cannot mean another one a moment later.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.core.errors import SourceError
from lichen.core.extras import needed
from lichen.ports.source import Tls

if TYPE_CHECKING:
    import httpx

Resolve = Callable[..., Sequence[Any]]  # as socket.getaddrinfo
_KEPT = 60.0  # seconds for which a name keeps the addresses that were checked
_TRIED = 4  # addresses of a name
_PORTS = {"http": 80, "https": 443}


class Guard:
    """Sends requests, each to a checked address; `allow` lists hosts, or host:port, that may be
    reached though they are another one than `home`, or their addresses are not public.
    """

    def __init__(
        self,
        home: httpx.URL,
        allow: Sequence[str],
        tls: Callable[[], ssl.SSLContext],
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self.home = home
        self._allow = {listed.lower().strip("[]") for listed in allow}
        self._tls, self._resolve = tls, resolve
        self._known: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        # A host's own connections: what one host's certificate vouched for is no other's.
        self._transports: dict[str, httpx.HTTPTransport] = {}

    def admit(self, url: httpx.URL, what: str, *, came_from: httpx.URL | None = None) -> None:
        """Raise SourceError unless a URL may be asked; `what` says where it comes from."""
        if url.scheme not in _PORTS or not url.host:
            raise SourceError(f"{what} is no http or https address", hint="write https://…")
        if url.userinfo:
            raise SourceError(
                f"{what} holds a user or a password",
                hint="say user, and password by reference: env:VARIABLE",
            )
        if came_from is None:
            return
        if came_from.scheme == "https" and url.scheme == "http":
            raise SourceError(f"{what} leads from https to http, to {url.host}")
        if url.host != self.home.host and not self._listed(url):
            raise SourceError(
                f"{what} leads to another host, {place(url)}",
                hint=f"if that is meant, list it: allow: [{url.host}]",
            )

    def at_home(self, url: httpx.URL) -> bool:
        """Return whether a URL is of the server that the secrets are meant for."""
        same = (url.host, port(url)) == (self.home.host, port(self.home))
        safer = url.scheme == "https" and self.home.scheme == "http" and url.host == self.home.host
        return (same and url.scheme == self.home.scheme) or safer

    def trusts(self, url: httpx.URL) -> bool:
        """Return whether secrets may be sent to a URL: encrypted, or to a listed host."""
        return url.scheme == "https" or self._listed(url)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request to a checked address of its host; the response is still to be read."""
        client = needed("httpx", "http")
        host = request.url.host
        addresses = self._addresses(request.url)
        for last, address in enumerate(addresses, start=1):
            pinned = client.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # they hold the host's name
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                response: httpx.Response = self._transport(host).handle_request(pinned)
                return response
            except (client.ConnectError, client.ConnectTimeout):
                if last == len(addresses):
                    raise
        raise AssertionError("a host has at least one address")

    def close(self) -> None:
        """Close all connections; others are opened when they are needed."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()
        self._known.clear()

    def _listed(self, url: httpx.URL) -> bool:
        return url.host.lower() in self._allow or place(url).lower() in self._allow

    def _transport(self, host: str) -> httpx.HTTPTransport:
        if host not in self._transports:
            made = needed("httpx", "http").HTTPTransport
            self._transports[host] = made(verify=self._tls(), trust_env=False)
        return self._transports[host]

    def _addresses(self, url: httpx.URL) -> tuple[str, ...]:
        key, now = (url.host, port(url)), time.monotonic()
        if key in self._known and now - self._known[key][0] < _KEPT:
            return self._known[key][1]
        try:
            found = self._resolve(*key, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SourceError(f"the host {url.host} is not known: {error}") from None
        addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
        if not addresses:
            raise SourceError(f"the host {url.host} is not known: it has no address")
        for address in addresses:
            if not public(address) and not self._listed(url):
                raise SourceError(
                    f"{place(url)} is at {address}, which is no public address",
                    hint=f"if that is meant, list it: allow: [{url.host}]",
                )
        self._known[key] = (now, addresses[:_TRIED])
        return addresses[:_TRIED]


def joined(url: httpx.URL, link: str, what: str, guard: Guard) -> httpx.URL:
    """Return where a link leads from a URL; raises SourceError where it must not."""
    try:
        found = url.join(link)
    except (needed("httpx", "http").InvalidURL, ValueError, TypeError):
        raise SourceError(f"{what} is no address that can be asked") from None
    guard.admit(found, what, came_from=url)
    return found


def trust(tls: Tls, root: Path) -> ssl.SSLContext:
    """Return whom to trust, and who we are; raises SourceError where a file does not read."""
    try:
        found: ssl.SSLContext = (
            ssl.create_default_context(cafile=root / tls.ca)
            if tls.ca
            else needed("httpx", "http").create_ssl_context()
        )
        if tls.cert:
            found.load_cert_chain(root / tls.cert, root / tls.key if tls.key else None)
    except OSError as error:  # SSLError is one
        files = ", ".join(str(name) for name in (tls.ca, tls.cert, tls.key) if name)
        raise SourceError(f"tls: {files} cannot be used: {error}", hint="PEM files") from error
    if not tls.verify:
        found.check_hostname = False
        found.verify_mode = ssl.CERT_NONE
    return found


def port(url: httpx.URL) -> int:
    """Return the port that a URL means."""
    return url.port or _PORTS[url.scheme]


def place(url: httpx.URL) -> str:
    """Return host:port of a URL, or the host alone where the port is its scheme's."""
    return f"{url.host}:{url.port}" if url.port else url.host


def public(address: str) -> bool:
    """Return whether an address is one of the public internet, whatever it is wrapped in.

    >>> [public(a) for a in ("93.184.216.34", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")]
    [True, False, False, False]
    """
    with contextlib.suppress(ValueError):
        ip = ipaddress.ip_address(address.partition("%")[0])
        inner = _inner(ip)
        if inner is not None:
            return public(inner)
        odd = ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback
        site = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
        return ip.is_global and not (odd or site or ip.is_link_local)
    return False


def _inner(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """The IPv4 address inside one of IPv6: mapped, compatible, 6to4, Teredo or NAT64."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return None
    if ip.teredo is not None:
        return str(ip.teredo[1])
    inner = ip.ipv4_mapped or ip.sixtofour
    if inner is not None:
        return str(inner)
    if ip in _NAT64 or (int(ip) >> 32 == 0 and int(ip) > 1):
        return str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return None


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
