"""`import lichen` and what a project's files call load no engine, a kept plan no SQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lichen
from lichen.core.errors import LichenError
from lichen.testing.project import SmallProject

HEAVY = ("numpy", "pandas", "sklearn", "lightgbm", "optuna", "skops", "scipy", "duckdb")


@pytest.mark.parametrize(
    "code",
    [
        "import lichen",
        "import lichen; lichen.model(target='late', metric='rmse')(lambda weather: lichen.auto())",
        "import lichen.stages.models.policy, lichen.stages.models.metric, lichen.ports.learner",
    ],
)
def test_no_engine_is_loaded(code: str) -> None:
    look = f"{code}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SALES = {"id": "bigint", "at": "timestamptz", "shop": "varchar", "amount": "double"}
KEPT = {
    "tables/large.sql": "/* key: id */\nselect * from sales where amount > 5\n",
    "features/recent.sql": "/*\nentity: shop\nevent_time: at\n*/\nselect amount from large\n",
    "outcomes/late.sql": "/*\nkey: id\nentities: [shop]\npredict_at: at\nlabel: amount > 50\n*/\n"
    "select id, shop, at, amount from large\n",
    "models/late.py": "from lichen import auto, model\n\n\n"
    '@model(target="late", metric="roc_auc", holdout="1 day")\n'
    "def late(recent):\n    return auto()\n",
    "services/late.yml": "model: late\n",
}
PLAN = """
import sys
from lichen.cli import main
code = main(["plan", "-C", sys.argv[1], "--now", "2020-06-01"])
print(code, sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_plan_of_a_project_that_is_kept_reads_no_sql(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("sales", SALES, "key: id\nknown_at: at\nbackfill_until: 2020-06-01\n")
    for path, text in KEPT.items():
        small.write(path, text)
    small.write("feeds/sales/1.csv", "id,at,shop,amount\n1,2020-05-01T00:00:00Z,north,70\n")
    small.run("2020-06-01", "+large")

    def planned() -> str:
        words = [sys.executable, "-c", PLAN, str(small.root)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    said, loaded = planned().rsplit("\n0 ", 1)
    assert "models.late" in said
    assert "tables.large" not in said
    assert "msgspec" in loaded  # what is looked at is what the verb loaded
    assert not [m for m in (*HEAVY, "sqlglot", "deltalake", "arro3") if f"'{m}'" in loaded]
    (small.root / "tables/large.sql").write_text("select * from sales")
    assert "'sqlglot'" in planned()  # what changed is read again


def test_the_decorator_only_records() -> None:
    @lichen.model(target="late", metric="roc_auc", holdout="30 days", slices=["carrier"])
    def late(schedule: object) -> object:
        raise AssertionError("it must not be called")

    settings = late.__lichen_model__  # type: ignore[attr-defined]
    assert settings["target"] == "late"
    assert settings["holdout"] == "30 days"
    assert settings["slices"] == ["carrier"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'atuo'"):
        _ = lichen.atuo


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"candidates": ["lightgmb"]}, "did you mean 'lightgbm'"),
        ({"candidates": []}, "at least one candidate"),
        ({"budget": "0s"}, "leaves no time"),
        ({"budget": "soon"}, "not a duration"),
        ({"trials": 0}, "0 trials"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(LichenError, match=says):
        lichen.auto(**settings)  # type: ignore[arg-type]
