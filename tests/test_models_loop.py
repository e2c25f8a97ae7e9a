"""Models of every kind, really trained by the loop, judged, put to the gate and served."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lichen.core.steps import Done, Failed, Promote, Train
from lichen.core.time import instant, iso
from lichen.loop import Event
from lichen.testing.project import SmallProject

NOW, LATER = "2020-06-01", "2020-06-02"
COUNT, DAYS = 2000, 150
HEAD = "from lichen import auto, model\n"
OWN = """from lichen import model
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


"""
DECORATED = '@model(target="{target}", metric="{metric}", holdout="30 days"{more})\n'
MODELS = {
    "amount": ("amount", "rmse", "make_pipeline(SimpleImputer(), Ridge())"),
    "forest": (
        "big", "roc_auc",
        "make_pipeline(SimpleImputer(), RandomForestClassifier(20, max_depth=4, random_state=1))",
    ),
    "found": ("big", "roc_auc", 'auto(budget="5s", trials=2)'),
    "broken": ("big", "roc_auc", 'make_pipeline(*numbers["none"])'),
    "unsafe": (
        "big", "roc_auc",
        "make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression())",
    ),
}  # fmt: skip


def model(name: str, *, recipe: str = "", more: str = "") -> str:
    target, metric, usual = MODELS[name]
    head = OWN if "make_pipeline" in usual else HEAD
    decorated = DECORATED.format(target=target, metric=metric, more=more)
    return f"{head}{decorated}def {name}(request_row, seen):\n    return {recipe or usual}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """2,000 sales; what they come to is known three days later."""
    small = SmallProject(tmp_path_factory.mktemp("models"))
    known = f"key: id\nbackfill_until: {NOW}\n"
    asks = {"id": "bigint", "at": "timestamptz", "shop": "varchar", "size": "double"}
    small.source("asks", asks, f"known_at: at - interval 1 day\n{known}")
    truth = {"id": "bigint", "amount": "double", "told_at": "timestamptz"}
    small.source("truth", truth, f"known_at: told_at\n{known}")
    for name, label in (("amount", "amount"), ("big", "amount > 5")):
        small.write(
            f"outcomes/{name}.sql",
            "/*\nkey: id\nentities: [shop]\npredict_at: at\nknown_at: told_at\n"
            f"label: {label}\n*/\n"
            "select q.*, t.amount, t.told_at from asks q left join truth t using (id)",
        )
    small.write("features/request_row.sql", "/*\nat: request\n*/\nselect size from request")
    small.write(
        "features/seen.sql",
        "/*\nentity: shop\nevent_time: told_at\nknown_at: told_at\nwindow: [20 days]\n*/\n"
        "select avg(amount) as mean from told",
    )
    small.write(
        "tables/told.sql",
        "/* key: id */ select q.id, q.shop, t.amount, t.told_at\n"
        "from truth t join asks q using (id)",
    )
    for name in MODELS:
        small.write(f"models/{name}.py", model(name))
    small.write("services/forest.yml", "model: forest\n")
    chance, start = random.Random(7), instant(NOW) - timedelta(days=DAYS)
    times = [start + timedelta(minutes=i * DAYS * 1440 / COUNT) for i in range(COUNT)]
    shops = [chance.choice("abcd") for _ in times]
    sizes = [chance.gauss(0, 1) for _ in times]
    amounts = [
        3 * size + 2 * "abcd".index(shop) + chance.gauss(0, 2)
        for size, shop in zip(sizes, shops, strict=True)
    ]
    small.csv(
        "feeds/asks/a.csv", ",".join(asks),
        [(i, iso(times[i]), shops[i], "" if i % 9 == 0 else sizes[i]) for i in range(COUNT)],
    )  # fmt: skip
    told = [(i, amounts[i], iso(times[i] + timedelta(days=3))) for i in range(COUNT)]
    small.csv("feeds/truth/a.csv", ",".join(truth), told)
    return small


@pytest.fixture(scope="module")
def events(project: SmallProject) -> tuple[Event, ...]:
    return project.run(NOW)


def result(events: Sequence[Event], node: str) -> Any:
    (found,) = (e.result for e in events if e.step.node == node and e.result is not None)
    return found


def folder(project: SmallProject, name: str, version: int = 1) -> Path:
    return project.root / ".lichen/dev/models" / name / str(version)


TRAINED = ["amount", "forest", "found"]


@pytest.mark.parametrize(
    ("name", "metric", "low", "high"),
    [
        ("amount", "rmse", 1.9, 3.5),
        ("forest", "roc_auc", 0.8, 0.95),
        ("found", "roc_auc", 0.8, 0.95),
    ],
)
def test_a_model_is_trained_and_judged(
    project: SmallProject,
    events: tuple[Event, ...],
    name: str,
    metric: str,
    low: float,
    high: float,
) -> None:
    found = result(events, f"models.{name}")
    assert isinstance(found, Done), found
    told = found.facts["metrics"][metric]
    assert low < told["low"] < told["value"] < told["high"] < high
    card = (folder(project, name) / "card.md").read_text()
    assert f"{told['value']:.3f}" in card or f"{told['value']:.4f}" in card
    baseline = found.facts["baseline"][metric]
    better = (told["value"] - baseline) * (-1 if metric == "rmse" else 1)
    assert better > 0.2


@pytest.mark.parametrize("name", TRAINED)
def test_the_search_never_reads_the_holdout(
    project: SmallProject, events: tuple[Event, ...], name: str
) -> None:
    facts = result(events, f"models.{name}").facts
    keys = msgspec.json.decode((folder(project, name) / "keys.json").read_bytes())
    search, held_out = keys["search"], keys["holdout"]
    assert set(search) & set(held_out) == set()
    for told, read in ((facts["read"], search), (facts["held_out"], held_out)):
        lines = "\n".join(f"{len(key)}:{key}" for key in read)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        assert (told["rows"], told["sha256"]) == (len(read), digest)
    # Every key by hand: what is later than the cutoff is held out, and what was not yet known at
    # the cutoff (or now) was not read.
    cutoff, every = instant(NOW) - timedelta(days=30), range(COUNT)
    at = {str(i): instant(NOW) - timedelta(days=DAYS * (1 - i / COUNT)) for i in every}
    told_by = {key: moment + timedelta(days=3) for key, moment in at.items()}
    assert set(held_out) == {
        k for k in at if at[k] >= cutoff and told_by[k] <= instant(NOW)
    }  # fmt: skip
    assert set(search) == {k for k in at if at[k] < cutoff and told_by[k] <= cutoff}
    assert len(search) > 1400
    assert facts["holdout_begins"] == iso(cutoff)


def test_what_was_stored_is_what_the_ledger_says(
    project: SmallProject, events: tuple[Event, ...]
) -> None:
    for name in TRAINED:
        facts = result(events, f"models.{name}").facts
        manifest = folder(project, name) / "model.json"
        assert hashlib.sha256(manifest.read_bytes()).hexdigest() == facts["sha256"]
        for file, sha256 in json.loads(manifest.read_text())["files"].items():
            content = (folder(project, name) / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha256
        assert not list(folder(project, name).rglob("*.pkl"))


def test_a_model_file_that_raises_fails_alone_with_its_line(
    project: SmallProject, events: tuple[Event, ...]
) -> None:
    found = result(events, "models.broken")
    assert isinstance(found, Failed)
    assert found.error.startswith(f"{project.root / 'models/broken.py'}:11: ")
    assert "NameError: name 'numbers' is not defined" in found.error
    assert "Traceback" not in found.error


def test_an_estimator_that_could_not_be_stored_safely_is_refused(
    project: SmallProject, events: tuple[Event, ...]
) -> None:
    found = result(events, "models.unsafe")
    assert isinstance(found, Failed)
    assert "Pipeline" in found.error
    assert "Traceback" not in found.error
    assert not folder(project, "unsafe").exists()


def serving(project: SmallProject) -> tuple[str, int]:
    facts = project.loop().published()["services.forest"].facts
    return facts["decision"], facts["serving"]["version"]


def test_the_gate_keeps_the_champion_against_a_worse_model_and_lets_an_equal_one_pass(
    project: SmallProject, events: tuple[Event, ...]
) -> None:
    assert serving(project) == ("promoted", 1)
    broken = (project.root / "models/broken.py", project.root / "models/unsafe.py")
    for path in broken:
        path.unlink()
    stump = MODELS["forest"][2].replace("20, max_depth=4", "1, max_depth=1")
    other = MODELS["forest"][2].replace("20", "21")
    told = []
    for recipe, more in ((stump, ""), (stump, ", margin=0.5"), (other, ", margin=0.01")):
        project.write("models/forest.py", model("forest", recipe=recipe, more=more))
        steps = [e.step for e in project.run(LATER) if e.result is not None]
        kinds = [type(s).__name__ for s in steps if isinstance(s, Train | Promote)]
        told.append((kinds, *serving(project)))
    assert told == [
        (["Train", "Promote"], "kept", 1),
        ([], "kept", 1),  # a margin is the gate's affair: it says nothing about the model
        (["Train", "Promote"], "promoted", 3),
    ]
    facts = project.loop().published()["services.forest"].facts
    assert facts["champion"] is not None
    assert facts["challenger"] >= facts["champion"] - 0.01
