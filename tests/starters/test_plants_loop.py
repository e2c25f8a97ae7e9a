"""A project made of a CSV file: trained, served over HTTP, told what turned out, renewed."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from depot_service import Client, serving

from lichen.cli import main
from lichen.core.steps import Done
from lichen.core.time import wall
from lichen.loop import Event, Loop, open_loop

ROW = {"leaf_cm": 8.5, "soil": "clay", "height": 24.0}
COUNT = 500


def write(path: Path, rows: int, *, begin: int = 0) -> None:
    """Write plants of three kinds; line n is the same however many there are."""
    means = {"fern": 8, "moss": 1, "lichen, grey": 3}
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["leaf cm", "soil", "height", "Kind"])
        for place in range(begin, begin + rows):
            chance = random.Random(place)
            kind = chance.choice(sorted(means))
            leaf = chance.gauss(means[kind], 1)
            soil = chance.choice(["clay", "?", "rock" if kind == "moss" else "sand"])
            out.writerow([f"{leaf:.2f}", soil, f"{3 * leaf + chance.gauss(0, 3):.1f}", kind])


def quick(root: Path, path: str) -> None:
    """Let a model search no longer than a test should take."""
    text = (root / path).read_text("utf-8")
    (root / path).write_text(re.sub(r"auto\(.*?\)", 'auto(budget="20s", trials=1)', text), "utf-8")


def trouble(events: tuple[Event, ...]) -> list[object]:
    return [event.result for event in events if not isinstance(event.result, Done)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plants")
    write(folder / "plants.csv", COUNT)
    made = folder / "made"
    assert main(["init", str(made), "--from", str(folder / "plants.csv"), "--predict", "kind"]) == 0
    quick(made, "models/kind.py")
    return made


@pytest.fixture(scope="module")
def loop(root: Path) -> Loop:
    loop = open_loop(root)
    assert not trouble(loop.run())
    return loop


@pytest.fixture(scope="module")
def client(root: Path, loop: Loop) -> Iterator[Client]:
    with serving(root, "kind") as client:
        yield client


def test_the_model_tells_the_kinds_apart(root: Path, loop: Loop) -> None:
    told = loop.show("models.kind")
    assert told["task"] == "multiclass"
    assert told["classes"] == ["fern", "lichen, grey", "moss"]
    assert told["metrics"]["accuracy"]["low"] > 0.7 > told["baseline"]["accuracy"]
    assert sum(told["holdout"]["classes"].values()) == told["holdout"]["rows"]
    card = (root / told["card"]).read_text("utf-8") if told["card"] else ""
    assert "which of 3 classes" in card and "| lichen, grey |" in card


def test_whole_rows_are_answered_with_the_class_and_all_probabilities(client: Client) -> None:
    (answer,) = client.predict({"row": ROW})
    assert answer["value"] == "fern" and answer["probability"] is None
    assert set(answer["probabilities"]) == {"fern", "lichen, grey", "moss"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)
    assert max(answer["probabilities"], key=answer["probabilities"].get) == "fern"
    status, told = client.call("/v1/models/kind")
    assert (status, told["classes"]) == (200, ["fern", "lichen, grey", "moss"])
    assert sorted(told["row"]) == sorted(ROW)


@pytest.mark.parametrize(
    ("instance", "says"),
    [
        ({"key": "1"}, "these rows have no key"),
        ({"row": {**ROW, "sol": "clay"}}, "there is no 'sol' here"),
        ({"row": {"soil": "clay"}}, "the column 'leaf_cm' is missing"),
        ({"row": {**ROW, "height": "tall"}}, "'tall' is not a value of 'height'"),
    ],
)
def test_what_cannot_be_asked_is_told(client: Client, instance: Any, says: str) -> None:
    status, told = client.call("/v1/models/kind/predict", {"instances": [instance]})
    assert status == 400 and says in json.dumps(told)


def test_a_number_names_no_class(client: Client) -> None:
    status, told = client.call("/v1/outcomes", {"outcomes": [{"prediction_id": "x", "label": 1}]})
    assert status == 400
    assert told["error"]["allowed"] == ["fern", "lichen, grey", "moss"]


def test_what_turned_out_comes_back_and_is_judged(client: Client, root: Path, loop: Loop) -> None:
    write(root.parent / "later.csv", 130, begin=9000)
    with (root.parent / "later.csv").open(newline="", encoding="utf-8") as file:
        later = list(csv.DictReader(file))
    instances = [
        {"row": {"leaf_cm": float(r["leaf cm"]), "soil": None, "height": float(r["height"])}}
        for r in later
    ]
    answers = client.predict(*instances)
    right = sum(a["value"] == r["Kind"] for a, r in zip(answers, later, strict=True))
    told = [
        {"prediction_id": a["prediction_id"], "label": r["Kind"]}
        for a, r in zip(answers, later, strict=True)
    ]
    assert client.call("/v1/outcomes", {"outcomes": told}) == (200, {"taken": 130})
    assert not trouble(loop.run())
    rows = loop.query(
        "select p.answer, p.value, f.answer as truth from predictions.kind p "
        "join feedback.kind f using (prediction_id)"
    ).rows
    assert len(rows) == 130
    assert sum(row["answer"] == row["truth"] for row in rows) == right
    assert {row["value"] for row in rows} == {None}
    (service,) = loop.summary()["services"]
    assert service["labelled"] == 130 and service["metric"] == "log_loss"
    losses = [-math.log(a["probabilities"][r["Kind"]]) for a, r in zip(answers, later, strict=True)]
    assert service["live"]["value"] == pytest.approx(sum(losses) / 130)


def test_a_prediction_is_traced_to_its_model_and_file(
    client: Client, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = client.predict({"row": ROW})
    assert main(["why", f"predictions.kind:{answer['prediction_id']}", "-C", str(root)]) == 0
    said = capsys.readouterr().out
    assert "fern, asked at" in said
    assert "the features computed again equal the logged ones" in said


def test_a_newer_file_is_compared_as_a_multiset_and_no_row_changes_sides(
    root: Path, loop: Loop
) -> None:
    def sides(version: int) -> tuple[set[str], set[str]]:
        folder = root / ".lichen/dev/models/kind" / str(version)
        keys = json.loads((folder / "keys.json").read_text())
        return set(keys["search"]), set(keys["holdout"])

    write(root / "data" / "plants.csv", COUNT + 60)
    events = loop.run(now=wall())
    assert not trouble(events)
    landed = next(e.result for e in events if e.step.node == "sources.plants_csv")
    assert isinstance(landed, Done) and landed.facts["added"] == 60
    before, after = sides(1), sides(2)
    assert before[0] <= after[0] and before[1] <= after[1]
    assert not after[0] & after[1]
    assert len(after[0] | after[1]) == COUNT + 60
    service = loop.published()["services.kind"].facts
    assert service["considered"] == 2 and service["champion"] is not None
