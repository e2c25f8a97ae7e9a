"""Where an HTTP source may go: no private address, no other host, no secret where none belongs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api import HOST, Api, Reply, says

from lichen.adapters.sources.http.api import Http
from lichen.adapters.sources.http.guard import Guard, public
from lichen.adapters.sources.http.settings import HttpSettings
from lichen.core.errors import LichenError, SourceError, Where
from lichen.core.settings import decode
from lichen.ports.source import Limits, Outside

PLENTY = Limits(10**6, 10**9, 60.0)
SECRET = "hunter2-äöü".encode("ascii", "ignore").decode() + "%20&x=1"


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as found:
        found.put([{"n": 1}])
        yield found


def stream(tmp_path: Path, text: str, timeout: float = 2.0) -> Http:
    path = tmp_path / "s.yml"
    outside = Outside(
        node="sources.s",
        where=Where(path),
        root=tmp_path,
        folder=tmp_path,
        target="dev",
        timeout=timeout,
        secret=lambda _: SECRET,
    )
    return Http(decode(f"connector: http\n{text}", HttpSettings, path), outside)


def everything(source: Http, cursor: str | None = None) -> list[Any]:
    found: list[Any] = []
    try:
        for batch in source.read(cursor, source.look(cursor), PLENTY):
            found += map(json.loads, map(bytes, batch.rows.column("_payload").to_pylist()))
    finally:
        source.close()
    return found


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(LichenError) as caught:
        everything(stream(tmp_path, text, timeout=0.5))
    assert SECRET not in str(caught.value)
    return str(caught.value)


PRIVATE = (
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0",  # noqa: S104
    "255.255.255.255", "224.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::",
    "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1",
    "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1", "nonsense", "",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert public(address)


LOOPBACK = (  # as resolvers and other clients spell it; each would reach the server
    "127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1",
    "127.0.0.1.", "localhost.", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0", "0.0.0.0", "[::]",  # noqa: S104
    "[::1]", "127.000.000.001", "１２７.0.0.1", "127。0。0。1", "ⓛocalhost", "[64:ff9b::127.0.0.1]",
)  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_not_reached_however_it_is_spelled(tmp_path: Path, api: Api, host: str) -> None:
    refused(tmp_path, f"url: 'http://{host}:{api.port}/items'\n")
    assert not api.asked


LEADS = {  # where a redirect or a link may lead, {port} being that of a server on loopback
    "another name": "http://localhost:{port}/items",
    "another address": "http://127.0.0.2:{port}/items",
    "no scheme": "//127.0.0.2:{port}/items",
    "cloud metadata": "http://169.254.169.254/latest/meta-data/",
    "IPv6": "http://[::1]:{port}/items",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/items",
    "a number": "http://2130706433:{port}/items",
    "hexadecimal": "http://0x7f000001:{port}/items",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_GET",
    "javascript": "javascript:alert(1)",
    "a user": "http://evil@127.0.0.1:{port}/items",
    "a host before @": "http://127.0.0.1:{port}@localhost:{port}/items",
    "a backslash": "http://127.0.0.1:{port}\\@localhost:{port}/items",
    "a backslash path": "\\\\localhost:{port}\\items",
    "a tab": "http://local\thost:{port}/items",
    "a line": "http://localhost:{port}/items\nX: y",
    "a null": "http://localhost\x00:{port}/items",
    "spaces": "  http://localhost:{port}/items",
    "a port too large": "http://127.0.0.1:99999/items",
    "no port": "http://127.0.0.1:x/items",
    "no host": "http:///items",
    "three slashes": "///localhost:{port}/items",
    "an open bracket": "http://[::1",
    "very long": "http://localhost:{port}/" + "a" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", LEADS)
def test_a_next_link_leads_nowhere_else(tmp_path: Path, api: Api, name: str) -> None:
    link = LEADS[name].format(port=api.port)
    body = json.dumps({"items": [{"n": 1}], "next": link}).encode()
    api.always = lambda _: Reply(body=body)
    settings = f"url: {api.url}/items\nallow: ['{HOST}:{api.port}']\nrecords: items\n"
    refused(tmp_path, settings + "pages: {by: link, cursor_path: next}\n")
    assert {asked.headers["host"] for asked in api.asked} == {f"{HOST}:{api.port}"}
    assert len(api.asked) < 8  # what reads as a path of the server itself may be asked for


@pytest.mark.parametrize("name", [n for n in LEADS if n not in ("a line", "a null", "very long")])
def test_a_redirect_leads_nowhere_else(tmp_path: Path, api: Api, name: str) -> None:
    link = LEADS[name].format(port=api.port)
    api.always = says(302, {"Location": link})
    refused(tmp_path, f"url: {api.url}/items\nallow: ['{HOST}:{api.port}']\n")
    assert {asked.headers["host"] for asked in api.asked} == {f"{HOST}:{api.port}"}
    assert len(api.asked) < 8  # what reads as a path of the server itself may be asked for


def test_a_redirect_to_a_listed_host_is_followed_without_secrets(tmp_path: Path, api: Api) -> None:
    with Api(records=[{"n": 2}]) as other:
        api.always = says(307, {"Location": f"http://localhost:{other.port}/items"})
        settings = (
            f"url: {api.url}/items\nallow: [127.0.0.1, localhost]\nbearer: env:B\n"
            "headers: {X-Api-Key: env:K, X-Plain: one}\nparameters: {api_key: env:K, a: b}\n"
        )
        assert everything(stream(tmp_path, settings)) == [{"n": 2}]
        (first,), (second,) = api.asked, other.asked
    assert first.headers["authorization"] == f"Bearer {SECRET}"
    assert first.headers["x-api-key"] == first.query["api_key"] == SECRET
    assert first.query["a"] == "b"
    assert SECRET not in str(second)
    assert second.headers["x-plain"] == "one"


def test_a_name_cannot_change_its_meaning_after_it_was_checked(api: Api) -> None:
    answers = iter(["192.0.0.9", HOST, HOST])  # public, and nobody there

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    url = httpx.URL(f"http://rebind.test:{api.port}/items")
    guard = Guard(url, (), httpx.create_ssl_context, resolve)
    timeout = httpx.Timeout(0.3).as_dict()
    request = httpx.Request("GET", url, extensions={"timeout": timeout})
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            guard.send(request)
    guard.close()  # the address is looked up again
    with pytest.raises(SourceError, match="no public address"):
        guard.send(request)
    assert not api.asked


def test_one_bad_address_among_good_ones_is_enough(api: Api) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (each, port)) for each in ("8.8.8.8", HOST)]

    url = httpx.URL(f"http://both.test:{api.port}/items")
    with pytest.raises(SourceError, match=r"both\.test:\d+ is at 127\.0\.0\.1"):
        Guard(url, (), httpx.create_ssl_context, resolve).send(httpx.Request("GET", url))


def test_a_listed_host_is_reached_by_its_checked_address(api: Api) -> None:
    url = httpx.URL(f"http://api.test:{api.port}/items")
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, 1, 6, "", (HOST, port))]

    guard = Guard(url, ["api.test"], httpx.create_ssl_context, resolve)
    for _ in range(3):
        response = guard.send(httpx.Request("GET", url))
        assert b"".join(response.iter_raw()) == b'[{"n": 1}]'
    guard.close()
    assert asked == ["api.test"]
    assert api.asked[0].headers["host"] == f"api.test:{api.port}"


def test_a_token_endpoint_is_guarded_too(tmp_path: Path, api: Api) -> None:
    settings = (
        f"url: {api.url}/items\nallow: [127.0.0.1]\nclient_secret: env:S\n"
        f"oauth: {{token_url: 'https://localhost:{api.port}/token', client_id: me}}\n"
    )
    assert "no public address" in refused(tmp_path, settings)
    settings = settings.replace("https://localhost", "http://127.0.0.1")
    api.always = lambda a: Reply(307, headers={"Location": "/items"}) if a.body else None
    assert "no token from 127.0.0.1/token" in refused(tmp_path, settings)
    assert [asked.path for asked in api.asked] == ["/token"]


VALUES = (
    "a&b=c", "a b", "a+b", "a%26b", "%00", "ä", "日本", "a#b", "a?b",
    "../../etc", "/", "//evil", "\\",
    "http://evil/", "@evil", "a;b", "a=b", "'", '"', "' or 1=1 --", "$(id)", "`id`", "<x>", "{}",
    "[]",     "null", "true", "0", "-1", "1e400", "\t", "\n", "\r\nX-Evil: 1", "\x00", "\x7f",
    "\u2028", "\u2603",
    "a" * 900, " ", "%", "%%", "%zz", "+", "&", "#", "é",
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_a_value_is_sent_as_it_is_and_nothing_besides(tmp_path: Path, api: Api, value: str) -> None:
    """As a parameter, as a cursor from the server, and as the value that is to be sent next."""
    quoted = json.dumps(value)
    api.always = lambda asked: Reply(
        body=json.dumps(
            {"items": [{"n": 1, "at": value}], "next": "" if "cursor" in asked.query else value}
        ).encode()
    )
    source = stream(
        tmp_path,
        f"url: {api.url}/items?fixed=1\nallow: [127.0.0.1]\nrecords: items\nkey: n\n"
        f"parameters: {{p: {quoted}}}\npages: {{by: cursor, cursor_path: next}}\n"
        "incremental: {parameter: since, column: at}\n",
    )
    mark = source.look(None)
    *_, last = source.read(None, mark, PLENTY)
    assert source.look(last.cursor).until
    source.close()
    first = {"fixed": "1", "p": value}
    news = {**first, "since": value}
    expected = [first, {**first, "cursor": value}, news, {**news, "cursor": value}]
    assert [asked.query for asked in api.asked[: len(expected)]] == expected[: len(api.asked)]
    assert {asked.path for asked in api.asked} == {"/items"}
    assert not any("x-evil" in asked.headers for asked in api.asked)


MISTAKES = {
    "url: ftp://example.org/x": "no http or https address",
    "url: /items": "no http or https address",
    "url: 'https://'": "no http or https address",
    "url: 'https://me:hunter2@example.org/'": "holds a user or a password",
    "url: 'https://example.org/?api_key=hunter2'": "its parameter api_key is written out",
    "url: 'https://example.org/?q=1&access_token=hunter2'": "access_token is written out",
    "url: https://e.org\nparameters: {key: hunter2}": "parameters: key is written out",
    "url: https://e.org\nparameters: {client_secret: hunter2}": "client_secret is written out",
    "url: https://e.org\nheaders: {Authorization: Bearer hunter2}": "Authorization is written out",
    "url: https://e.org\nheaders: {X-Api-Key: hunter2}": "X-Api-Key is written out",
    "url: https://e.org\nheaders: {Cookie: hunter2}": "Cookie is written out",
    'url: https://e.org\nheaders: {X: "a\\r\\nY: b"}': "cannot be sent",
    'url: https://e.org\nheaders: {"X: y": b}': "cannot be sent",
    "url: https://e.org\nheaders: {X: ü}": "other letters than those of ASCII",
    "url: http://e.org\nbearer: env:T": "sent to e.org unencrypted",
    "url: http://e.org\nparameters: {key: env:T}": "sent to e.org unencrypted",
    "url: https://e.org\nclient_secret: env:T\noauth: {token_url: 'http://e.org/t', client_id: a}":
        "sent to e.org unencrypted",
    "url: https://e.org\nclient_secret: env:T": "oauth and client_secret need each other",
    "url: https://e.org\nuser: me": "user and password need each other",
    "url: https://e.org\nbearer: env:A\nuser: me\npassword: env:P": "bearer and user say twice",
    "url: https://e.org\nbody: {}": "a body is only posted",
    "url: https://e.org\nincremental: {parameter: a, column: b}": "there is none",
    "url: https://e.org\npages: {by: cursor}": "the next cursor is missing",
    "url: https://e.org\npages: {by: cursor, cursor_path: a}": "holds no cursor beside them",
    "url: https://e.org\npages: {by: number, size: 5}": "size and size_parameter need each other",
    "url: https://e.org\npages: {by: number, size: 0, size_parameter: s}": "never ends",
    "url: https://e.org\npages: {by: offset, first: x}": "which is no number",
    "url: https://e.org\npages: {by: link, parameter: x}": "neither parameter nor first",
    "url: https://e.org\nmethod: POST\npages: {by: link}": "a link cannot be posted to",
    "url: https://e.org\nwait: soon": "is not a duration",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text.replace("\n", " ")[:60])
def test_mistakes_in_settings_are_told_at_once(tmp_path: Path, text: str) -> None:
    with pytest.raises(LichenError) as caught:
        stream(tmp_path, text)
    assert MISTAKES[text] in str(caught.value)
    assert "hunter2" not in str(caught.value)
