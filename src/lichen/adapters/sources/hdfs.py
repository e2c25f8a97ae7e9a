"""Files in HDFS, listed and read over WebHDFS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from lichen.adapters.sources.globs import is_glob, pattern, plain_part
from lichen.adapters.sources.stores import LOOPBACK
from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.core.steps import Seen
from lichen.ports.source import Outside

_AT_ONCE = 1 << 20
_PORT = 9870
_DEEPEST = 64  # folders; links may lead round in circles


class Hdfs:
    """The files `hdfs://HOST:PORT/GLOB`; the port is that of WebHDFS."""

    def __init__(self, settings: Any, outside: Outside) -> None:
        """Read the settings; nothing is asked of a server yet."""
        rest = settings.path.removeprefix("hdfs://")
        netloc, slash, glob = rest.partition("/")
        if "@" in netloc:
            raise SourceError("path: it holds no user and no password", hint="say `user: NAME`")
        try:
            place = urlsplit(f"//{netloc}")
            self._host, self._port = place.hostname or "", place.port or _PORT
        except ValueError:
            self._host = ""
        if not self._host or not slash or not glob:
            raise SourceError(
                f"path: {settings.path!r} names no files",
                allowed=("hdfs://HOST:9870/FOLDER/*.csv",),
            )
        self._root, self._glob = f"hdfs://{netloc}", f"/{glob}"
        self._settings, self._outside = settings, outside
        self._scheme = "http" if settings.tls is None else "https"
        self._open: Any = None
        self._meant = pattern(self._glob)

    def list(self) -> Iterator[Seen]:
        """Yield the files that match."""
        if not is_glob(self._glob):
            status = self._ask("GETFILESTATUS", self._glob)["FileStatus"]
            if status["type"] != "FILE":
                raise SourceError(f"{self._root}{self._glob} is no file", hint="add /*.csv")
            yield self._seen(self._glob, status)
            return
        top = plain_part(self._glob)
        deep = _DEEPEST if "**" in self._glob else self._glob.count("/") - top.count("/")
        yield from self._below(top, deep)

    def fetch(self, seen: Seen, write: Callable[[bytes], Any]) -> None:
        """Write a file's content, as the node tells it that has it."""
        path = seen.path.removeprefix(self._root)
        place = self._ask("OPEN", path, noredirect="true")["Location"]
        httpx, client = needed("httpx", "hdfs"), self._client()
        try:
            with client.stream("GET", self._followed(place)) as reply:
                if reply.status_code != 200:
                    raise self._refused(reply.status_code, reply.read(), path)
                for block in reply.iter_raw(_AT_ONCE):
                    write(block)
        except httpx.HTTPError as error:
            host = urlsplit(place).netloc
            raise SourceAway(f"{seen.path}: {host} {_said(error)}", hint=_HINT) from error

    def close(self) -> None:
        """Close the connections."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _below(self, folder: str, deep: int) -> Iterator[Seen]:
        """Yield what matches in a folder and, as deep as the glob goes, in the folders below it."""
        after = ""
        while True:
            more = {"startAfter": after} if after else {}
            found = self._ask("LISTSTATUS_BATCH", folder.rstrip("/") or "/", **more)
            listing = found["DirectoryListing"]
            for status in listing["partialListing"]["FileStatuses"]["FileStatus"]:
                after = status["pathSuffix"]
                path = f"{folder}{after}"
                if status["type"] == "DIRECTORY" and deep:
                    yield from self._below(f"{path}/", deep - 1)
                elif status["type"] == "FILE" and self._meant.fullmatch(path):
                    yield self._seen(path, status)
            if not listing["remainingEntries"]:
                return

    def _seen(self, path: str, status: dict[str, Any]) -> Seen:
        size, modified = status["length"], status["modificationTime"]
        return Seen(
            path=f"{self._root}{path}",
            size=size,
            mtime_ns=modified * 10**6,
            sha256=f"hdfs:{status.get('fileId', 0)}-{modified}-{size}",
        )

    def _ask(self, what: str, path: str, **words: str) -> dict[str, Any]:
        httpx = needed("httpx", "hdfs")
        words = {"op": what, **words}
        if self._settings.user is not None:
            words["user.name"] = self._settings.user
        host = f"[{self._host}]" if ":" in self._host else self._host
        url = f"{self._scheme}://{host}:{self._port}/webhdfs/v1{quote(path, safe='/')}"
        try:
            reply = self._client().get(url, params=words)
            if reply.status_code != 200:
                raise self._refused(reply.status_code, reply.content, path)
            answer: dict[str, Any] = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            what = f"{self._host}:{self._port} {_said(error)}"
            raise SourceAway(f"WebHDFS at {what}", hint=_HINT) from error
        return answer

    def _followed(self, place: str) -> str:
        """Return the address that the server sends us to, if we may go there."""
        parts = urlsplit(place)
        host = parts.hostname or ""
        ours = {self._host, *self._settings.hosts}
        if self._host in LOOPBACK:
            ours |= LOOPBACK
        if parts.scheme != self._scheme or host not in ours:
            raise SourceError(
                f"WebHDFS at {self._host}:{self._port} sends us to {parts.scheme}://{host}, "
                "which is not listed",
                hint=f"if that is a node of the cluster, say `hosts: [{host}]`",
            )
        path = quote(parts.path, safe="/%")  # WebHDFS leaves letters such as é and + as they are
        return f"{parts.scheme}://{parts.netloc}{path.replace('+', '%2B')}?{parts.query}"

    def _refused(self, status: int, body: bytes, path: str) -> SourceError:
        said = _remote(body)
        what = f"{self._root}{path}"
        if status == 404:
            return SourceError(f"{what} is missing: {said}")
        if status in (401, 403):
            return SourceError(
                f"{self._host}:{self._port} refuses to show {what}: {said}",
                hint="say `user: NAME` for one who may read it",
            )
        return SourceAway(f"{what}: {self._host}:{self._port} answers {status}: {said}", hint=_HINT)

    def _client(self) -> Any:
        if self._open is None:
            httpx, tls = needed("httpx", "hdfs"), self._settings.tls
            verify: ssl.SSLContext | bool = True
            if tls is not None:
                root = self._outside.root
                verify = ssl.create_default_context(cafile=root / tls.ca if tls.ca else None)
                if tls.cert is not None:
                    verify.load_cert_chain(root / tls.cert, root / tls.key if tls.key else None)
                if not tls.verify:
                    verify.check_hostname, verify.verify_mode = False, ssl.CERT_NONE
            self._open = httpx.Client(
                timeout=self._outside.timeout, follow_redirects=False, verify=verify,
                trust_env=False,
            )  # fmt: skip
        return self._open


_HINT = "check the host, and that its port is the one of WebHDFS; or wait"


def _remote(body: bytes) -> str:
    """Return what WebHDFS says of an error."""
    import json

    try:
        return str(json.loads(body)["RemoteException"]["message"]).splitlines()[0][:300]
    except (ValueError, KeyError, TypeError, IndexError):
        return "no more is said"


def _said(error: Exception) -> str:
    return f"cannot be read: {str(error) or type(error).__name__}"
