"""`lichen why` prints one tree, or one nested object with --json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from market_world import the_market

from lichen.cli.options import Options
from lichen.cli.why import why


def keys_of(told: dict[str, Any]) -> bool:
    return {"node", "version", "inputs"} <= set(told) and all(map(keys_of, told["inputs"]))


@pytest.mark.parametrize(
    "what",
    ["predictions.fined:late-o30-0310", "models.fined", "tables.placed", "tables.placed:o30",
     "tables.placed.region"],
)  # fmt: skip
def test_json_is_one_nested_object(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(what, options=Options(folder=the_market().market.root, json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["node"] == what.partition(":")[0].removesuffix(".region")
    assert keys_of(told)


def test_the_tree_names_lines_of_files_and_folds_many_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = the_market()
    why("predictions.fined:late-o30-0206", options=Options(folder=world.market.root))
    text = capsys.readouterr().out
    assert "the features computed again equal the logged ones" in text
    assert "feeds/orders-1.csv:32  order_id o30" in text
    assert "more: lichen why models.fined@1" in text
    rows = world.why("late-o30-0206").inputs[3].told["rows"]
    assert f"features.recent  {len(rows)} rows" in text
    assert f"… and {len(rows) - 5} more" in text
    assert "rows of feeds/orders-1.csv, sha256 " in text
