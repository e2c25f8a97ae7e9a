"""Models and services in branches: trained in one target, served in the other after promotion."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import depot
import pytest
from depot_service import instance

from lichen.cli import main
from lichen.core.steps import Done
from lichen.desk import Desk
from lichen.loop import Loop, open_loop
from lichen.targets.promotion import PromotionError, promote

TARGETS = "name: depot\ntargets:\n  dev: {engine: {threads: 2}}\n  prod: {engine: {threads: 2}}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("depot") / "depot"
    depot.write_project(root)
    (root / "lichen.yml").write_text(TARGETS)
    run(open_loop(root))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "depot"))


def run(loop: Loop, *nodes: str) -> None:
    events = loop.run(*nodes, now=loop.state().clock or depot.NOW)
    assert all(isinstance(event.result, Done) for event in events), events


def asked(loop: Loop) -> list[tuple[Any, ...]]:
    """Ask the service about some parcels; returns what it answers, and by which version."""
    desk = Desk(loop)
    begin = depot.NOW - timedelta(days=2)
    instances = [instance(parcel) for parcel in depot.parcels(begin, depot.NOW)[:5]]
    answers = desk.predict("late", json.dumps({"instances": instances}).encode())
    desk.close()
    return [(a.key, a.model_version, a.probability) for a in answers]  # type: ignore[union-attr]


def change(root: Path) -> None:
    path = root / "models/late.py"
    path.write_text(path.read_text().replace('holdout="7 days"', 'holdout="6 days"'))


def test_a_model_is_tried_in_one_target_and_served_in_the_other(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = asked(open_loop(root, "prod"))  # serving begins the branch
    assert {version for _, version, _ in before} == {1}
    assert before == asked(open_loop(root))
    run(open_loop(root, "prod"))  # each drains what it was asked itself
    change(root)
    run(open_loop(root))
    dev = asked(open_loop(root))
    assert {version for _, version, _ in dev} == {2}
    assert dev != [(key, 2, p) for key, _, p in before]
    run(open_loop(root))

    assert main(["diff", "dev", "prod", "-C", str(root)]) == 0
    text = capsys.readouterr().out
    assert "changed, or that of what it reads" in text
    assert "roc_auc" in text
    assert main(["promote", "dev", "prod", "--json", "-C", str(root)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(c["node"], c["was"], c["becomes"]) for c in told["changes"]] == [
        ("models.late", 1, 2),
        ("services.late", 1, 2),
    ]
    assert told["own"] == ["predictions.late"]
    assert told["copied_bytes"] == 0

    prod = open_loop(root, "prod")
    assert not prod.plan(now=prod.state().clock)
    assert asked(prod) == dev
    files = [sorted((root / ".lichen" / t / "models/late/2").iterdir()) for t in ("dev", "prod")]
    assert all(a.samefile(b) for a, b in zip(*files, strict=True))
    assert main(["why", "models.late", "--target", "prod", "-C", str(root), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)["snapshot"]
    pins = prod.published()
    assert {n: told["record"] for n, told in read.items()} == {n: pins[n].id for n in read}
    said = [
        open_loop(root, target).query("select count(*) as n from predictions.late").rows[0]["n"]
        for target in ("dev", "prod")
    ]
    assert said == [10, 5]


def test_a_model_that_learned_from_what_only_one_target_was_told_is_not_promoted(
    root: Path,
) -> None:
    run(open_loop(root, "prod"))
    desk = Desk(open_loop(root))
    outcomes = [{"key": "nobody", "label": 1, "known_at": "2020-01-30T00:00:00Z"}]
    desk.tell(json.dumps({"outcomes": outcomes}).encode())
    desk.close()
    run(open_loop(root))
    change(root)
    run(open_loop(root))
    with pytest.raises(PromotionError, match=r"trained with feedback\.late of run .* only dev"):
        promote(open_loop(root), open_loop(root, "prod"))
    assert not open_loop(root, "prod").state().open
