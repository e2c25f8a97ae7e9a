"""What every stream must do. Subclass `StreamKit` in a test file; return yours from `wire`.

The kit writes records that are just numbers, `{"n": 1, "name": "one 1"}`, through the `Wire` that
you give it, and reads them through your connector: by itself, and in the whole machine.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from arro3.core import Table

from lichen.connectors import connector
from lichen.core.errors import LichenError, Where
from lichen.core.secrets import resolved
from lichen.core.settings import decode
from lichen.ports.source import Limits, Outside, Stream
from lichen.testing.project import SmallProject

COLUMNS = {"n": "bigint", "name": "varchar"}
PLENTY = Limits(10**6, 10**9, 60.0)


class Wire(Protocol):
    """The other end of a source: a real server, or files, and how a source reads them."""

    @property
    def connector(self) -> str:
        """The name of the connector."""

    @property
    def settings(self) -> str:
        """What `sources/s.yml` says besides `connector`, as YAML."""

    @property
    def keyed(self) -> bool:
        """Whether each record has the key `n`, and a later one of a key replaces it."""

    @property
    def replays(self) -> bool:
        """Whether what was acknowledged can be read again from an older cursor."""

    def put(self, numbers: Sequence[int]) -> None:
        """Write one record for each number, `name` being `record(number)`'s, in this order."""

    def poison(self, raw: bytes) -> bool:
        """Write bytes that are no record; False where the source cannot hold such a thing."""

    def remove(self, number: int) -> bool:
        """Take the record of a number away; False where the source does not tell removals."""


def record(number: int) -> dict[str, Any]:
    """Return the record of a number."""
    return {"n": number, "name": f"one {number}"}


@dataclass
class Read:
    """What a reading gave."""

    numbers: list[int] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    ended: bool = False


class StreamKit:
    """Tests for pytest. `wire` begins an empty source; it is asked for once in each test."""

    patience = 1  # how often a reading may end before all came, where messages travel
    at_once = 40  # how many records come before the first are acknowledged, at most

    def wire(self, tmp_path: Path) -> Wire:
        """Return the other end, holding nothing yet."""
        raise NotImplementedError

    @pytest.fixture
    def ready(self, tmp_path: Path) -> Wire:
        """Give a test its wire. Override it where something must be taken down afterwards."""
        return self.wire(tmp_path)

    def test_numbers_come_once_and_in_their_order(self, ready: Wire, tmp_path: Path) -> None:
        with opened(ready, tmp_path) as stream:
            stream.look(None)  # a source that only keeps what it was asked for begins now
            ready.put(range(self.at_once))
            found = read(stream, None, tries=self.patience)
        assert found.numbers == list(range(self.at_once))
        assert found.ended

    def test_nothing_is_there(self, ready: Wire, tmp_path: Path) -> None:
        with opened(ready, tmp_path) as stream:
            assert read(stream, None).numbers == []

    def test_any_cursor_is_a_place_to_go_on_from(self, ready: Wire, tmp_path: Path) -> None:
        with opened(ready, tmp_path) as stream:
            stream.look(None)
            ready.put(range(30))
            few = Limits(7, 10**9, 60.0)
            cursor: str | None = None
            numbers: list[int] = []
            for _ in range(30 * self.patience):
                part = one_batch(stream, cursor, few)
                if not part.cursors and len(numbers) == 30:
                    break
                numbers += part.numbers
                if part.cursors:
                    cursor = part.cursors[-1]
                    stream.acknowledge(cursor)
                stream.close()
            assert numbers == list(range(30))

    def test_what_was_not_acknowledged_comes_again(self, ready: Wire, tmp_path: Path) -> None:
        with opened(ready, tmp_path) as stream:
            stream.look(None)
            ready.put(range(10))
            first = read(stream, None, tries=self.patience)
            assert first.numbers == list(range(10))
        with opened(ready, tmp_path) as stream:
            assert read(stream, None, tries=self.patience).numbers == list(range(10))

    def test_an_old_cursor_tells_the_same_again(self, ready: Wire, tmp_path: Path) -> None:
        if not ready.replays:
            pytest.skip("this source forgets what was acknowledged")
        with opened(ready, tmp_path) as stream:
            ready.put(range(10))
            first = read(stream, None)
            stream.acknowledge(first.cursors[-1])
            assert read(stream, None).numbers == first.numbers

    def test_a_mark_stays_while_nothing_is_new(self, ready: Wire, tmp_path: Path) -> None:
        project = small(ready, tmp_path / "p")
        project.run("2020-01-01")
        ready.put(range(3))
        project.run("2020-01-02")
        ready.put(range(3, 5))
        project.run("2020-01-03")
        assert numbers(project, "2020-01-04") == list(range(5))

    def test_a_run_lands_each_record_once(self, ready: Wire, tmp_path: Path) -> None:
        project = small(ready, tmp_path / "p", limits="{rows: 7}")
        project.run("2020-01-01")
        ready.put(range(20))
        project.run("2020-01-02")
        assert numbers(project, "2020-01-03") == list(range(20))
        project.run("2020-01-03")
        rows = project.versions("sources.s")
        assert sorted(row["n"] for row in rows) == list(range(20))
        places = {(row["_file"], row["_line"]) for row in rows}
        assert len(places) == 20, "each record has a place of its own"

    def test_poison_is_kept_and_the_rest_goes_on(self, ready: Wire, tmp_path: Path) -> None:
        project = small(ready, tmp_path / "p")
        project.run("2020-01-01")
        ready.put([1])
        bad = [b"{torn", b"{torn", b"\xff\xfe", b"[1, 2]"]
        if not all([ready.poison(raw) for raw in bad]):
            pytest.skip("this source cannot hold such records")
        ready.put([2])
        project.run("2020-01-02")
        project.run("2020-01-03")
        assert numbers(project, "2020-01-04") == [1, 2]
        held = [v for v in project.verdicts("sources.s") if v["_row"] is None]
        assert sorted(bytes(v["raw"]) for v in held) == sorted(bad)
        assert all(v["reason"] for v in held)

    def test_a_removal_is_a_deletion_from_its_arrival(self, ready: Wire, tmp_path: Path) -> None:
        project = small(ready, tmp_path / "p")
        project.run("2020-01-01")
        ready.put(range(5))
        project.run("2020-01-02")
        if not ready.remove(3):
            pytest.skip("this source does not tell removals")
        project.run("2020-01-03")
        assert numbers(project, "2020-01-02") == [0, 1, 2, 3, 4]
        assert numbers(project, "2020-01-03") == [0, 1, 2, 4]
        (gone,) = [row for row in project.versions("sources.s") if row["_deleted"]]
        assert (gone["n"], gone["name"]) == (3, "one 3")

    def test_a_secret_that_is_written_out_is_refused_and_never_told(
        self, ready: Wire, tmp_path: Path
    ) -> None:
        for name in sorted(connector(ready.connector).Settings.SECRETS):
            text = "\n".join(
                line for line in _settings(ready).splitlines() if not line.startswith(f"{name}:")
            )
            project = small(ready, tmp_path / name, text=f"{text}\n{name}: hunter2\n")
            with pytest.raises(LichenError) as caught:
                project.loop()
            assert f"{name} is written out" in str(caught.value)
            assert "hunter2" not in str(caught.value)


