"""How an API is asked: tokens that end, pages that did not change, what is posted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from api import Api, Asked, Reply

from lichen.core.steps import Done, Failed
from lichen.loop import Event
from lichen.testing.project import SmallProject
from lichen.testing.source import numbers


@pytest.fixture
def api() -> Iterator[Api]:
    with Api(size=4) as found:
        found.put([{"n": n, "updated_at": f"2020-01-01T00:00:{n:02}Z"} for n in range(6)])
        yield found


def source(tmp_path: Path, api: Api, settings: str = "") -> SmallProject:
    project = SmallProject(tmp_path / "p")
    text = f"connector: http\nurl: {api.url}/items\nallow: [127.0.0.1]\nkey: n\n"
    project.write("sources/s.yml", text + "pages: {by: number}\n" + settings)
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    return project


def landed(events: tuple[Event, ...]) -> None:
    assert all(isinstance(event.result, Done) for event in events), events


def test_a_token_is_fetched_once_and_again_when_it_is_refused(
    tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT", "s3cret")
    api.tokens = {"none yet"}

    def end(asked: Asked) -> None:
        if asked.query.get("page") == "2" and len(api.asked) < 4:
            api.tokens = {"another"}

    api.always = end
    said = f"oauth: {{token_url: '{api.url}/token', client_id: me}}\nclient_secret: env:CLIENT\n"
    landed(source(tmp_path, api, said).run("2020-02-01"))
    paths = [asked.path for asked in api.asked]
    assert paths == ["/token", "/items", "/items", "/token", "/items", "/items"]
    assert api.asked[0].body == b"grant_type=client_credentials"
    assert api.asked[0].headers["authorization"] == "Basic bWU6czNjcmV0"


def test_a_token_that_is_always_refused_is_renewed_once(
    tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT", "s3cret")
    api.always = lambda a: Reply(401) if a.path == "/items" else None
    said = f"oauth: {{token_url: '{api.url}/token', client_id: me}}\nclient_secret: env:CLIENT\n"
    (event,) = source(tmp_path, api, said).run("2020-02-01")
    assert isinstance(event.result, Failed)
    assert "401 Unauthorized" in event.result.error
    assert "s3cret" not in event.result.error
    assert [asked.path for asked in api.asked] == ["/token", "/items"] * 2


def test_pages_that_did_not_change_are_not_sent_again(tmp_path: Path, api: Api) -> None:
    api.etags = True
    project = source(tmp_path, api)
    landed(project.run("2020-02-01"))
    api.asked.clear()
    assert project.run("2020-02-02") == ()
    assert len(api.asked) == 3
    assert all("if-none-match" in asked.headers for asked in api.asked)
    api.put([{"n": 9}])
    landed(project.run("2020-02-03"))
    assert numbers(project, "2020-02-04") == [*range(6), 9]


def test_what_changes_is_posted(tmp_path: Path, api: Api) -> None:
    said = "method: POST\nbody: {filter: {live: true}}\n"
    said += "incremental: {parameter: since, column: updated_at, start: '2020-01-01T00:00:02Z'}\n"
    project = source(tmp_path, api, said)
    landed(project.run("2020-02-01"))
    assert numbers(project, "2020-02-02") == [2, 3, 4, 5]
    first = {"filter": {"live": True}, "since": "2020-01-01T00:00:02Z", "page": 1}
    assert [json.loads(asked.body) for asked in api.asked] == [first, {**first, "page": 2}]
    assert {asked.method for asked in api.asked} == {"POST"}


def test_a_packed_answer(tmp_path: Path, api: Api) -> None:
    api.packed = True
    project = source(tmp_path, api)
    landed(project.run("2020-02-01"))
    assert numbers(project, "2020-02-02") == list(range(6))


@pytest.mark.parametrize("exclusive", [False, True], ids=["from", "after"])
def test_news_land_once_whether_the_server_repeats_the_last(
    tmp_path: Path, api: Api, exclusive: bool
) -> None:
    api.exclusive = exclusive
    project = source(tmp_path, api, "incremental: {parameter: since, column: updated_at}\n")
    landed(project.run("2020-02-01"))
    api.put([{"n": 3, "name": "new", "updated_at": "2020-01-02T00:00:00Z"}, {"n": 8}])
    api.put([{"n": 7, "updated_at": "9999-01-01T00:00:00Z"}])  # far ahead: it moves nothing on
    landed(project.run("2020-02-02"))
    api.put([{"n": 9, "updated_at": "2020-01-02T00:00:01Z"}])
    landed(project.run("2020-02-03"))
    assert numbers(project, "2020-02-04") == [0, 1, 2, 3, 4, 5, 7, 9]
    assert len(project.versions("sources.s")) == 9
    assert api.asked[-1].query["since"] == "2020-01-02T00:00:00Z"
