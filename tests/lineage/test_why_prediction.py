"""The source rows that `why` names are the ones that a search through the CSV files finds."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from market_oracle import Line
from market_world import EARLY, LATE, Asked, World, line, the_market

from lichen.desk import Desk
from lichen.lineage.origin import LineageError, Origin
from lichen.lineage.why import why

PARTS = {"outcomes.fined": "request", "features.stock": "stock", "features.recent": "recent",
         "features.region": "region", "features.order": "order"}  # fmt: skip


@pytest.fixture
def world() -> World:
    return the_market()


def source_lines(origin: Origin) -> set[Line]:
    """Return the source rows that are named anywhere below."""
    return {
        Line(row["file"], row["line"], row["values"]["tag"])
        for each in origin.walk()
        if each.node.startswith("sources.")
        for row in each.told.get("rows", ())
    }


def parts(origin: Origin) -> dict[str, set[Line]]:
    """Return the source rows by what they were needed for; the model has no part in it."""
    return {PARTS[each.node]: source_lines(each) for each in origin.inputs if each.node in PARTS}


@pytest.mark.parametrize("asked", [*EARLY, *LATE], ids=lambda asked: asked.id)
def test_the_very_source_rows(world: World, asked: Asked) -> None:
    found = world.why(asked.id)
    answer = world.answer(asked)
    assert parts(found) == {name: set(lines) for name, lines in answer.lines.items()}
    assert found.told["differences"] == []
    assert found.told["reproduced"] is True
    assert found.told["drained"] is asked.id.startswith("early")
    assert found.told["publication"]["id"] == asked.publication
    assert (found.inputs[0].node, found.inputs[0].version) == ("models.fined", 1)
    assert answer.lines["recent"], "a case without rows in its windows proves little"


def test_random_questions_never_name_what_was_not_known(world: World) -> None:
    pick, named = random.Random(3), 0
    for number in range(6):
        publication = pick.choice((1, 2))
        oracle = world.oracle(publication)
        at = datetime.fromisoformat("2020-01-25T00:00Z") + timedelta(hours=pick.randint(0, 1150))
        asked = Asked(f"any-{number}", pick.choice(oracle.keys_at(at)), at, publication)
        world.log(asked)
        found = world.why(asked.id)
        lines = {name: set(each) for name, each in world.answer(asked).lines.items()}
        assert parts(found) == lines, asked
        assert found.told["reproduced"], found.told["differences"]
        every = set().union(*lines.values())
        assert every <= oracle.known_by(at), asked
        named += len(every)
    assert named > 30


def test_a_correction_is_seen_by_later_questions_only(world: World) -> None:
    old = parts(world.why("early-o30"))["recent"]
    again = parts(world.why("late-o30-0206"))["recent"]
    new = parts(world.why("late-o30-0310"))["request"]
    editions = {each.tag for each in old}
    assert "orders-1.csv:32:1" in editions
    assert again == old, "the old question sees the old version, whatever is known by now"
    assert "orders-1.csv:32:2" in {each.tag for each in new}


def test_what_was_logged_wrongly_is_told(world: World) -> None:
    asked = Asked("forged", "o60", EARLY[1].at, 1)
    world.log(asked, stock__level=-1.0)
    found = why(world.loop, "predictions.fined:forged")
    level = world.answer(asked).features["stock__level"]
    assert found.told["reproduced"] is False
    assert found.told["differences"] == [
        {"of": "features.stock", "column": "level", "logged": -1.0, "now": level}
    ]


def test_a_row_that_the_caller_gave_leads_to_no_source(world: World) -> None:
    asked = Asked("given", "o60", EARLY[1].at, 1)
    answer = world.answer(asked)
    world.market.log({**line(asked, answer, {}), "key": None})
    found = world.why("given")
    assert found.told["reproduced"] is True
    expected = {name: set(lines) for name, lines in answer.lines.items()}
    assert parts(found) == {**expected, "request": set()}


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop")  # DuckDB's
def test_what_the_service_itself_answered_and_logged(world: World) -> None:
    """Keys in memory and long ago, and a whole row whose amount is not what the tables hold."""
    questions = [
        Asked("", "o405", datetime.fromisoformat("2020-03-12T05:00Z"), 2),
        Asked("", "o30", datetime.fromisoformat("2020-02-06T00:00Z"), 2),
    ]
    instances: list[dict[str, Any]] = [{"key": q.key, "at": q.at.isoformat()} for q in questions]
    row = {**world.answer(questions[0]).request, "amount": 55.5}
    instances.append({"row": row, "at": questions[0].at.isoformat()})
    desk = Desk(world.loop)
    answers = desk.predict("fined", json.dumps({"instances": instances}).encode())
    desk.close()
    ids = [getattr(answer, "prediction_id", "") for answer in answers]
    for asked, id_ in zip(questions, ids, strict=False):
        found = world.why(id_)
        assert found.told["differences"] == []
        assert found.told["reproduced"] is True
        lines = world.answer(asked).lines
        assert parts(found) == {name: set(each) for name, each in lines.items()}
    given = world.why(ids[2])
    assert given.told["reproduced"] is True
    request, order = given.inputs[1], given.inputs[5]
    assert request.told["looked_up"] is False
    assert [d["column"] for d in request.told["differences"]] == ["amount"]
    assert order.told["values"] == {"amount": 55.5, "twice": 111.0}
    assert parts(given)["request"] == set()


def test_files_are_told_as_they_were_landed(world: World) -> None:
    found = world.why("early-o30").as_json()
    files = [f for leaf in leaves(found) for f in leaf["files"] if "orders-1" in f["path"]]
    now = hashlib.sha256((world.market.root / "feeds/orders-1.csv").read_bytes()).hexdigest()
    assert files
    assert all(f["sha256"] != now and f["landed"]["sequence"] == 1 for f in files)
    assert {leaf.get("prepare") for leaf in leaves(found) if leaf["node"] == "sources.orders"} == {
        "prepare.py"
    }


def leaves(told: dict[str, Any]) -> list[dict[str, Any]]:
    if not told["inputs"]:
        return [told] if told["node"].startswith("sources.") else []
    return [leaf for each in told["inputs"] for leaf in leaves(each)]


def test_an_unknown_prediction_is_refused_with_ids_that_exist(world: World) -> None:
    with pytest.raises(LineageError, match="holds no prediction 'early-o61'") as error:
        why(world.loop, "predictions.fined:early-o61")
    assert error.value.allowed
    with pytest.raises(LineageError, match=r"did you mean 'predictions\.fined'"):
        why(world.loop, "predictions.fine:x")