@contextmanager
def opened(wire: Wire, root: Path) -> Iterator[Stream]:
    """Open a wire's connector, by itself."""
    path = root / "s.yml"
    said = _settings(wire) + ("key: n\n" if wire.keyed else "")
    settings = decode(said, connector(wire.connector).Settings, path)
    outside = Outside(
        node="sources.s",
        where=Where(path),
        root=root,
        folder=root / ".lichen",
        target="dev",
        timeout=10.0,
        secret=lambda reference: resolved(reference, root, {}),
    )
    stream: Stream = connector(wire.connector)(settings, outside)
    try:
        yield stream
    finally:
        stream.close()


def read(stream: Stream, cursor: str | None, tries: int = 1) -> Read:
    """Read on from a cursor until nothing comes."""
    found = Read()
    for _ in range(tries):
        part = _gather(stream, cursor, PLENTY, every=True)
        found.numbers += part.numbers
        found.cursors += part.cursors
        found.ended = part.ended
        cursor = found.cursors[-1] if found.cursors else cursor
    return found


def one_batch(stream: Stream, cursor: str | None, limits: Limits) -> Read:
    """Read one batch and leave the rest."""
    return _gather(stream, cursor, limits, every=False)


def _gather(stream: Stream, cursor: str | None, limits: Limits, *, every: bool) -> Read:
    found = Read()
    reading = stream.read(cursor, stream.look(cursor), limits)
    try:
        for batch in reading:
            found.numbers += _numbers(batch.rows)
            found.cursors.append(batch.cursor)
            if not every:
                break
        found.ended = reading.ended
    finally:
        reading.close()
    return found


def _numbers(rows: Any) -> list[int]:
    table = Table.from_arrow(rows)
    if "_payload" in table.column_names:
        payloads = table.column("_payload").to_pylist()
        return [int(msgspec.json.decode(payload)["n"]) for payload in payloads]
    return [int(value) for value in table.column("n").to_pylist()]


def small(
    wire: Wire, root: Path, *, limits: str | None = None, text: str | None = None
) -> SmallProject:
    """Return a project whose one source, `s`, reads a wire."""
    project = SmallProject(root)
    said = text if text is not None else _settings(wire)
    said += f"limits: {limits}\n" if limits else ""
    said += "key: n\n" if wire.keyed else ""
    project.write("sources/s.yml", said)
    project.contract("sources/s", COLUMNS)
    return project


def _settings(wire: Wire) -> str:
    return f"connector: {wire.connector}\n{textwrap.dedent(wire.settings)}\n"


def numbers(project: SmallProject, at: str) -> list[int]:
    """Return the numbers that are current at a time, in order."""
    return sorted(row["n"] for row in project.current("sources.s", at))


__all__ = ["COLUMNS", "StreamKit", "Wire", "numbers", "opened", "read", "record", "small"]
