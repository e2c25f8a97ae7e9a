"""A project made of a CSV file with a column of times: the newest rows judge the others."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from lichen.cli import main
from lichen.core.steps import Done
from lichen.core.time import Instant, instant, iso, wall
from lichen.loop import Loop, open_loop

COUNT = 300
BEGIN, APART = instant("2024-01-01"), timedelta(hours=6)


def write(path: Path, rows: int, *, later: Instant | None = None) -> None:
    """Write rides, six hours apart; a long one in the rain is late. Those of `later` follow."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["Ride", "Asked at", "km", "Weather", "Late"])
        for place in range(rows):
            chance = random.Random(place)
            km, weather = chance.uniform(1, 20), chance.choice(["dry", "rain"])
            late = km + 6 * (weather == "rain") + chance.gauss(0, 3) > 13
            first = later + (place - COUNT) * APART if later and place >= COUNT else None
            asked = first or BEGIN + place * APART
            said = "yes" if late else "no"
            out.writerow([f"r{place}", f"{asked:%Y-%m-%d %H:%M:%S}", f"{km:.2f}", weather, said])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rides")
    write(folder / "rides.csv", COUNT)
    words = ["--from", str(folder / "rides.csv"), "--predict", "Late", "--time", "Asked at"]
    assert main(["init", str(folder / "made"), *words]) == 0
    model = folder / "made/models/late.py"
    quick = re.sub(r"auto\(.*?\)", 'auto(budget="20s", trials=1)', model.read_text("utf-8"))
    model.write_text(quick, "utf-8")
    return folder / "made"


@pytest.fixture(scope="module")
def loop(root: Path) -> Loop:
    loop = open_loop(root)
    assert all(isinstance(event.result, Done) for event in loop.run())
    return loop


def test_the_newest_fifth_judges_what_is_trained_on_the_rows_before(loop: Loop) -> None:
    told = loop.show("models.late")
    edge = iso(BEGIN + APART * (COUNT * 4 // 5))
    assert told["holdout"]["begin"] <= edge < told["holdout"]["end"]
    assert told["training"]["end"] < told["holdout"]["begin"]
    assert told["training"]["rows"] + told["holdout"]["rows"] == COUNT
    assert COUNT / 5 <= told["holdout"]["rows"] <= COUNT / 5 + 4  # whole days
    assert told["metrics"]["roc_auc"]["low"] > 0.7


def test_a_whole_row_is_answered_as_the_rows_were(
    root: Path, loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for row in ({"km": 19.0, "weather": "rain"}, {"km": 1.0, "weather": "dry"}):
        command = ["predict", "late", "--row", json.dumps(row), "-C", str(root), "--json"]
        assert main(command) == 0
        answers += json.loads(capsys.readouterr().out)["predictions"]
    assert [answer["value"] for answer in answers] == ["yes", "no"]
    assert answers[0]["probability"] > 0.9 > 0.1 > answers[1]["probability"]


def test_what_comes_later_is_trained_on_once_it_lands(
    root: Path, loop: Loop, tmp_path: Path
) -> None:
    before = loop.show("models.late")
    root = shutil.copytree(root, tmp_path / "made")  # the other tests keep what they share
    loop = open_loop(root)
    begin = wall() + timedelta(days=2)
    write(root / "data/rides.csv", COUNT + 40, later=begin)
    now = begin + 40 * APART
    assert all(isinstance(event.result, Done) for event in loop.run(now=now))
    after = loop.show("models.late")
    assert after["version"] == before["version"] + 1
    assert after["training"]["rows"] + after["holdout"]["rows"] == COUNT + 40
    assert instant(after["holdout"]["end"]) > begin
