"""A promotion publishes what was tried: the same files, equal to a build from nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from branches import Shop, content, current, stored

from lichen.adapters.delta import DeltaLake
from lichen.core.errors import LedgerError
from lichen.core.time import instant
from lichen.ports.lake import Lake
from lichen.targets.promotion import PromotionError, preview, promote

NOW = "2020-03-01"


@pytest.mark.parametrize("seed", range(2))
def test_what_is_promoted_equals_a_build_from_nothing(
    shop: Shop, tmp_path: Path, seed: int
) -> None:
    chance, day, fresh = random.Random(seed), 1, Shop(tmp_path / "fresh")
    shop.go("prod", NOW)
    fresh_days = [NOW]
    for landing in (2, 3):
        for _ in range(chance.randint(1, 2)):
            shop.define(factor := chance.randint(2, 9))
            if chance.random() < 0.7:
                shop.land(landing)
            day += 1
            shop.go("dev", f"2020-03-{day:02}")
        before = content(shop.folder("dev"))
        assert promote(shop.at("dev"), shop.at("prod")).changes
        assert content(shop.folder("dev")) == before
        prod = shop.at("prod")
        assert stored(prod) == stored(shop.at("dev"))
        assert prod.plan(now=instant(f"2020-03-{day:02}")) == ()
        assert promote(shop.at("dev"), prod).changes == ()
        fresh_days.append(f"2020-03-{day:02}")
    fresh.define(factor)
    for name in ("02", "03"):
        if (shop.root / f"feeds/sales/{name}.csv").exists():
            fresh.land(int(name))
    fresh.go("dev", fresh_days[-1])
    for node in ("sources.sales", "clean", "totals"):
        assert current(shop.at("prod"), node) == current(fresh.at("dev"), node)
    day += 1
    for other in (shop, fresh):  # and it goes on from there
        other.land(4)
    shop.go("prod", f"2020-03-{day:02}")
    fresh.go("dev", f"2020-03-{day:02}")
    assert current(shop.at("prod"), "totals") == current(fresh.at("dev"), "totals")


def test_nothing_is_copied_and_the_other_target_may_go(shop: Shop) -> None:
    shop.go("prod", NOW)
    shop.define(factor=2)
    shop.go("dev", "2020-03-02")
    assert promote(shop.at("dev"), shop.at("prod")).copied == 0
    files = [
        {p.relative_to(shop.folder(t)): p.stat().st_ino for p in shop.folder(t).rglob("*.parquet")}
        for t in ("dev", "prod")
    ]
    assert files[0] == files[1]
    before = stored(shop.at("prod"))
    shop.folder("dev").rename(shop.root / "gone")
    assert stored(shop.at("prod")) == before


def test_where_both_went_on_nothing_is_promoted(shop: Shop) -> None:
    shop.go("prod", NOW)
    shop.land(2)
    shop.go("prod", "2020-03-02")
    shop.define(factor=2)
    shop.go("dev", "2020-03-03")
    before = content(shop.folder("prod"))
    with pytest.raises(PromotionError, match=r"sources\.sales \(run 20200302T000000") as told:
        promote(shop.at("dev"), shop.at("prod"))
    assert "what prod holds would be lost" in str(told.value)
    assert "remove its folder" in str(told.value)
    assert content(shop.folder("prod")) == before
    # What the message says to do.
    shop.go("trial", "2020-03-03")
    found = promote(shop.at("trial"), shop.at("prod"))
    assert [change.node for change in found.changes] == ["tables.clean", "tables.totals"]
    assert stored(shop.at("prod")) == stored(shop.at("trial"))


def test_where_the_other_is_ahead_it_stays_and_catches_up(shop: Shop) -> None:
    shop.go("prod", NOW)
    shop.write("tables/big.sql", "/* key: id */\nselect id, amount from clean where amount > 5\n")
    shop.go("dev", NOW)
    shop.land(2)
    shop.at("prod").run("+totals", now=instant("2020-03-02"))
    found = promote(shop.at("dev"), shop.at("prod"))
    assert [change.node for change in found.changes] == ["tables.big"]
    assert sorted(found.ahead) == ["sources.sales", "tables.clean", "tables.totals"]
    (build, _) = shop.at("prod").plan(now=instant("2020-03-02"))
    assert (build.node, getattr(build, "replace", None)) == ("tables.big", False)
    shop.go("prod", "2020-03-02")
    shop.go("dev", "2020-03-02")
    assert current(shop.at("prod"), "big") == current(shop.at("dev"), "big")


class Dies(DeltaLake):
    """A lake whose process dies when it has followed so many tables."""

    left = 0

    def follow(self, table: str, other: Lake, version: int) -> int:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().follow(table, other, version)


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_promotion_that_dies_is_concluded_by_the_next_run(shop: Shop, left: int) -> None:
    shop.go("prod", NOW)
    before = stored(shop.at("prod"))
    shop.define(factor=3)
    shop.land(2)
    shop.go("dev", "2020-03-02")
    prod = shop.at("prod")
    prod._parts["lake"] = lake = Dies(prod.place.lake)
    lake.left = left
    with pytest.raises(KeyboardInterrupt):
        promote(shop.at("dev"), prod)
    assert stored(shop.at("prod")) == before
    with pytest.raises(PromotionError, match="died, and left"):
        preview(shop.at("dev"), shop.at("prod"))
    shop.at("prod").run(now=instant("2020-03-02"))
    assert shop.at("prod").plan(now=instant("2020-03-02")) == ()
    for node in ("sources.sales", "clean", "totals"):
        assert current(shop.at("prod"), node) == current(shop.at("dev"), node)
    shop.land(3)
    for target in ("dev", "prod"):
        shop.go(target, "2020-03-03")
    assert current(shop.at("prod"), "totals") == current(shop.at("dev"), "totals")


def test_it_needs_the_lease(shop: Shop) -> None:
    shop.go("prod", NOW)
    shop.define(factor=2)
    shop.go("dev", NOW)
    prod = shop.at("prod")
    prod.ledger.begin("busy", instant(NOW))
    with pytest.raises(LedgerError, match=r"another run \(busy, process \d+"):
        promote(shop.at("dev"), shop.at("prod"))
    prod.ledger.end("busy")
    assert promote(shop.at("dev"), shop.at("prod")).changes


def test_what_cannot_be_promoted(shop: Shop) -> None:
    with pytest.raises(PromotionError, match="to itself"):
        promote(shop.at("dev"), shop.at("dev"))
    shop.write("lichen.yml", "name: shop\ntargets:\n  new: {from: null}\n  other: {from: null}\n")
    with pytest.raises(PromotionError, match="nothing is published in new"):
        promote(shop.at("new"), shop.at("other"))
    found = promote(shop.at("dev"), shop.at("new"))  # it began empty: all of it is new there
    assert [change.was for change in found.changes] == [None, None, None]
    assert stored(shop.at("new")) == stored(shop.at("dev"))
