"""What a service holds in memory: the part of the pinned tables that new questions can see.

Each stored relation below the model is cut to what questions from a moment on can see
(`features.reduce`); over that cut run the same trees as over the whole tables. A publication that
only appended is followed by reading the new rows alone; any other is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlglot import exp

from lichen.core.sql import col, lit, rel, text
from lichen.core.time import Instant
from lichen.core.versions import present, stored, unsaid
from lichen.ports.engine import Engine, Relations, Scan
from lichen.ports.online import Draft, Online
from lichen.stages.context import VERDICTS, Shelf, verdict_table
from lichen.stages.features.reduce import needed
from lichen.stages.models.ask import Inquiry
from lichen.stages.outcomes.narrow import narrowed
from lichen.stages.services.compile import (
    ASKED,
    GIVEN,
    ROWS,
    Texts,
    answers,
    in_memory,
    lookup,
    rows_as_questions,
    texts,
    types_of_questions,
)

HORIZON = timedelta(days=2)
_NEW = "_new"


@dataclass(frozen=True)
class View:
    """One publication as the service reads it; questions with `at` ≥ `start` need no more."""

    publication: int
    now: Instant
    start: Instant
    shelf: Shelf
    texts: Texts


class _Base(NamedTuple):
    """Which rows of a stored relation are in memory, and which verdicts were heeded."""

    epoch: int
    sequence: int
    verdicts: tuple[Path, ...]


class OnlineState:
    """Follows the publications. Safe to call from several threads."""

    def __init__(
        self, inquiry: Inquiry, online: Online, engine: Engine, horizon: timedelta = HORIZON
    ) -> None:
        """Hold nothing yet; `horizon` is how long before a publication questions may lie."""
        self.inquiry, self._online, self._engine = inquiry, online, engine
        self._horizon = horizon
        self._view: View | None = None
        self._bases: dict[str, _Base] = {}
        self._rows_of: tuple[str, ...] | None = None
        self._rows_text = ""
        self._moving = threading.Lock()

    @contextmanager
    def reading(self, publication: int, now: Instant, shelf: Shelf) -> Iterator[View]:
        """Give the view of a publication, or of a later one, and keep it still meanwhile."""
        with self._moving:
            if self._view is None or self._view.publication != publication:
                self._move(publication, now, shelf)
        with self._online.steady():
            assert self._view is not None
            yield self._view

    def lookup(self, view: View, asked: Any) -> Any:
        """Return the questions (Arrow) that keys and moments find in memory."""
        return self._online.ask(view.texts.lookup, {ASKED: asked})

    def answer(self, view: View, given: Any) -> Any:
        """Return questions with their features (Arrow), from memory."""
        return self._online.ask(view.texts.answer, {GIVEN: given})

    def rows(self, view: View, rows: Any) -> Any:
        """Return the questions (Arrow) that whole rows are; `_bad` names what is of no type."""
        if self._rows_of != view.texts.shown:
            types = self._online.ask(text(types_of_questions()), {})
            named = {
                types.column(0)[i].as_py(): types.column(1)[i].as_py() for i in range(len(types))
            }
            timed = self.inquiry.outcome.predict_at is not None
            shown = {name: named[name] for name in view.texts.shown}
            self._rows_text = text(rows_as_questions(shown, timed=timed))
            self._rows_of = view.texts.shown
        return self._online.ask(self._rows_text, {ROWS: rows})

    def lookup_in_full(self, view: View, asked: Any) -> Any:
        """Return the questions that keys and moments find in the stored tables."""
        inputs = {node: view.shelf.versions(node) for node in self.inquiry.nodes}
        keys = exp.select(col("_key")).from_(rel(ASKED))
        cut = narrowed(self.inquiry.outcome, inputs, keys, keyed=view.shelf.keys())
        return self._in_full(view, lookup(self.inquiry, cut), {ASKED: asked})

    def answer_in_full(self, view: View, given: Any, since: Instant) -> Any:
        """Return questions with their features, from the stored tables; none is before `since`."""
        inputs: dict[str, exp.Query] = {}
        for node, (features, _) in view.texts.readers.items():
            inputs[node] = needed(node, view.shelf.versions(node), since, features=features)
        query = answers(self.inquiry, inputs, view.texts.shown)
        return self._in_full(view, query, {GIVEN: given})

    def _in_full(self, view: View, query: exp.Query, given: Mapping[str, Any]) -> Any:
        relations = view.shelf.relations(self.inquiry.nodes)
        return self._engine.arrow(query, {**relations, **given})

    def _move(self, publication: int, now: Instant, shelf: Shelf) -> None:
        """Bring memory to a publication, with as little reading as its news allow."""
        before = self._view
        compiled = texts(self.inquiry, shelf, before.texts if before else None)
        draft = self._online.draft()
        try:
            move = self._moved(draft, now, shelf, compiled)
            view = View(publication, now, move.start, shelf, compiled)
            with self._online.steady():
                draft.commit()
                self._view, self._bases = view, move.bases
        finally:
            draft.abandon()

    def _moved(self, draft: Draft, now: Instant, shelf: Shelf, compiled: Texts) -> _Move:
        """Follow every stored relation, then make anew what is made of those that changed."""
        before, latest = self._view, now - self._horizon
        bases = dict(self._bases)
        if before is None or compiled is not before.texts or latest < before.start:
            bases, since, start = {}, latest, latest
            draft.forget()
        else:
            since = start = before.start
            if latest - since >= self._horizon:
                start = latest
        move = _Move(draft, shelf, compiled, since, start, bases)
        for node in compiled.readers:
            move.follow(node)
        for name, made in compiled.held.items():
            if move.changed & compiled.reads[name]:
                draft.hold(name, made, {})
        return move


@dataclass
class _Move:
    """On the way to a publication: memory is cut at `since`, and will be at `start`."""

    draft: Draft
    shelf: Shelf
    texts: Texts
    since: Instant
    start: Instant
    bases: dict[str, _Base]
    changed: set[str] = field(default_factory=set)

    def follow(self, node: str) -> None:
        """Bring a node's cut to its pinned version: by its new rows alone, or read anew."""
        base, pinned = self.bases.get(node), _base(self.shelf, node)
        self.bases[node] = pinned
        grown = base is not None and (base == pinned or self._grow(node, base, pinned))
        if not grown:
            self._cut(node, self.shelf.versions(node), self.shelf.relations([node]))
        elif self.start != self.since:
            self._cut(node, stored(in_memory(node), self.texts.columns[node]), {})
        if base != pinned or self.start != self.since:
            self.changed.add(node)

    def _cut(self, node: str, versions: exp.Query, given: Relations) -> None:
        features, outcome = self.texts.readers[node]
        query = needed(node, versions, self.start, features=features, outcome=outcome)
        self.draft.hold(in_memory(node), text(query), given)

    def _grow(self, node: str, base: _Base, pinned: _Base) -> bool:
        """Add the rows of later sequences; False where more than that happened."""
        judged = pinned.verdicts[len(base.verdicts) :]
        if base[::2] != (pinned.epoch, pinned.verdicts[: len(base.verdicts)]):
            return False
        more = base.sequence < pinned.sequence
        given = self.shelf.relations([node])
        arrived, news = f"news.{node}", rel(f"news.{node}")
        if more:
            since = exp.GTE(this=col("_row"), expression=lit((base.sequence + 1) << 32))
            rows = unsaid(self.shelf.versions(node)).where(since, present("_known_at"))
            self.draft.hold(arrived, text(rows), given)
        if more and self._count(_surprises(node, news, self.since, self.texts), {}):
            return False
        if judged and self._count(_judged(node), {_NEW: Scan(judged, VERDICTS)}):
            return False
        if more:
            self.draft.extend(in_memory(node), text(exp.select("*").from_(news)), {})
        return True

    def _count(self, query: exp.Query, given: Relations) -> int:
        return int(self.draft.ask(text(query), given).column(0)[0].as_py())


