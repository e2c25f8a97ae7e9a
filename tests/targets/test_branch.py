"""A target begins as a branch that copies nothing; afterwards neither sees what the other does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from branches import Shop, content, current, stored

from lichen.core.errors import LedgerError
from lichen.core.time import instant

NOW, LATER = "2020-03-01", "2020-03-05"


def test_a_branch_holds_what_was_published_over_the_same_files(shop: Shop) -> None:
    before = stored(shop.at("dev"))
    assert before["quarantine.sources_sales"]
    assert shop.go("prod", NOW) == ()
    assert stored(shop.at("prod")) == before
    lakes = [shop.folder(target) / "lake" for target in ("dev", "prod")]
    inodes = [
        {p.relative_to(lake): p.stat().st_ino for p in lake.rglob("*") if p.is_file()}
        for lake in lakes
    ]
    assert inodes[0] == inodes[1]
    assert len(inodes[0]) >= 8


def test_what_a_branch_adds_to_the_disk_does_not_grow_with_the_data(tmp_path: Path) -> None:
    added = []
    for rows in (100, 20_000):
        shop = Shop(tmp_path / str(rows))
        shop.land(1, rows)
        shop.go("dev", NOW)
        alone = _used(shop.folder("dev"))
        shop.go("prod", NOW)
        added.append(_used(shop.root / ".lichen") - alone)
        assert alone > rows  # a byte a row, at the very least
    assert abs(added[1] - added[0]) < 20_000, added


def _used(folder: Path) -> int:
    """Bytes in files, each counted once however many names it has."""
    stats = {s.st_ino: s.st_size for p in folder.rglob("*") if p.is_file() for s in [p.stat()]}
    return sum(stats.values())


def test_a_target_that_has_not_begun_is_read_and_planned_without_a_trace(shop: Shop) -> None:
    shop.land(2)
    loop = shop.at("prod")
    plan = loop.plan(now=instant(LATER))
    assert [step.node for step in plan] == [
        "sources.sales", "tables.clean", "tables.totals", "publication",
    ]  # fmt: skip
    assert current(loop, "totals") == current(shop.at("dev"), "totals")
    assert loop.show("tables.totals")["version"] == 1
    with pytest.raises(LedgerError, match="belongs to another target"):
        loop.ledger.begin("run", instant(LATER))
    assert not shop.folder("prod").exists()
    begun = shop.at("prod")
    begun.begin()
    assert begun.state() == loop.state()
    assert begun.plan(now=instant(LATER)) == plan


def test_parent_and_branch_go_on_apart(shop: Shop) -> None:
    shop.go("prod", NOW)
    dev, prod = content(shop.folder("dev")), content(shop.folder("prod"))
    shop.define(factor=2)
    shop.land(2)
    shop.go("prod", LATER)
    assert content(shop.folder("dev")) == dev
    assert content(shop.folder("prod")) != prod
    prod = content(shop.folder("prod"))
    shop.define(factor=3)
    shop.go("dev", "2020-03-06")
    assert content(shop.folder("prod")) == prod
    totals = {t: current(shop.at(t), "totals") for t in ("dev", "prod")}
    assert totals["dev"][0]["total"] * 2 == totals["prod"][0]["total"] * 3


def test_what_the_parent_has_not_published_is_not_in_the_branch(shop: Shop) -> None:
    before, state = stored(shop.at("dev")), shop.at("dev").state()
    shop.land(2)

    class Died(BaseException):
        pass

    def die(event: object) -> None:
        step, result = getattr(event, "step", None), getattr(event, "result", None)
        if result is not None and getattr(step, "node", "") == "sources.sales":
            raise Died

    with pytest.raises(Died):
        shop.at("dev").run(now=instant(LATER), report=die)
    assert shop.at("dev").state().done["sources.sales"].sequence == 2
    unbegun = shop.at("prod").state()
    shop.at("prod").begin()
    prod = shop.at("prod")
    assert stored(prod) == before
    assert prod.state() == unbegun
    assert prod.state().files == state.files
    assert prod.state().clock == instant(NOW)
    shop.go("prod", LATER)
    shop.go("dev", LATER)
    assert stored(shop.at("prod")) == stored(shop.at("dev"))


def test_a_removed_parent_is_not_missed(shop: Shop) -> None:
    shop.go("prod", NOW)
    before = stored(shop.at("prod"))
    shop.folder("dev").rename(shop.root / "gone")
    for path in (shop.root / "gone").rglob("*.parquet"):
        path.unlink()
    assert stored(shop.at("prod")) == before
    shop.land(2)
    shop.go("prod", LATER)


def test_a_branch_of_a_branch_and_one_that_begins_empty(shop: Shop) -> None:
    assert stored(shop.at("trial")) == stored(shop.at("dev"))  # prod never ran either
    shop.go("trial", NOW)
    assert not shop.folder("prod").exists()
    shop.write("lichen.yml", "name: shop\ntargets:\n  alone: {from: null}\n")
    assert shop.at("alone").published() == {}
    assert len(shop.go("alone", NOW)) == 4


def test_the_past_is_looked_at_in_a_branch(shop: Shop) -> None:
    then = current(shop.at("dev"), "totals")
    shop.land(2)
    shop.go("dev", "2020-04-01")
    now = current(shop.at("dev"), "totals")
    with pytest.raises(LedgerError, match="look back in a branch"):
        shop.at("dev").run(now=instant(LATER))
    assert shop.at("prod").plan(now=instant("2020-04-02")) == ()
    (shop.root / "feeds/sales/02.csv").unlink()  # what had not arrived by then
    assert shop.at("prod").plan(now=instant(LATER)) == ()
    shop.define(factor=10)
    shop.go("prod", LATER)
    (prod, dev) = (current(shop.at(target), "totals") for target in ("prod", "dev"))
    assert dev == now != then
    assert [row["total"] for row in prod] == [row["total"] * 10 for row in then]


def test_over_two_file_systems_the_files_are_copied_once(shop: Shop) -> None:
    other = Path("/dev/shm")  # noqa: S108 - in memory: always another one
    if not other.is_dir() or other.stat().st_dev == shop.root.stat().st_dev:
        pytest.skip("there is no second file system here")
    lake = other / f"lichen-{os.getpid()}"
    shop.write("lichen.yml", f"name: shop\ntargets:\n  prod: {{lake: {lake}}}\n")
    try:
        before = stored(shop.at("dev"))
        shop.land(2)
        shop.go("prod", LATER)
        shop.go("dev", LATER)
        assert stored(shop.at("prod")) == stored(shop.at("dev")) != before
        assert {p.name for p in lake.rglob("*.parquet")} > {
            path.name for path in shop.at("dev").lake.files("tables.clean", 0)
        }
        assert not list(lake.rglob("*.draft"))
    finally:
        for path in sorted(lake.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        lake.rmdir()
