"""What an API does wrong, and what comes of it: waiting, trying again, or an error that says so."""

from __future__ import annotations

import email.utils
import gzip
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api import Answering, Api, Reply, rough, says
from faults import Proxy

from lichen.core.steps import Done, Failed
from lichen.loop import Event
from lichen.testing.project import SmallProject
from lichen.testing.source import numbers

COLUMNS = {"n": "bigint", "name": "varchar"}
NEWS = "incremental: {parameter: since, column: updated_at}\nkey: n\n"


@pytest.fixture
def api() -> Iterator[Api]:
    with Api(size=2) as found:
        found.put([{"n": n, "updated_at": f"2020-01-01T00:00:{n:02}Z"} for n in range(6)])
        yield found


def source(tmp_path: Path, port: int, settings: str = "") -> SmallProject:
    project = SmallProject(tmp_path / "p")
    text = f"connector: http\nurl: http://127.0.0.1:{port}/items\nallow: [127.0.0.1]\n"
    text += "" if "pages:" in settings else "pages: {by: number}\n"
    text += "" if "timeout:" in settings else "timeout: 2 s\n"
    project.write("sources/s.yml", text + settings)
    project.contract("sources/s", COLUMNS)
    return project


def landed(events: tuple[Event, ...]) -> None:
    assert all(isinstance(event.result, Done) for event in events), events


def failed(events: tuple[Event, ...]) -> str:
    (error,) = [event.result.error for event in events if isinstance(event.result, Failed)]
    return error


