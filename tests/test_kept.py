"""A project that was read before is the same project, and any change to its files is noticed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lichen.core.errors import LichenError
from lichen.core.names import Kind, Name
from lichen.core.time import instant
from lichen.declared import Project
from lichen.kept import Nodes, keep, open_project
from lichen.project import read_project
from lichen.testing.project import SmallProject

NOW = instant("2020-06-01")
SALES = {"id": "bigint", "at": "timestamptz", "shop": "varchar", "amount": "double"}
FILES = {
    "tables/sales.sql": "/* key: id */\nselect * from sources.sales where amount < 500\n",
    "tables/by_shop.sql": "select shop, sum(amount) as total from tables.sales group by shop\n",
    "features/recent.sql": "/*\nentity: shop\nevent_time: at\n*/\n"
    "select amount from tables.sales\n",
    "features/ask.sql": "/*\nat: request\n*/\nselect length(shop) as n from request\n",
    "outcomes/big.sql": "/*\nkey: id\nentities: [shop]\npredict_at: at\nlabel: amount > 50\n"
    "known_at: at + interval 1 day\n*/\nselect id, shop, at, amount from tables.sales\n",
    "models/big.py": "from lichen import auto, model\nfrom odds import BUDGET\n\n\n"
    '@model(target="big", metric="roc_auc", holdout=0.2)\n'
    "def big(recent, ask):\n    return auto(budget=BUDGET)\n",
    "odds.py": 'BUDGET = "5s"\n',
    "services/big.yml": "model: big\n",
}


@pytest.fixture
def small(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    small.source("sales", SALES, "key: id\nknown_at: at\nbackfill_until: 2020-06-01\n")
    for path, text in FILES.items():
        small.write(path, text)
    keep(open_project(small.root))
    return small


def is_kept(project: Project) -> bool:
    return isinstance(project.nodes, Nodes)


def test_a_kept_project_is_the_one_that_is_read(small: SmallProject) -> None:
    kept, whole = open_project(small.root), read_project(small.root)
    assert is_kept(kept)
    for part in ("root", "name", "targets", "reads", "refers", "rules", "prints", "columns"):
        assert getattr(kept, part) == getattr(whole, part), part
    assert list(kept.nodes) == list(whole.nodes)
    for name in reversed(list(whole.nodes)):  # whoever is asked for first
        assert repr(kept.nodes[name]) == repr(whole.nodes[name])


def rewrite(path: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text().replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        rewrite("lichen.yml", "small", "large"),
        rewrite("tables/sales.sql", "500", "600"),
        rewrite("sources/sales.odcs.yaml", "amount", "price"),
        rewrite("models/big.py", "0.2", "0.3"),
        rewrite("odds.py", "5s", "6s"),
        lambda root: (root / "tables/more.sql").write_text("select id from tables.sales"),
        lambda root: (root / "tables/by_shop.sql").unlink(),
        lambda root: (root / "tables/by_shop.sql").rename(root / "tables/shops.sql"),
        lambda root: (root / ".lichen/project.json").write_text("{"),
        lambda root: (root / ".lichen/project.json").write_text('{"digest": ""}'),
    ],
)
def test_any_change_is_read(small: SmallProject, change: Callable[[Path], object]) -> None:
    change(small.root)
    try:
        whole = read_project(small.root)
    except LichenError as error:
        with pytest.raises(type(error)):
            open_project(small.root)
        return
    seen = open_project(small.root)
    assert not is_kept(seen)
    assert (seen.name, seen.prints) == (whole.name, whole.prints)


def test_a_mistake_is_told_every_time(small: SmallProject) -> None:
    small.write("tables/by_shop.sql", "select nothing from tables.sales")
    for _ in range(2):
        with pytest.raises(LichenError, match="no column 'nothing'"):
            open_project(small.root)


def test_what_changed_while_it_was_read_is_not_kept(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("sales", SALES)
    read = open_project(small.root)
    small.write("tables/t.sql", "select id from sales")
    keep(read)
    assert not is_kept(open_project(small.root))


def test_a_run_keeps_and_a_plan_does_not(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("sales", SALES, "key: id\nknown_at: at\n")
    small.loop().plan(now=NOW)
    assert not (small.root / ".lichen").exists()
    small.loop().run(now=NOW)
    assert is_kept(small.loop().project)


def test_a_folder_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("sales", SALES)
    small.write(".lichen", "a file where the folder would be")
    keep(open_project(small.root))
    assert Name(Kind.source, "sales") in open_project(small.root).nodes


def test_a_plan_of_what_is_done_loads_neither_engine_nor_orm(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    small.source("sales", SALES, "key: id\nknown_at: at\n")
    small.csv("feeds/sales/a.csv", "id,at,shop,amount", [(1, "2020-01-01", "a", 2)])
    small.write("tables/t.sql", "select id from sales")
    small.loop().run(now=NOW)
    plan = f"main(['plan', '-C', {str(small.root)!r}, '--now', '2020-06-01'])"
    heavy = ("duckdb", "sqlalchemy", "numpy", "deltalake", "sqlglot.optimizer.qualify")
    look = f"from lichen.cli import main; import sys; {plan}; print([m for m in {heavy} if m in sys.modules])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["nothing to do as of 2020-06-01T00:00:00Z", "[]"]
