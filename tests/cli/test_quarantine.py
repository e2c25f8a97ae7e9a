"""The quarantine on the command line: list, release, replay; and what a run says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("ran")
LATER = ("--now", "2020-06-02")


def test_the_list_in_lines(lichen: Callable[..., Any]) -> None:
    lines = lichen("quarantine", "list").out.splitlines()
    assert lines[0] == "sources.sales, version 1"
    assert lines[1] == "  amount.range: 1 row"
    assert lines[2].split() == ["row", "from", "why", "id", "sold_at", "shop", "amount"]
    assert "feeds/sales1.csv:3  amount is -5.0, not at least 0" in lines[3]


def test_the_list_as_json(lichen: Callable[..., Any]) -> None:
    (node,) = lichen("quarantine", "list", "--json").json["nodes"]
    assert [(r["rule"], r["rows"], r["released"]) for r in node["rules"]] == [
        ("amount.range", 1, 0), ("amount.type", 1, 0),
    ]  # fmt: skip
    (example,) = node["rules"][1]["examples"]
    assert (example["file"], example["line"]) == ("feeds/sales1.csv", 5)
    assert example["values"]["amount"] is None
    assert "xx" in example["raw"]


def test_a_release_is_asked_for_planned_and_done(lichen: Callable[..., Any]) -> None:
    words = ("quarantine", "release", "sales", "amount.range", "--why", "a refund", "--who", "anna")
    asked = lichen(*words, "--json").json
    assert asked == {
        "request": 1, "node": "sources.sales", "rows": 1, "next": "lichen run sources.sales+",
    }  # fmt: skip
    assert lichen("query", "select count(*) as n from sales", "--json").json["rows"] == [{"n": 2}]
    (land, *_) = lichen("plan", *LATER, "--json").json["steps"]
    assert land["reason"] == "amount.range: anna released what it holds back: a refund"
    said = lichen("run", "sources.sales+", *LATER)
    assert said.code == 0
    assert "sources.sales: 1 row released by anna, known from now on" in said.out
    query = "select id, _known_at from sales where amount < 0"
    rows = lichen("query", query, "--json").json["rows"]
    assert rows == [{"id": 2, "_known_at": "2020-06-02T00:00:00Z"}]
    listed = lichen("quarantine", "list", "sales").out
    assert "amount.range: 0 rows, 1 more released" in listed
    assert "release amount.range, asked by anna" in listed
    held = lichen("show", "sales", "--json").json["quarantine"]
    assert held["rules"] == {"amount.type": 1}
    assert [e["rule"] for e in held["examples"]] == ["amount.type"]


def test_replay(lichen: Callable[..., Any]) -> None:
    said = lichen("quarantine", "replay", "sales", "--why", "rounding was mended")
    assert said.out.splitlines() == [
        "the next run judges sources.sales again, which holds back 2 now",
        "next: lichen run sources.sales+",
    ]
    (land, *_) = lichen("plan", *LATER, "--json").json["steps"]
    assert (land["rejudge"], land["node"]) == (True, "sources.sales")
    assert lichen("run", *LATER).code == 0
    assert lichen("plan", *LATER, "--json").json["steps"] == []


def test_misuse(lichen: Callable[..., Any]) -> None:
    assert lichen("quarantine", "release").code == 2
    said = lichen("quarantine", "release", "sales", "amount.range")
    assert (said.code, said.err.splitlines()[0]) == (
        1, "say why: it is kept with the decision about sources.sales",
    )  # fmt: skip


def test_runs_queries_of_the_past_and_differences(ran: Path, lichen: Callable[..., Any]) -> None:
    feed = ran / "feeds/sales1.csv"
    feed.write_text(feed.read_text().replace(",70", ",71"))
    lichen("run", *LATER)
    new, old = lichen("show", "--runs", "--json").json["runs"]
    assert (new["outcome"], old["publication"]) == ("done", 1)
    assert old["id"] in lichen("show", "sales", "--runs").out
    query = ("query", "select amount from sales where id = 3", "--json")
    amounts = [lichen(*query, "--run", run["id"]).json["rows"][0]["amount"] for run in (new, old)]
    assert amounts == [71, 70]
    lines = lichen("diff", "sales@1", "sales@2").out.splitlines()
    assert lines[0].startswith("sources.sales: version 1 of 2020-06-01T00:00:00Z, 2 of 2020-06-02")
    assert "rows: 2 → 2 (0 came, 0 went, 1 changed, 1 are the same)" in lines
    told = lichen("diff", "sales@1", "sales", "--json").json
    assert told["examples"] == [{"key": "3", "changes": {"amount": [70, 71]}}]
    assert lichen("show", "clean", "--sql").out.startswith("-- tables.clean: every version")
    assert "one node" in lichen("show", "--sql").err
    assert lichen("show", "clean", "--rows").out == lichen("show", "clean", "--rows", "10").out


def test_plan_of_a_part_names_the_same_run(lichen: Callable[..., Any]) -> None:
    said = lichen("plan", "t*clean+", "--full", *LATER)
    assert said.out.splitlines()[-1] == "next: lichen run 't*clean+' --full"
    assert "--full was asked for" in said.out
