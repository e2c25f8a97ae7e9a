"""`lichen diff dev prod`: definitions, columns, rows by key, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from branches import Shop

from lichen.cli import main

WIDER = "/* key: id */\nselect id, amount * 2 as amount, upper(shop) as town from sales\n"
NARROW = (
    "/* key: shop */\nselect town as shop, sum(amount)::bigint as total from clean group by 1\n"
)


@pytest.fixture
def apart(shop: Shop) -> Shop:
    """`prod` as it was; `dev` with other columns, other values, more rows, one table more."""
    shop.go("prod", "2020-03-01")
    shop.write("tables/clean.sql", WIDER)
    shop.write("tables/totals.sql", NARROW)
    shop.write("tables/big.sql", "/* key: id */\nselect id from sales where amount > 5\n")
    shop.land(2, rows=3)
    shop.go("dev", "2020-03-02")
    return shop


def diff(shop: Shop, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["diff", "dev", "prod", "-C", str(shop.root), *words]) == 0
    return capsys.readouterr().out


def by_node(text: str) -> dict[str, Any]:
    return {each["node"]: each for each in json.loads(text)["nodes"]}


def test_each_node_is_compared(apart: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_node(diff(apart, capsys, "--json", "--rows", "3"))
    assert list(found) == ["sources.sales", "tables.big", "tables.clean", "tables.totals"]
    sales, clean, totals = (found[f] for f in ("sources.sales", "tables.clean", "tables.totals"))
    assert sales["definition"] is None
    assert sales["rows"] == {"left": 13, "right": 11}  # one in each file is held back
    rows = sales["changed_rows"]
    assert (rows["only_left"], rows["only_right"], rows["differs"]) == (2, 0, 0)
    assert [row["key"] for row in rows["examples"]] == ["s2-1", "s2-2"]
    assert rows["examples"][0]["left"]["amount"] == 0
    assert "right" not in rows["examples"][0]
    assert found["tables.big"]["state"] == "only_left"
    assert clean["definition"]["columns"] == {
        "only_left": ["town"], "only_right": ["shop"], "differs": ["amount"],
    }  # fmt: skip
    assert clean["columns"]["only_left"] == ["town"]
    # A zero stays a zero when it is doubled.
    rows = clean["changed_rows"]
    assert (rows["differs"], rows["only_left"]) == (10, 2)
    changed = [row for row in rows["examples"] if row["state"] == "differs"]
    assert all(row["left"]["amount"] == 2 * row["right"]["amount"] for row in changed)
    assert totals["definition"]["columns"]["differs"] == ["shop", "total"]
    assert totals["definition"]["rows"]


def test_the_page_says_what_changed(apart: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    text = diff(apart, capsys, "--sql", "--rows", "1")
    for words in (
        "tables.big     only in dev",
        "changed: amount; only in dev: town; only in prod: shop",
        "tables.clean: 10 rows differ, 2 are only in dev, 0 only in prod",
        "tables.clean, from prod to dev:",
        "+select id, amount * 2 as amount, upper(shop) as town from sales",
        "4 nodes differ, 0 are the same",
    ):
        assert words in text, text


def test_what_was_promoted_is_the_same(apart: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_node(diff(apart, capsys, "tables.clean", "--json"))
    assert list(found) == ["tables.clean"]
    main(["promote", "dev", "prod", "-C", str(apart.root), "--json"])
    apart.go("trial", "2020-03-02")
    capsys.readouterr()
    assert main(["diff", "prod", "trial", "-C", str(apart.root), "--json"]) == 0
    assert {each["state"] for each in json.loads(capsys.readouterr().out)["nodes"]} == {"same"}


def test_a_target_with_a_version_is_a_misuse(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "dev", "clean@2", "-C", str(shop.root)]) == 2
    assert "lichen diff departed@4 departed@5" in capsys.readouterr().err
