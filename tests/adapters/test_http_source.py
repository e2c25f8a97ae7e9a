"""HTTP APIs: the kit for streams, read as a whole and by news; pages; what is asked when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api import Api

from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, numbers, record


def moment(nth: int) -> str:
    return f"2020-01-01T{nth // 3600:02}:{nth // 60 % 60:02}:{nth % 60:02}Z"


@dataclass
class Whole:
    """An API that tells everything each time."""

    api: Api
    connector = "http"
    keyed = True
    replays = True

    @property
    def settings(self) -> str:
        return f"url: {self.api.url}/items\nallow: [127.0.0.1]\npages: {{by: number}}"

    def put(self, numbers: Sequence[int]) -> None:
        self.api.put([record(n) for n in numbers])

    def poison(self, _: bytes) -> bool:
        return False  # one bad byte spoils the page: see test_http_faults

    def remove(self, number: int) -> bool:
        self.api.records = [r for r in self.api.records if r["n"] != number]
        return True


@dataclass
class News:
    """An API that is asked for what changed since a moment."""

    api: Api
    clock: int = 0
    connector = "http"
    keyed = False  # the settings say the key themselves: without one there is no telling news
    replays = True

    @property
    def settings(self) -> str:
        news = "{parameter: since, column: updated_at}"
        return (
            f"url: {self.api.url}/items\nallow: [127.0.0.1]\nrecords: data.items\n"
            f"pages: {{by: cursor, cursor_path: meta.next}}\nincremental: {news}\nkey: n\n"
        )

    def put(self, numbers: Sequence[int]) -> None:
        for n in numbers:
            self.clock += 1
            self.api.put([record(n) | {"updated_at": moment(self.clock)}])

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, _: int) -> bool:
        return False


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as found:
        yield found


class TestWhole(StreamKit):
    @pytest.fixture
    def ready(self, api: Api) -> Wire:
        return Whole(api)


class TestNews(StreamKit):
    @pytest.fixture
    def ready(self, api: Api) -> Wire:
        api.size, api.by, api.envelope = 4, "cursor", True
        return News(api)


WAYS: dict[str, dict[str, Any]] = {
    "number": {"pages": "{by: number, size: 3, size_parameter: size}"},
    "number from 1 by name": {"pages": "{by: number, parameter: page, first: 1}"},
    "offset": {"pages": "{by: offset}", "by": "offset"},
    "cursor": {"pages": "{by: cursor, cursor_path: meta.next}", "by": "cursor", "envelope": True},
    "link": {"pages": "{by: link}", "by": "link"},
}


def source(tmp_path: Path, api: Api, settings: str) -> SmallProject:
    project = SmallProject(tmp_path / "p")
    text = f"connector: http\nurl: {api.url}/items\nallow: [127.0.0.1]\n{settings}"
    project.write("sources/s.yml", text)
    project.contract("sources/s", {"n": "bigint", "name": "varchar"})
    return project


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("news", [False, True], ids=["whole", "news"])
def test_pages_are_followed_to_the_last(tmp_path: Path, api: Api, way: str, news: bool) -> None:
    said = dict(WAYS[way])
    settings = f"pages: {said.pop('pages')}\nkey: n\n"
    settings += "records: data.items\n" if said.get("envelope") else ""
    settings += "incremental: {parameter: since, column: updated_at}\n" if news else ""
    for name, value in said.items():
        setattr(api, name, value)
    wire = News(api)
    project = source(tmp_path, api, settings)
    for day, count in enumerate([7, 30, 1, 10], start=1):
        wire.put(range(day * 100, day * 100 + count))
        project.run(f"2020-02-0{day}")
        assert numbers(project, "2020-03-01") == sorted(r["n"] for r in api.records)
    rows = project.versions("sources.s")
    assert len(rows) == len(api.records)
    before = len(api.asked)
    assert project.run("2020-02-09") == ()
    assert len(api.asked) - before <= (2 if news else 20)