def cut(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{")


def torn(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


PASSES: dict[str, tuple[list[Answering], float]] = {
    "429 with seconds": ([says(429, {"Retry-After": "1"})], 1.0),
    "429 with a date": ([lambda _: Reply(429, headers={"Retry-After": date(2.0)})], 0.9),
    "503 with seconds": ([says(503, {"Retry-After": "1"})], 1.0),
    "429 that does not say": ([says(429)], 0.2),
    "429 that says nonsense": ([says(429, {"Retry-After": "soon"})], 0.2),
    "500 twice": ([says(500), says(500)], 0.6),
    "502": ([says(502)], 0.2),
    "a body that is cut": ([rough(cut)], 0.2),
    "a connection that is reset": ([rough(torn)], 0.2),
    "no answer at all": ([rough(lambda _: None)], 0.2),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes_is_waited_for(tmp_path: Path, api: Api, name: str) -> None:
    faults, least = PASSES[name]
    api.faults = [lambda _: None, *faults]  # the second page
    began = time.monotonic()
    project = source(tmp_path, api.port)
    landed(project.run("2020-02-01"))
    assert time.monotonic() - began >= least
    assert numbers(project, "2020-02-02") == list(range(6))
    assert len(project.versions("sources.s")) == 6


def slow(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
    for _ in range(60):
        time.sleep(0.1)
        connection.sendall(b" ")


def half_open(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[")
    time.sleep(3)


BOMB = gzip.compress(b"[" + b" " * 40_000_000 + b"]")
ENDS: dict[str, tuple[Answering, str, str]] = {
    "404": (says(404), "", "404 Not Found"),
    "403": (says(403), "", "403 Forbidden"),
    "401": (says(401), "", "401 Unauthorized"),
    "an own number": (says(799), "", "799"),
    "500 for ever": (says(500), "", "500 Internal Server Error, 4 times"),
    "a rest too long": (says(429, {"Retry-After": "3600"}), "", "3,600 s of rest"),
    "a rest without end": (says(503, {"Retry-After": "9" * 400}), "", "inf s of rest"),
    "no JSON": (says(200, body=b"<html>busy</html>"), "", "it is no JSON"),
    "JSON that is cut": (says(200, body=b'[{"n": 1}, {"n"'), "", "it is no JSON"),
    "an object": (says(200, body=b'{"data": [], "n": 3}'), "", "an object in it"),
    "another path": (says(200, body=b'{"rows": []}'), "records: data\n", "nothing at data"),
    "a text": (says(200, body=b'{"data": "x"}'), "records: data\n", "a text at data"),
    "no text": (says(200, body=b"\xff\xfe\x00"), "", "it is no JSON"),
    "too much": (says(200, body=b"[" + b" " * 3_000_000 + b"]"), "limits: {bytes: 1 MB}\n",
                 "more than 2,000,000 bytes"),
    "a bomb": (says(200, {"Content-Encoding": "gzip"}, BOMB), "limits: {bytes: 1 MB}\n",
               "more than 2,000,000 bytes"),
    "a broken gzip": (says(200, {"Content-Encoding": "gzip"}, b"no gzip"), "", "is no gzip"),
    "half a gzip": (says(200, {"Content-Encoding": "gzip"}, BOMB[:200]), "", "has no end"),
    "another packing": (says(200, {"Content-Encoding": "br"}, b"x"), "", "packed by 'br'"),
    "redirects in a ring": (says(302, {"Location": "/items"}), "", "more than 5 times"),
    "304 unasked": (says(304), "", "nothing changed, which was not asked"),
    "a page again": (says(200, body=b'[{"n": 1}]'), "", "the same page again"),
    "it trickles": (rough(slow), "timeout: 0.3 s\n", "did not end within 3 s"),
    "half open": (rough(half_open), "timeout: 0.5 s\n", "said nothing for 0.5 s"),
    "no server": (rough(torn), "wait: 1 s\n", "the connection failed"),
    "no http": (rough(lambda s: s.sendall(b"220 smtp ready\r\n")), "", "the connection failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_what_does_not_pass_is_told(tmp_path: Path, api: Api, name: str) -> None:
    fault, settings, said = ENDS[name]
    api.always = lambda asked: (
        fault(asked) if settings.startswith("records") or asked.query.get("page") != "1" else None
    )
    project = source(tmp_path, api.port, settings)
    began = time.monotonic()
    error = failed(project.run("2020-02-01"))
    assert time.monotonic() - began < 9
    assert said in error
    assert "sources/s.yml" in error
    assert "127.0.0.1/items, page " in error
    api.always = lambda _: None
    project.write(
        "sources/s.yml", (project.root / "sources/s.yml").read_text().replace("records: data\n", "")
    )
    landed(project.run("2020-02-02"))
    assert numbers(project, "2020-02-03") == list(range(6))


LOOPS = {
    "a number that is ignored": ("pages: {by: number, parameter: seite}\n", None),
    "an offset that is ignored": ("pages: {by: offset, parameter: start}\n", None),
    "a cursor in a ring": (
        "records: items\npages: {by: cursor, cursor_path: next}\n",
        lambda n: {"items": [{"n": n % 3}], "next": f"c{n % 3}"},
    ),
    "a cursor that never ends": (
        "records: items\npages: {by: cursor, cursor_path: next}\n",
        lambda n: {"items": [{"n": 1}], "next": f"c{n}"},
    ),
    "empty pages in a ring": (
        "records: items\npages: {by: cursor, cursor_path: next}\n",
        lambda n: {"items": [], "next": f"c{n % 2}"},
    ),
    "a link to itself": (
        "records: items\npages: {by: link, cursor_path: next}\n",
        lambda _: {"items": [{"n": 1}], "next": "/items?page=2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("news", ["", NEWS], ids=["whole", "news"])
def test_pages_that_never_end_are_noticed(tmp_path: Path, api: Api, name: str, news: str) -> None:
    settings, made = LOOPS[name]
    make: Callable[[int], object] | None = made
    if make is not None:
        body = make
        api.always = lambda _: Reply(body=json.dumps(body(len(api.asked))).encode())
    project = source(tmp_path, api.port, settings + news + "limits: {rows: 2}\n")
    error = failed(project.run("2020-02-01"))
    assert "the same page again" in error
    assert len(api.asked) < 30


def test_what_came_before_a_page_that_fails_is_kept(tmp_path: Path, api: Api) -> None:
    api.always = lambda asked: Reply(400) if asked.query["page"] == "3" else None
    project = source(tmp_path, api.port, NEWS)
    assert "page 3" in failed(project.run("2020-02-01"))
    api.always, api.asked = lambda _: None, []
    landed(project.run("2020-02-02"))
    assert numbers(project, "2020-02-03") == list(range(6))
    assert len(project.versions("sources.s")) == 6
    assert api.asked[0].query == {"page": "3"}


def test_a_cursor_that_the_server_forgot_begins_again(tmp_path: Path, api: Api) -> None:
    api.by, api.envelope = "cursor", True
    settings = NEWS + "records: data.items\npages: {by: cursor, cursor_path: meta.next}\n"
    api.always = lambda asked: Reply(404) if asked.query.get("cursor") == "4" else None
    project = source(tmp_path, api.port, settings)
    failed(project.run("2020-02-01"))
    forgot = iter([Reply(410)])
    api.always = lambda asked: next(forgot, None) if "cursor" in asked.query else None
    landed(project.run("2020-02-02"))
    assert numbers(project, "2020-02-03") == list(range(6))
    assert len(project.versions("sources.s")) == 6


def test_a_record_that_is_no_object_is_kept_and_the_rest_goes_on(tmp_path: Path, api: Api) -> None:
    api.put([b"[1, 2]", b'"text"', b"null", b"17", {"n": 9}])
    project = source(tmp_path, api.port, "key: n\n")
    landed(project.run("2020-02-01"))
    assert numbers(project, "2020-02-02") == [*range(6), 9]
    held = project.verdicts("sources.s")
    assert sorted(bytes(v["raw"]) for v in held) == [b'"text"', b"17", b"[1, 2]", b"null"]
    assert {v["reason"] for v in held} == {"it is JSON, but no object"}


@pytest.mark.parametrize("fault", ["refused", "cut", "stalled"])
@pytest.mark.parametrize("news", ["", NEWS], ids=["whole", "news"])
def test_a_network_that_fails_loses_nothing(
    tmp_path: Path, api: Api, fault: str, news: str
) -> None:
    with Proxy(api.port) as proxy:
        settings = news + "limits: {rows: 2}\ntimeout: 0.5 s\nwait: 0.5 s\n"
        project = source(tmp_path, proxy.port, settings)
        landed(project.run("2020-02-01"))
        api.put([{"n": n, "updated_at": f"2020-01-01T00:00:{n:02}Z"} for n in range(6, 20)])
        {"refused": proxy.refuse, "cut": lambda: proxy.cut_after(700), "stalled": proxy.stall}[
            fault
        ]()
        began = time.monotonic()
        events = project.run("2020-02-02")
        assert time.monotonic() - began < 8
        if fault == "cut":  # once: the page is asked for again
            landed(events)
        else:
            assert "127.0.0.1/items, page " in failed(events)
        proxy.heal()
        landed(project.run("2020-02-03"))
        assert numbers(project, "2020-02-04") == list(range(20))
        assert len(project.versions("sources.s")) == 20
