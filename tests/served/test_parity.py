"""What a service answers from memory equals the training set's query at the same pins.

The reference is `asked`, over the whole tables. Memory follows appends, corrections, retractions,
rows that move to another entity, and jumps of several days; questions lie before and after the
moment from which memory answers.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import depot
import numpy as np
import pandas as pd
from sqlglot import exp

from lichen.core.names import Name
from lichen.core.sql import parse_expression, rel, text
from lichen.core.time import Instant
from lichen.loop import Loop, open_loop
from lichen.stages.context import Shelf
from lichen.stages.models.ask import Inquiry, asked, relations_of
from lichen.stages.services.compile import in_memory
from lichen.stages.services.online import OnlineState
from lichen.stages.services.predict import Pinned, answered
from lichen.stages.services.request import Asked
from lichen.wiring import open_online

HORIZON = timedelta(days=2)
SHIFTS = ("2 hour", "0 hour", "47 hour")  # before the promised moment
MOST_NEW, OLD = 150, 30  # questions after each publication


class Counted(NamedTuple):
    """How many answers were compared: from memory and from stored tables."""

    memory: int
    stored: int


def shifted(inquiry: Inquiry, hours: str) -> Inquiry:
    moment = parse_expression(f"promised_at - interval {hours}", Path("late.sql"))
    return dataclasses.replace(
        inquiry, outcome=dataclasses.replace(inquiry.outcome, predict_at=moment)
    )


def expected(loop: Loop, about: Inquiry, pinned: Pinned) -> pd.DataFrame:
    """The training set's query, all keys at once."""
    query = asked(about, pinned.shelf, pinned.now)
    frame: pd.DataFrame = loop.engine.frame(query, relations_of(about, pinned.shelf))
    return frame


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Equal in every feature: floats to 1e-9 relative, everything else exactly."""
    columns = [c for c in theirs.columns if "__" in c and not c.startswith("_")]
    assert set(columns) <= set(ours.columns) and len(columns) == 15
    for name in columns:
        left, right = ours[name], theirs[name]
        if pd.api.types.is_numeric_dtype(right):
            a, b = (v.to_numpy(dtype=float, na_value=np.nan) for v in (left, right))
            assert np.allclose(a, b, rtol=1e-9, atol=0, equal_nan=True), name
        else:
            assert listed(left) == listed(right), name


def listed(values: pd.Series[Any]) -> list[object]:
    return [value if known else None for value, known in zip(values, values.notna(), strict=True)]


def check(loop: Loop, state: OnlineState, pinned: Pinned, rng: random.Random) -> Counted:
    theirs = expected(loop, shifted(state.inquiry, rng.choice(SHIFTS)), pinned)
    start = pd.Timestamp(pinned.now - HORIZON)
    new = theirs.index[(theirs["_at"] >= start)]
    old = theirs.index[theirs["_at"] < start]
    chosen = rng.sample([*new], min(MOST_NEW, len(new))) + rng.sample([*old], OLD)
    picked = theirs.loc[chosen].reset_index(drop=True)
    questions = [
        Asked(at.to_pydatetime(), key)
        for key, at in zip(picked["_key"], picked["_at"], strict=True)
    ]
    view, tables = answered(state, pinned, questions)
    frames = [loop.engine.frame(*everything(table)) for table in tables]
    ours = pd.concat(frames).sort_values("_q").reset_index(drop=True)
    assert [*ours["_q"]] == [*range(len(questions))]
    compare(ours, picked)
    memory = sum(question.at >= view.start for question in questions)
    return Counted(memory, len(questions) - memory)


def everything(table: Any) -> tuple[Any, dict[str, Any]]:
    return exp.select("*").from_(rel("_t")), {"_t": table}


def publications(loop: Loop) -> Iterator[Pinned]:
    """Let the feeds grow, and yield each publication."""
    sources = [str(name) for name in loop.project.nodes if name.kind == "sources"]
    now, ends = depot.NOW, [0, 2, 2, 5, 5]
    for index, days in enumerate(ends):
        end = depot.NOW + timedelta(days=days)
        if end > now:
            depot.feed(loop.project.root, now, end)
        elif days:
            depot.correct(loop.project.root, index)
            end = now + timedelta(hours=1)
        now = end
        if days:
            loop.run(*sources, now=now)
        yield pinned(loop, now)


def pinned(loop: Loop, now: Instant) -> Pinned:
    publication = loop.ledger.publication()
    assert publication is not None
    return Pinned(publication.id, now, Shelf(loop.published(), loop.lake))


def test_memory_answers_as_the_training_set_does(loop: Loop) -> None:
    inquiry = loop.inquiry(Name.parse("models.late"))
    state = OnlineState(inquiry, open_online(), loop.engine, HORIZON)
    rng = random.Random(7)
    counted = [check(loop, state, at, rng) for at in publications(loop)]
    assert sum(each.memory for each in counted) > 150
    assert sum(each.stored for each in counted) > 100


def test_a_retraction_brings_back_what_was_outshone(loop: Loop) -> None:
    inquiry = loop.inquiry(Name.parse("models.late"))
    state = OnlineState(inquiry, open_online(), loop.engine, HORIZON)
    rows = [
        {"change_id": f"x{days}", "customer": "x", "changed_at": depot.NOW - timedelta(days=days)}
        | {"tier": tier, "spent": 1}
        for days, tier in ((10, "gold"), (5, "silver"))
    ]
    row = {"depot": "west", "customer": "x", "weight": 1, "promised_at": depot.NOW.isoformat()}

    def tiers(now: Instant, *hours: int) -> list[str]:
        loop.run("sources.tiers", now=now)
        asked = [Asked(depot.NOW + timedelta(hours=h), None, row) for h in hours]
        _, (table,) = answered(state, pinned(loop, now), asked)
        return list(table.column("customer__tier").to_pylist())

    depot.write_rows(loop.project.root, "tiers", "x", rows)
    assert tiers(depot.NOW, 1) == ["silver"]
    depot.write_rows(loop.project.root, "tiers", "x", rows[:1])
    assert tiers(depot.NOW + timedelta(hours=2), 1, 3) == ["silver", "gold"]


def test_a_key_that_was_not_known_yet_has_no_answer(loop: Loop) -> None:
    inquiry = loop.inquiry(Name.parse("models.late"))
    state = OnlineState(inquiry, open_online(), loop.engine, HORIZON)
    parcel = depot.parcels(depot.NOW, depot.NOW + timedelta(days=1))[0]
    before = parcel["ordered_at"] - timedelta(seconds=1)
    told = [Asked(before, parcel["parcel_id"]), Asked(parcel["ordered_at"], parcel["parcel_id"])]
    _, tables = answered(state, pinned(loop, depot.NOW), told)
    assert [table.column("_q")[0].as_py() for table in tables] == [1]


def test_memory_holds_less_than_the_tables(loop: Loop) -> None:
    inquiry, online = loop.inquiry(Name.parse("models.late")), open_online()
    state = OnlineState(inquiry, online, loop.engine, HORIZON)
    at = pinned(loop, depot.NOW)
    with state.reading(at.publication, at.now, at.shelf):
        pass
    rows = {node: at.shelf.records[node].facts["rows"] for node in inquiry.nodes}
    draft = online.draft()
    for node in ("sources.scans", "sources.parcels"):
        kept = text(exp.select("_row").from_(rel(in_memory(node))))
        assert 0 < len(draft.ask(kept, {})) < rows[node] / 3
    draft.abandon()


def test_memory_follows_a_source_that_gains_a_column(loop: Loop) -> None:
    state = OnlineState(
        loop.inquiry(Name.parse("models.late")), open_online(), loop.engine, HORIZON
    )
    rng = random.Random(3)
    check(loop, state, pinned(loop, depot.NOW), rng)
    contract = loop.project.root / "sources/scans.odcs.yaml"
    said = contract.read_text()
    belt = next(line for line in said.splitlines() if "belt" in line)
    contract.write_text(said.replace(belt, f"{belt}\n{belt.replace('belt', 'ramp')}"))
    for path in (loop.project.root / "feeds/scans").iterdir():
        lines = path.read_text().splitlines()
        path.write_text(
            "\n".join([f"{lines[0]},ramp", *(f"{line},1" for line in lines[1:])]) + "\n"
        )
    again = open_loop(loop.project.root)
    again.run("sources.scans", now=depot.NOW)
    assert "ramp" in dict(again.published()["sources.scans"].facts["columns"])
    assert check(again, state, pinned(again, depot.NOW), rng).memory > 20
