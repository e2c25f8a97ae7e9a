"""1,000 random worlds of row versions, and questions about them, in Python and in a database.

A world has a few keys whose rows arrive late, are corrected three days later (also to another
entity or event time) and are retracted; known times lag behind events; ties abound.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.names import Kind, Name
from lichen.core.sql import col, parse_expression, parse_select, text
from lichen.core.versions import once, stored
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features

WORLDS = 1000
PATH = Path("features/f.sql")


class Row(NamedTuple):
    """One stored version; times are hours, `lag` is the declared lag behind the event."""

    world: int
    entity: int | None
    event: int | None
    lag: int | None
    value: int | None
    row: int
    key: str
    known: int | None
    deleted: bool


class Question(NamedTuple):
    """What is asked: an entity of a world at an hour."""

    world: int
    entity: int | None
    at: int


def world(number: int) -> tuple[list[Row], list[Question]]:
    rng = random.Random(number)
    rows: list[Row] = []
    for key in range(rng.randint(1, 6)):
        event, entity = rng.randint(0, 40), rng.choice([0, 0, 1, None])
        known = event + rng.choice([0, 0, 2, 30, 200])
        lag, value = rng.choice([0, 0, 3, 25, None]), rng.choice([*range(5), None])
        row = Row(number, entity, event, lag, value, 0, f"{number}/{key}", known, False)
        rows.append(row)
        if rng.random() < 0.5:
            changed: dict[str, Any] = rng.choice(
                [
                    {"value": rng.randint(0, 9)},
                    {"event": rng.randint(0, 90)},
                    {"event": event + 90, "lag": 25},
                    {"event": None},
                    {"entity": 1},
                    {"lag": rng.choice([0, 3, 25])},
                ]
            )
            rows.append(row._replace(known=known + 72, **changed))
        if rng.random() < 0.3:
            rows.append(row._replace(known=known + rng.choice([0, 10, 72, 80, 100]), deleted=True))
        if rng.random() < 0.2:
            rows.append(row._replace(known=rng.choice([None, known + 150]), value=7))
    rng.shuffle(rows)
    ticks = [t for r in rows for t in (r.event, r.known) if t is not None]
    asked = [
        Question(
            number, rng.choice([0, 0, 1, None]), rng.choice(ticks) + rng.choice([0, 0, -1, 1, 20])
        )
        for _ in range(6)
    ]
    return [r._replace(row=i) for i, r in enumerate(rows)], asked


class Worlds(NamedTuple):
    """All worlds, in Python and in a database."""

    rows: list[list[Row]]
    questions: list[Question]
    db: duckdb.DuckDBPyConnection
    table: exp.Select

    def answers(self, features: Features) -> list[tuple[Any, ...]]:
        made = compiled(features, {"t": self.table})
        return self.fetch(answer(QUESTIONS, [made], lineage=True))

    def fetch(self, query: exp.Query) -> list[tuple[Any, ...]]:
        names = [name for name in query.named_selects if name.startswith("f__")]
        shown = exp.select(*map(col, names)).from_(query.subquery("q")).order_by(col("_q"))
        return self.db.execute(text(shown)).fetchall()


COLUMNS = ("world", "entity", "event", "lag", "value")
INPUTS = {"t": stored("t", COLUMNS)}
QUESTIONS = exp.select(*map(col, ("_q", "_at", "world", "entity"))).from_("q")


def build(kind: Told = "corrected") -> Worlds:
    """Return all worlds.

    Rows may be `corrected`; or each is the `first` of its key, and the table says so; or then
    also no two rows share entity and event time, so that they are told `apart`.
    """
    db = duckdb.connect(config={"threads": 2})
    db.execute("set TimeZone = 'UTC'")
    everything, questions = zip(*map(world, range(WORLDS)), strict=True)
    rows = [KINDS[kind](each) for each in everything]
    asked = [question for each in questions for question in each]
    load(db, "raw", Row._fields, [row for each in rows for row in each])
    load(db, "asked", ("q", *Question._fields), [(i, *q) for i, q in enumerate(asked)])
    db.execute("create macro hour(h) as timestamptz '2013-01-01 00:00:00+00' + interval 1 hour * h")
    db.execute(
        "create table t as select world, entity, hour(event) as event, lag, value, row as _row,"
        " key as _key, hour(known) as _known_at, now() as _arrived_at, deleted as _deleted from raw"
    )
    db.execute('create table q as select q as _q, hour("at") as _at, world, entity from asked')
    said = {
        "corrected": INPUTS["t"],
        "first": once(INPUTS["t"]),
        "apart": once(INPUTS["t"], [*map(col, ("world", "entity")), _MOMENT]),
    }
    return Worlds(rows, asked, db, said[kind])


def firsts(rows: list[Row]) -> list[Row]:
    """Return every version as one of a key of its own."""
    return [row._replace(key=f"{row.key}/{row.row}") for row in rows]


def told_apart(rows: list[Row]) -> list[Row]:
    """Return one row of each entity and event time, each of a key of its own."""
    return list({(row.entity, row.event): row for row in firsts(rows)}.values())


_MOMENT = exp.cast(col("event"), "timestamptz")
Told = Literal["corrected", "first", "apart"]
KINDS: dict[Told, Callable[[list[Row]], list[Row]]] = {
    "corrected": list,
    "first": firsts,
    "apart": told_apart,
}


def load(
    db: duckdb.DuckDBPyConnection, name: str, fields: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Create a table of Python rows, column by column."""
    columns = ", ".join(f"unnest(${field}) as {field}" for field in fields)
    values = {
        field: list(part) for field, part in zip(fields, zip(*rows, strict=True), strict=True)
    }
    db.execute(f"create table {name} as select {columns}", values)


def features(
    select: str,
    shape: Literal["latest", "window"],
    *,
    declared: bool,
    max_age: timedelta | None = None,
    windows: tuple[timedelta, ...] = (),
) -> Features:
    known = parse_expression("event + lag * interval 1 hour", PATH) if declared else None
    return Features(
        Name(Kind.features, "f"),
        Where(PATH),
        parse_select(select, PATH),
        select,
        shape,
        entity=("world", "entity"),
        event_time=parse_expression("event", PATH),
        known_at=known,
        max_age=max_age,
        windows=windows,
    )
