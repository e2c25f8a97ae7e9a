"""History as live traffic: a service asked over HTTP while its sources grow and outcomes arrive.

At each tick the sources' news are landed and built, what became known is told to the service, and
the questions of the next tick are asked, each at its own moment. Nothing is asked or told before
its time; the models are not touched until the end. While the service answers, the next tick is
landed: what arrives then is known too late to be seen by these questions.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.errors import ServiceError
from lichen.core.names import Kind, Name
from lichen.core.sql import Prepared, col, lit, rel, text
from lichen.core.steps import Blocked, Failed
from lichen.core.time import Instant, instant, iso
from lichen.loop import Event, Loop
from lichen.stages.context import NOW, Shelf
from lichen.stages.models.ask import Inquiry
from lichen.stages.outcomes.narrow import ENDS, narrowed
from lichen.stages.outcomes.questions import questions
from lichen.stages.services.spec import Service

BATCH = 500


@dataclass
class Replayed:
    """What happened so far: questions asked, those without an answer, outcomes told, trouble."""

    ticks: int = 0
    asked: int = 0
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    told: int = 0
    trouble: list[Event] = field(default_factory=list)


def replay(
    loop: Loop,
    service: str,
    start: Instant,
    end: Instant,
    every: timedelta,
    report: Callable[[Instant, Replayed], None] = lambda _, __: None,
) -> Replayed:
    """Replay the time from `start` to `end` through a service of its own process.

    The last run, at `end`, is a whole one: there the plan decides about models and services.
    """
    name = loop.project.node(service if "." in service else f"{Kind.service.value}.{service}")
    node = loop.project.nodes[name]
    assert isinstance(node, Service)
    inquiry = loop.inquiry(node.model)
    done, waiting, now = Replayed(), _Waiting(), start
    due = _Due(loop, inquiry, start, end)
    needed = tuple(f"+{node}" for node in inquiry.nodes)
    tables = (*needed, str(Name(Kind.predictions, name.name)))
    with (
        served(loop, name.name) as port,
        closing(_Client(port, name.name)) as client,
        ThreadPoolExecutor(1) as beside,
    ):
        answers = beside.submit(client.ask, [])
        while now < end:
            until = min(now + every, end)
            daily = now == start or now.date() != (now - every).date()
            done.trouble += _trouble(loop.run(*(tables if daily else needed), now=now))
            done.unanswered += answers.result()
            done.told += client.tell(waiting.known(loop, inquiry, now))
            asked = due.between(now, until)
            answers = beside.submit(client.ask, asked)
            done.asked += len(asked)
            waiting.add(asked)
            done.ticks += 1
            report(now, done)
            now = until
        done.trouble += _trouble(loop.run(*needed, now=end))
        done.unanswered += answers.result()
        done.told += client.tell(waiting.known(loop, inquiry, end))
    done.trouble += _trouble(loop.run(now=end))
    report(end, done)
    return done


@contextmanager
def served(loop: Loop, service: str) -> Iterator[int]:
    """Run `lichen serve` as a process of its own on a free port, and end it afterwards."""
    command = [
        *(sys.executable, "-m", "lichen", "serve", service),
        *("-C", str(loop.project.root), "--target", loop.target, "--port", "0"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            yield _port(process)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if "listening on http://" in line:
            return int(line.rsplit(":", 1)[1].strip().strip("/"))
    raise ServiceError(f"the service ended with {process.wait()} before it listened")


class _Client:
    """A connection to the service that is kept open."""

    def __init__(self, port: int, service: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._service = service

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, asked: Sequence[tuple[str, Instant]]) -> list[dict[str, Any]]:
        """Ask, in batches; returns the answers that are errors."""
        errors: list[dict[str, Any]] = []
        for first in range(0, len(asked), BATCH):
            instances = [{"key": k, "at": iso(at)} for k, at in asked[first : first + BATCH]]
            answer = self._post(f"/v1/models/{self._service}/predict", {"instances": instances})
            errors += [a for a in answer["predictions"] if "error" in a]
        return errors

    def tell(self, known: Sequence[tuple[str, float | str, Instant]]) -> int:
        """Tell what turned out; returns how many the service took."""
        taken = 0
        for first in range(0, len(known), BATCH):
            outcomes = [
                {"key": key, "label": label, "known_at": iso(at)}
                for key, label, at in known[first : first + BATCH]
            ]
            taken += int(self._post("/v1/outcomes", {"outcomes": outcomes})["taken"])
        return taken

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise ServiceError(
                f"POST {path} was answered with {response.status}: {content[:500]!r}"
            )
        return dict(json.loads(content))


class _Due:
    """The questions of a stretch of time; looked up again only when their tables went on."""

    def __init__(self, loop: Loop, inquiry: Inquiry, start: Instant, end: Instant) -> None:
        self._loop, self._inquiry, self._start, self._end = loop, inquiry, start, end
        self._leaves: dict[str, int] | None = None
        self._known: list[tuple[str, Instant]] = []

    def between(self, start: Instant, end: Instant) -> list[tuple[str, Instant]]:
        """Return keys and moments with start ≤ moment < end, in the order of time."""
        shelf = Shelf(self._loop.published(), self._loop.lake)
        asking = _asking(self._inquiry)
        leaves: dict[str, int] = {}
        for node in asking:
            leaves |= shelf.records[node].facts["leaves"]
        if leaves != self._leaves:
            self._leaves, self._known = leaves, self._look(shelf, start)
        return [(key, at) for key, at in self._known if start <= at < end]

    def _look(self, shelf: Shelf, now: Instant) -> list[tuple[str, Instant]]:
        inquiry = self._inquiry
        inputs = {node: shelf.versions(node) for node in _read(inquiry)}
        query = questions(inquiry.outcome, inputs, lit(now))
        since = exp.GTE(this=col("_at"), expression=lit(now))
        until = exp.LT(this=col("_at"), expression=lit(self._end))
        rows = exp.select("_key", "_at").from_(query.subquery("q")).where(since, until)
        found = self._loop.engine.rows(rows.order_by("_at", "_key"), shelf.relations(inputs))
        return [(row["_key"], instant(row["_at"])) for row in found]


class _Waiting:
    """The keys that were asked about and whose outcome is not known yet."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._made: tuple[object, Prepared] | None = None

    def add(self, asked: Sequence[tuple[str, Instant]]) -> None:
        """Wait for the outcomes of these."""
        self._keys |= {key for key, _ in asked}

    def known(
        self, loop: Loop, inquiry: Inquiry, now: Instant
    ) -> list[tuple[str, float | str, Instant]]:
        """Return what has become known by `now`, and wait for it no longer."""
        if not self._keys:
            return []
        shelf = Shelf(loop.published(), loop.lake)
        keys = sorted(self._keys)
        asked = Table.from_pydict({"key": Array(keys, DataType.utf8())})
        relations = {**shelf.relations(_read(inquiry)), "_waiting": asked}
        values = {"now": iso(now), "lowest": keys[0], "highest": keys[-1]}
        found = loop.engine.rows(self._query(inquiry, shelf), relations, values)
        self._keys -= {row["_key"] for row in found}
        return [(r["_key"], _told(r["label"]), instant(r["_label_known_at"])) for r in found]

    def _query(self, inquiry: Inquiry, shelf: Shelf) -> Prepared:
        """The labels of the keys in `_waiting`; made again only for other columns."""
        nodes = _read(inquiry)
        shapes = tuple(shelf.shape(node) for node in nodes)
        if self._made is None or self._made[0] != shapes:
            inputs = {node: shelf.versions(node) for node in nodes}
            keys = exp.select(col("key")).from_(rel("_waiting"))
            cut = narrowed(inquiry.outcome, inputs, keys, keyed=shelf.keys(), ends=ENDS)
            query = questions(inquiry.outcome, cut, NOW)
            label = exp.alias_(col("_label"), "label")
            known = col("_label_known_at").is_(exp.null()).not_()
            rows = exp.select(col("_key"), label, "_label_known_at").from_(query.subquery("q"))
            rows = rows.where(known, col("_key").isin(query=keys)).order_by(col("_label_known_at"))
            self._made = (shapes, Prepared(text(rows)))
        return self._made[1]


def _told(label: object) -> float | str:
    return label if isinstance(label, str) else float(label)  # type: ignore[arg-type]


def _read(inquiry: Inquiry) -> tuple[str, ...]:
    """The stored nodes that the outcome reads."""
    return tuple(dict.fromkeys(table.name for table in inquiry.outcome.select.find_all(exp.Table)))


def _asking(inquiry: Inquiry) -> tuple[str, ...]:
    """The stored nodes that decide what is asked: those that the label alone reads do not."""
    select, told = inquiry.outcome.select, inquiry.outcome.request_columns()
    shown = [p for p in select.selects if p.alias_or_name in told]
    aliases = {column.table for p in shown for column in p.find_all(exp.Column)}
    tables = select.find_all(exp.Table)
    return tuple(dict.fromkeys(t.name for t in tables if t.alias_or_name in aliases))


def _trouble(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event.result, Blocked | Failed)]
