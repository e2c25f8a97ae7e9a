"""show tells of each kind of node what is declared, what was made and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

NOW = ("--now", "2020-06-01")


def test_a_source_with_its_quarantine(ran: Path, lichen: Callable[..., Any]) -> None:
    told = lichen("show", "sales", "--json", "--rows", "1").json
    assert (told["node"], told["state"], told["version"]) == ("sources.sales", "current", 1)
    assert (told["rows"], told["versions"]) == (2, 4)
    assert told["schema"][0] == {"name": "id", "type": "BIGINT"}
    assert told["file"] == "sources/sales.yml"
    broken = {r["rule"]: r["count"] for r in told["contract"]["rules"] if not r["kept"]}
    assert broken == {"amount.type": 1, "amount.range": 1}
    held = told["quarantine"]
    assert (held["rows"], held["rules"]) == (2, {"amount.range": 1, "amount.type": 1})
    first = held["examples"][0]
    assert (first["rule"], first["file"], first["line"]) == (
        "amount.range",
        "feeds/sales1.csv",
        3,
    )
    assert first["row"]["amount"] == -5.0
    assert told["current"] == [
        {"id": 1, "sold_at": "2020-01-01T00:00:00Z", "shop": "a", "amount": 11.0}
    ]


def test_a_record_that_does_not_parse_shows_its_bytes(
    shop: Path, lichen: Callable[..., Any]
) -> None:
    (shop / "feeds" / "sales2.csv").write_text('id,sold_at,shop,amount\n9,"x\n', "utf-8")
    lichen("run", *NOW)
    held = lichen("show", "sales", "--json").json["quarantine"]
    (torn,) = [e for e in held["examples"] if e["rule"] == "unreadable"]
    assert (torn["raw"], torn["row"], torn["line"]) == ('9,"x', None, 2)


def test_a_table_names_the_versions_that_it_was_made_of(
    ran: Path, lichen: Callable[..., Any]
) -> None:
    told = lichen("show", "tables.by_shop", "--json").json
    assert told["inputs"] == [{"node": "tables.clean", "version": 1}]
    assert told["contract"] is None


def test_features_show_their_settings(ran: Path, lichen: Callable[..., Any]) -> None:
    told = lichen("show", "turnover", "--json").json
    assert told["settings"]["windows"] == ["2h", "7d"]
    assert told["settings"]["event_time"] == "sold_at"
    assert told["columns"] == ["amount", "sales"]


def test_a_node_that_was_never_built(shop: Path, lichen: Callable[..., Any]) -> None:
    told = lichen("show", "clean", "--json").json
    assert (told["state"], told["version"], told["rows"]) == ("never built", None, 0)
    assert lichen("show", "clean").code == 0


def test_in_lines(ran: Path, lichen: Callable[..., Any]) -> None:
    out = lichen("show", "sales").out
    assert "sources.sales: current, version 1 of 2020-06-01T00:00:00Z" in out
    assert "feeds/sales1.csv:5  amount is 'xx', which is no DOUBLE" in out


def test_a_later_reading_sees_what_is_known_by_then(ran: Path, lichen: Callable[..., Any]) -> None:
    told = lichen("show", "sales", "--json", "--now", "2020-01-01T12:00").json
    assert told["rows"] == 1


def test_what_holds_no_rows_says_where_they_are(ran: Path, lichen: Callable[..., Any]) -> None:
    assert "project.training_set(MODEL)" in lichen("show", "features.turnover", "--rows", "2").out
    assert "no rows" not in lichen("show", "features.turnover").out
