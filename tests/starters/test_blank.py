"""An empty project runs and says what to do; its examples, once they count, are a whole project."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lichen.cli import main
from lichen.core.steps import Done
from lichen.core.time import instant
from lichen.loop import open_loop
from lichen.project import read_project


@pytest.fixture
def blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "no-parcels"]) == 0
    monkeypatch.chdir(tmp_path / "no-parcels")
    return tmp_path / "no-parcels"


@pytest.mark.parametrize("verb", ["check", "plan", "run", "show"])
def test_each_verb_succeeds_and_says_what_to_do_next(
    blank: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([verb]) == 0
    assert "there is nothing in this project yet\nnext: " in capsys.readouterr().out


def test_it_has_its_own_name_and_an_example_for_each_noun(blank: Path) -> None:
    project = read_project(blank)
    assert (project.name, dict(project.nodes)) == ("no-parcels", {})
    for folder in ("sources", "tables", "features", "outcomes", "models", "services"):
        examples = [*(blank / folder).iterdir()]
        assert examples and all(path.name.startswith("_") for path in examples)
        assert f"`{folder}/`" in (blank / "README.md").read_text("utf-8")


def test_the_examples_are_a_project_that_runs(blank: Path) -> None:
    for path in [*blank.glob("*/_*")]:
        path.rename(path.with_name(path.name[1:]))
    chance, begin = random.Random(1), datetime(2026, 1, 1, 8)
    orders, deliveries = ["order_id,placed_at,shop,km"], ["order_id,delivered_at,minutes"]
    for place in range(900):
        placed = begin + timedelta(minutes=63 * place)
        km, shop = round(chance.uniform(1, 12), 1), chance.choice("abc")
        minutes = max(1, round(20 + 4 * km + chance.gauss(0, 6)))
        orders.append(f"{place},{placed}Z,{shop},{km}")
        deliveries.append(f"{place},{placed + timedelta(minutes=minutes)}Z,{minutes}")
    (blank / "feeds").mkdir()
    (blank / "feeds/orders.csv").write_text("\n".join(orders) + "\n")
    (blank / "feeds/deliveries.csv").write_text("\n".join(deliveries) + "\n")
    model = blank / "models/slow.py"
    model.write_text(model.read_text("utf-8").replace('"30s"', '"20s", trials=1'), "utf-8")
    loop = open_loop(blank)
    events = loop.run(now=instant("2026-02-10"))
    assert {type(event.result) for event in events} == {Done}
    assert loop.show("models.slow")["metrics"]["roc_auc"]["value"] > 0.8