def _base(shelf: Shelf, node: str) -> _Base:
    """Return up to where a node and its verdicts are pinned."""
    record, table = shelf.records[node], verdict_table(node)
    pinned = record.commits.get(table)
    verdicts = shelf.lake.files(table, pinned[1]) if pinned else ()
    return _Base(int(record.facts["epoch"]), record.sequence, verdicts)


def _surprises(node: str, news: exp.Expr, start: Instant, compiled: Texts) -> exp.Select:
    """Count new rows that may bring back what was cut off: they speak of the time before the
    start, or replace a row that outshone others."""
    features, _ = compiled.readers[node]
    odd: list[exp.Expr] = [exp.LTE(this=col("_known_at"), expression=lit(start))]
    if any(each.shape == "latest" for each in features):
        held = exp.select(col("_key")).from_(rel(in_memory(node)))
        odd.append(col("_key").isin(query=held))
    return exp.select(exp.Count(this=exp.Star())).from_(news).where(exp.or_(*odd))


def _judged(node: str) -> exp.Select:
    """Count held rows that a new verdict holds back."""
    judged = exp.select(col("_row")).from_(rel(_NEW)).where(present("_row"))
    held = exp.select(exp.Count(this=exp.Star())).from_(rel(in_memory(node)))
    return held.where(col("_row").isin(query=judged))
