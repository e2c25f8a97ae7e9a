"""A small HTTP API on loopback that tests fill with records and script faults into.

with Api() as api:
    api.put([{"id": 1}])
    api.faults.append(says(429, {"Retry-After": "1"}))   # of the next request, once
    project ... url: {api.url}/items
"""

import contextlib
import gzip
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    """What is answered; `rough` is written to the socket as it is instead, and the door shut."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    rough: Callable[[socket.socket], None] | None = None


Answering = Callable[[Asked], Reply | None]  # None: as if nothing was scripted


@dataclass
class Api:
    """`/items`: records in pages by any of the four ways; `/token`: a token of OAuth 2."""

    size: int = 10  # records of a page where the request does not say
    by: str = "number"
    envelope: bool = False  # {"data": {"items": […]}, "meta": {"next": …}} instead of a list
    etags: bool = False
    column: str = "updated_at"
    exclusive: bool = False  # `since` means later than, not from
    packed: bool = False
    tls: tuple[str, str] | None = None
    records: list[Any] = field(default_factory=list)
    faults: list[Answering] = field(default_factory=list)  # each for one request
    always: Answering = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)  # those that are good; empty: none is asked for
    token_life: float = 3600

    def __post_init__(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_GET(self) -> None:
                api._answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...  # a client that went is no news

        self._server = Server((HOST, 0), Handler)
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    def put(self, records: list[Any]) -> None:
        with self._lock:
            self.records += records

    def pages(self) -> list[Asked]:
        """The requests for records, in their order."""
        return [asked for asked in self.asked if asked.path == "/items"]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, parts.path, query, headers, body)
        with self._lock:
            self.asked.append(asked)
            fault = self.faults.pop(0) if self.faults and parts.path != "/token" else None
            reply = (fault(asked) if fault else None) or self.always(asked) or self._own(asked)
        with contextlib.suppress(OSError):
            _write(handler, reply)

    def _own(self, asked: Asked) -> Reply:
        if asked.path == "/token":
            token = f"token-{len(self.asked)}"
            self.tokens.add(token)
            made = {"access_token": token, "token_type": "bearer", "expires_in": self.token_life}
            return Reply(body=json.dumps(made).encode())
        if self.tokens and asked.headers.get("authorization", "")[7:] not in self.tokens:
            return Reply(401)
        if asked.path != "/items":
            return Reply(404)
        return self._page(asked)

    def _page(self, asked: Asked) -> Reply:
        said = {**asked.query, **(json.loads(asked.body) if asked.body else {})}
        found = self._since(said.get("since"))
        size = int(said.get("size", self.size))
        begin = int(said.get(self._place, self._first))
        if self.by == "number":
            begin = (begin - 1) * size
        items, after = found[begin : begin + size], begin + size
        more = after < len(found)
        headers = {"Content-Type": "application/json"}
        if self.by == "link" and more:
            since = f"&since={said['since'].replace('+', '%2B')}" if "since" in said else ""
            headers["Link"] = f'</items?at={after}{since}>; rel="next", </items>; rel="first"'
        body = b"[" + b",".join(map(_spelled, items)) + b"]"
        if self.envelope:
            following = json.dumps(after if more else None).encode()
            body = b'{"meta": {"next": %s}, "data": {"items": %s}}' % (following, body)
        if self.etags:
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if asked.headers.get("if-none-match") == headers["ETag"]:
                return Reply(304, headers=headers)
        if self.packed:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return Reply(body=body, headers=headers)

    @property
    def _place(self) -> str:
        return {"number": "page", "offset": "offset", "cursor": "cursor", "link": "at"}[self.by]

    @property
    def _first(self) -> int:
        return 1 if self.by == "number" else 0

    def _since(self, since: Any) -> list[Any]:
        if since is None:
            return self.records
        values = [(record.get(self.column), record) for record in self.records]
        if self.exclusive:
            return [r for v, r in values if v is not None and str(v) > str(since)]
        return [r for v, r in values if v is not None and str(v) >= str(since)]


def _spelled(record: Any) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record).encode()


def _write(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    if reply.rough is not None:
        handler.close_connection = True
        reply.rough(handler.connection)
        return
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if "Transfer-Encoding" not in reply.headers and "Content-Length" not in reply.headers:
        handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    handler.wfile.write(reply.body)


def says(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answering:
    """Answer so."""
    return lambda _: Reply(status, body, dict(headers or {}))


def rough(write: Callable[[socket.socket], None]) -> Answering:
    """Let a function write to the connection, and shut it."""
    return lambda _: Reply(rough=write)
