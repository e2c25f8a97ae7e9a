"""A schema registry by Confluent's REST interface: schemas by the ids that records carry."""

from __future__ import annotations

import base64
import http.client
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from lichen.core.errors import SourceAway, SourceError
from lichen.ports.source import Outside, Tls

_MOST = 16 * 2**20  # bytes of an answer


class Reference(msgspec.Struct, frozen=True):
    """A schema that another one names."""

    name: str
    subject: str
    version: int


class Registered(msgspec.Struct, frozen=True, rename="camel"):
    """A schema as the registry tells it."""

    schema: str
    schema_type: str = "AVRO"
    references: tuple[Reference, ...] = ()


class Registry:
    """Asks a registry; follows no redirect, and keeps no connection."""

    def __init__(
        self,
        url: str,
        user: str | None,
        password: str | None,
        tls: Tls | None,
        outside: Outside,
    ) -> None:
        self._user, self._password, self._tls, self._outside = user, password, tls, outside
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise SourceError("registry: this is no address", allowed=("https://HOST[:PORT]",))
        if "@" in parts.netloc:
            raise SourceError(
                "registry: the address holds a user or a password",
                allowed=("registry_user", "registry_password"),
            )
        self._parts, self._path = parts, parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{self._path}"

    def by_id(self, number: int) -> Registered | None:
        """Return the schema of an id; None where the registry does not know it."""
        return self._asked(f"/schemas/ids/{number}")

    def named(self, reference: Reference) -> Registered | None:
        """Return the schema that another one refers to."""
        subject = quote(reference.subject, safe="")
        return self._asked(f"/subjects/{subject}/versions/{reference.version}")

    def _asked(self, path: str) -> Registered | None:
        try:
            status, said = self._get(self._path + path)
        except (OSError, http.client.HTTPException) as error:
            raise SourceAway(
                f"the schema registry {self.url} does not answer: {error or type(error).__name__}",
                where=self._outside.where,
                hint="is it running, and can it be reached from here? `timeout` says how long to "
                "wait",
            ) from error
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise self._trouble(
                f"it answers {status} to {path}", "look at registry_user and registry_password"
            )
        try:
            return msgspec.json.decode(said, type=Registered)
        except msgspec.DecodeError as error:
            raise self._trouble(f"what it answers to {path} is no schema: {error}") from error

    def _get(self, path: str) -> tuple[int, bytes]:
        host, port, wait = str(self._parts.hostname), self._parts.port, self._outside.timeout
        line: http.client.HTTPConnection
        if self._parts.scheme == "https":
            line = http.client.HTTPSConnection(
                host, port, timeout=wait, context=trust(self._tls, self._outside.root)
            )
        else:
            line = http.client.HTTPConnection(host, port, timeout=wait)
        try:
            line.request("GET", path, headers=self._headers())
            answer = line.getresponse()
            return answer.status, answer.read(_MOST)
        finally:
            line.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if self._user is not None:
            password = self._outside.secret(self._password) if self._password else ""
            both = base64.b64encode(f"{self._user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {both}"
        return headers

    def _trouble(self, what: str, hint: str | None = None) -> SourceError:
        text = f"the schema registry {self.url}: {what}"
        return SourceError(text, where=self._outside.where, hint=hint)


def trust(tls: Tls | None, root: Path) -> ssl.SSLContext:
    """Return what to trust, and whom to say one is."""
    said = tls or Tls()
    context = ssl.create_default_context(cafile=str(root / said.ca) if said.ca else None)
    if said.cert is not None:
        context.load_cert_chain(root / said.cert, root / said.key if said.key else None)
    if not said.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def decoded(text: str) -> Any:
    """Return the tree of a schema's text; raises ValueError where it is none."""
    return msgspec.json.decode(text)
