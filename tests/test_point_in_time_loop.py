"""From files to training rows: each question sees what was known then, each label when it was."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from lichen.core.names import Name
from lichen.core.time import instant
from lichen.stages.context import Shelf
from lichen.stages.models.ask import asked, relations_of
from lichen.testing.project import SmallProject

SETTINGS = "key: id\nbackfill_until: 2020-01-31\n"
LANDED = {"id": "varchar", "airport": "varchar", "seen_at": "timestamptz", "delay": "bigint"}
ASKS = {"id": "varchar", "airport": "varchar", "asked_at": "timestamptz"}
TRUTH = {"id": "varchar", "late": "boolean", "told_at": "timestamptz"}
# A row of January: corrected on 10 December, taken back on 10 December, or left as it was.
JANUARY = [
    ("a1", "a", "2020-01-10", 10),
    ("b1", "b", "2020-01-05", 5),
    ("b2", "b", "2020-01-10", 20),
    ("c1", "c", "2020-01-10", 30),
]
DECEMBER = [("a1", "a", "2020-01-10", 99), JANUARY[1], JANUARY[3]]
DAYS = ("2020-01-20", "2020-12-09", "2020-12-10", "2020-12-20")
QUESTIONS = [(f"{airport}{day}", airport, day) for airport in "abc" for day in DAYS]
MODEL = """
from lichen import auto, model

@model(target="late", metric="roc_auc")
def late(last, month):
    return auto()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A year of it: January's file lands in January, and comes again in December."""
    small = SmallProject(tmp_path_factory.mktemp("time"))
    small.source("landed", LANDED, f"known_at: seen_at\n{SETTINGS}")
    small.source("asks", ASKS, f"known_at: timestamptz '2020-01-01 00:00Z'\n{SETTINGS}")
    small.source("truth", TRUTH, f"known_at: told_at\n{SETTINGS}")
    small.write(
        "tables/arrived.sql", "/* key: id */ select id, airport, seen_at, delay from landed"
    )
    kept = "entity: airport\nevent_time: seen_at\nknown_at: seen_at\n"
    small.write("features/last.sql", f"/*\n{kept}*/\nselect airport, seen_at, delay from arrived\n")
    small.write(
        "features/month.sql",
        f"/*\n{kept}window: [360 days]\n*/\nselect sum(delay) as total, count(*) as n "
        "from arrived\n",
    )
    small.write(
        "outcomes/late.sql",
        """\
        /*
        key: id
        entities: [airport]
        predict_at: asked_at
        label: late
        known_at: told_at
        */
        select q.id, q.airport, q.asked_at, t.late, t.told_at
        from asks q left join truth t using (id)
        """,
    )
    small.write("models/late.py", MODEL)
    small.csv("feeds/landed/01.csv", ",".join(LANDED), JANUARY)
    small.csv("feeds/asks/01.csv", ",".join(ASKS), QUESTIONS)
    told = [("a2020-01-20", "true", "2020-01-25"), ("b2020-01-20", "true", "2020-12-25")]
    small.csv("feeds/truth/01.csv", ",".join(TRUTH), told)
    nodes = ("+tables.arrived", "sources.asks", "sources.truth")
    small.run("2020-01-31", *nodes)
    small.csv("feeds/landed/01.csv", ",".join(LANDED), DECEMBER)
    small.csv(
        "feeds/truth/01.csv", ",".join(TRUTH), [("a2020-01-20", "false", "2020-01-25"), told[1]]
    )
    small.run("2020-12-10", *nodes)
    return small


@cache
def training(project: SmallProject, now: str) -> dict[str, dict[str, Any]]:
    """Return the training rows by key, as they are put together at a time."""
    loop = project.loop()
    inquiry, shelf = loop.inquiry(Name.parse("models.late")), Shelf(loop.published(), loop.lake)
    query = asked(inquiry, shelf, instant(now))
    rows = loop.engine.rows(query, relations_of(inquiry, shelf))
    return {row["_key"]: dict(row) for row in rows}


@pytest.mark.parametrize(
    ("airport", "last", "totals"),
    [
        ("a", (10, 10, 99, 99), ((10, 1), (10, 1), (99, 1), (99, 1))),
        ("b", (20, 20, 5, 5), ((25, 2), (25, 2), (5, 1), (5, 1))),
        ("c", (30, 30, 30, 30), ((30, 1), (30, 1), (30, 1), (30, 1))),
    ],
    ids=["corrected", "taken back", "left alone"],
)
@pytest.mark.parametrize("now", ["2020-12-10", "2020-12-31"])
def test_a_question_sees_what_was_known_when_it_was_asked(
    project: SmallProject,
    now: str,
    airport: str,
    last: tuple[int, ...],
    totals: tuple[tuple[int, int], ...],
) -> None:
    rows = [training(project, now)[f"{airport}{day}"] for day in DAYS]
    shown = [i for i, day in enumerate(DAYS) if day <= now]
    assert [rows[i]["last__delay"] for i in shown] == [last[i] for i in shown]
    window = [(r["month__total_360d"], r["month__n_360d"]) for r in rows]
    assert [window[i] for i in shown] == [totals[i] for i in shown]


@pytest.mark.parametrize(
    ("key", "now", "label", "known"),
    [
        ("a2020-01-20", "2020-01-25", True, "2020-01-25"),
        ("a2020-01-20", "2020-12-09", True, "2020-01-25"),
        ("a2020-01-20", "2020-12-10", False, "2020-12-10"),
        ("b2020-01-20", "2020-12-10", None, None),
        ("b2020-01-20", "2020-12-31", True, "2020-12-25"),
        ("c2020-01-20", "2020-12-31", None, None),
    ],
)
def test_a_label_counts_from_when_it_was_known(
    project: SmallProject, key: str, now: str, label: bool | None, known: str | None
) -> None:
    row = training(project, now)[key]
    assert row["_label"] is label
    moment = row["_label_known_at"]
    assert (moment and f"{moment:%Y-%m-%d}") == known


def test_the_correction_was_appended_and_the_history_stands(project: SmallProject) -> None:
    record = project.loop().published()["tables.arrived"]
    assert (record.facts["epoch"], record.sequence, record.facts["added"]) == (1, 2, 2)
