"""Files that others made: a project of each, from `init` to the answer about a whole row."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path

import pytest

from lichen.cli import main
from lichen.core.steps import Done
from lichen.loop import open_loop

DATA = Path(__file__).parents[3] / "shared" / "data"  # beside the repository, and not part of it
ROWS = 1_000


@pytest.mark.parametrize(
    ("name", "share", "some"),
    [
        ("adult", 0.25, {"age": 39, "workclass": "Private", "hours_per_week": 40}),
        ("german_credit", 0.3, {"duration": 24, "purpose": "A43", "credit_amount": 1258}),
    ],
)
def test_a_whole_row_is_predicted(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    share: float,
    some: dict[str, object],
) -> None:
    file = DATA / f"{name}.csv"
    if not file.is_file():
        pytest.skip(f"../shared/data/{name}.csv is not beside the repository")
    part, root = tmp_path / f"{name}.csv", tmp_path / "made"
    with file.open(encoding="utf-8") as whole:
        part.write_text("".join(itertools.islice(whole, ROWS + 1)), "utf-8")
    assert main(["init", str(root), "--from", str(part), "--predict", "target"]) == 0
    model = root / "models/target.py"
    quick = re.sub(r"auto\(.*?\)", 'auto(budget="20s", trials=1)', model.read_text("utf-8"))
    model.write_text(quick, "utf-8")
    loop = open_loop(root)
    assert all(isinstance(event.result, Done) for event in loop.run())
    told = loop.show("models.target")
    assert told["training"]["rows"] + told["holdout"]["rows"] == ROWS
    assert told["metrics"]["roc_auc"]["value"] > 0.65
    assert told["baseline"]["accuracy"] == pytest.approx(1 - share, abs=0.1)
    with part.open(newline="", encoding="utf-8") as rows:
        first = next(csv.DictReader(rows))
    row = {c: float(v) if v.isdigit() else v for c, v in first.items() if c != "target"} | some
    capsys.readouterr()
    command = ["predict", "target", "--row", json.dumps(row), "-C", str(root), "--json"]
    assert main(command) == 0
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert answer["value"] in (0, 1) and answer["model_version"] == 1
    assert 0 < answer["probability"] < 1
