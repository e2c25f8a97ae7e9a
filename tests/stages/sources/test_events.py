"""Events of a stream become versions: what holds at each moment, against a dictionary."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lichen import connectors
from lichen.testing.project import SmallProject
from lichen.testing.source import StreamKit, Wire, record

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
Event = tuple[int, str | None]  # a key, and its new name; None: it is gone


@pytest.fixture(autouse=True, scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the package that adds the connector."""
    place = tmp_path_factory.mktemp("site")
    info = place / "added-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lichen.connectors]\nlines = added_connector:Lines\n")
    sys.path.insert(0, str(place))
    connectors._added.cache_clear()
    yield
    sys.path.remove(str(place))
    connectors._added.cache_clear()


class TestAddedByAPackage(StreamKit):
    def wire(self, tmp_path: Path) -> Wire:
        return _File(tmp_path / "lines.jsonl")


class _File:
    connector, keyed, replays = "lines", True, True

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def settings(self) -> str:
        return f"path: {self._path}"

    def _add(self, rows: list[dict[str, object]]) -> None:
        with self._path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def put(self, numbers: object) -> None:
        self._add([record(n) for n in numbers])  # type: ignore[attr-defined]

    def poison(self, _: bytes) -> bool:
        return False

    def remove(self, number: int) -> bool:
        self._add([{"n": number, "gone": True}])
        return True


EVENTS = st.lists(
    st.tuples(st.integers(1, 4), st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))),
    max_size=12,
)


@given(st.lists(EVENTS, min_size=1, max_size=4), st.integers(1, 6), st.booleans())
@settings(max_examples=15, deadline=None)
def test_what_holds_at_each_moment(days: list[list[Event]], rows: int, again: bool) -> None:
    with TemporaryDirectory() as folder:
        project = SmallProject(Path(folder))
        declared = f"connector: lines\npath: x.jsonl\nkey: n\nlimits: {{rows: {rows}}}\n"
        project.write("sources/s.yml", declared)
        project.contract("sources/s", {"n": "bigint", "name": "varchar"})
        expected: list[dict[int, str]] = []
        holds: dict[int, str] = {}
        changes = 0
        for nth, day in enumerate(days):
            with (project.root / "x.jsonl").open("a") as file:
                for n, name in day:
                    file.write(json.dumps({"n": n, "gone": True} if name is None
                                          else {"n": n, "name": name}) + "\n")  # fmt: skip
                    changes += holds.get(n) != name
                    holds.pop(n, None)
                    if name is not None:
                        holds[n] = name
            expected.append(dict(holds))
            _land(project, FIRST + timedelta(days=nth))
        if again:  # the definition changes, and all is read again
            project.write(
                "sources/s.yml", declared + "known_at: null\nbackfill_until: 2019-01-01\n"
            )
            _land(project, FIRST + timedelta(days=len(days)))
        for nth, rows_then in enumerate(expected):
            at = FIRST + timedelta(days=nth)
            found = {r["n"]: r["name"] for r in project.current("sources.s", at.isoformat())}
            assert found == rows_then
        versions = project.versions("sources.s")
        assert len(versions) == changes, "a version says something new, or that its key is gone"
        gone = [v for v in versions if v["_deleted"]]
        assert all(v["name"] is not None for v in gone), "what is gone is kept as it was"


def _land(project: SmallProject, at: datetime) -> None:
    events = project.run(at.isoformat())
    assert all(type(e.result).__name__ == "Done" for e in events), events
