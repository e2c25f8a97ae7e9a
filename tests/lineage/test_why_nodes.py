"""What `why` says of nodes and rows: versions, training, files, and errors that help."""

from __future__ import annotations

from pathlib import Path

import market
import pytest
from market import SECOND
from market_world import World, the_market

from lichen.core.errors import LichenError
from lichen.core.pycode import code_fingerprint
from lichen.lineage.origin import Origin
from lichen.lineage.why import why
from lichen.loop import open_loop


@pytest.fixture
def world() -> World:
    return the_market()


def nodes(origin: Origin) -> set[tuple[str, int | None]]:
    return {(each.node, each.version) for each in origin.walk()}


@pytest.mark.parametrize("address", ["models.fined", "models.fined@1"])
def test_a_model_leads_to_its_pinned_tables_and_files(world: World, address: str) -> None:
    found = why(world.loop, address)
    assert nodes(found) == {
        ("models.fined", 1), ("outcomes.fined", None), ("features.stock", None),
        ("features.recent", None), ("features.region", None), ("features.order", None),
        ("tables.placed", 1), ("tables.stock", 1), ("tables.region_days", 1),
        ("sources.orders", 1), ("sources.shops", 1), ("sources.fines", 1), ("sources.counts", 1),
    }  # fmt: skip
    paths = {file["path"] for each in found.walk() for file in each.told.get("files", ())}
    assert paths == {
        "feeds/orders-1.csv", "feeds/orders-2.csv", "feeds/shops.csv", "feeds/counts-1.csv",
        "feeds/fines-1.csv",
    }  # fmt: skip
    told = found.as_json()
    assert told["trained_at"] == "2020-03-01T00:00:00Z"
    assert told["reason"] == "it was never trained"
    assert told["training"]["rows"] == told["read"]["rows"] > 40
    assert told["gate"][0]["decision"] == "promoted"
    assert told["definition_changed_since"] is False
    assert told["downstream"] == ["services.fined"]
    assert not any("rows" in each.told for each in found.walk()), "no rows at this level"


def test_a_table_tells_its_versions_inputs_and_readers(world: World) -> None:
    told = why(world.loop, "tables.placed").as_json()
    assert [each["version"] for each in told["versions"]] == [1, 2]
    assert {each["node"]: each["version"] for each in told["inputs"]} == {
        "sources.orders": 2, "sources.shops": 2,
    }  # fmt: skip
    orders = told["inputs"][0]
    assert [(f["path"], f["landed"]["sequence"]) for f in orders["files"]] == [
        ("feeds/orders-1.csv", 1), ("feeds/orders-1.csv", 2), ("feeds/orders-2.csv", 1),
        ("feeds/orders-3.csv", 2),
    ]  # fmt: skip
    assert orders["prepare"] == "prepare.py"
    root = world.loop.project.root
    assert orders["prepare_code"] == code_fingerprint(root / "prepare.py", root)
    assert "left join shops" in told["definition"]
    assert "models.fined" in told["downstream"]


def test_an_old_version_of_a_table_has_the_files_of_then(world: World) -> None:
    told = why(world.loop, "tables.placed@1").as_json()
    assert {f["landed"]["sequence"] for f in told["inputs"][0]["files"]} == {1}


def test_a_row_over_time_with_the_lines_of_each_version(world: World) -> None:
    found = why(world.loop, "tables.placed:o30")
    seen = [
        (
            version.told["rows"][0]["known_at"],
            version.told["rows"][0]["values"]["amount"],
            sorted(row["values"]["tag"] for part in version.inputs for row in part.told["rows"]),
        )
        for version in found.inputs
    ]
    old = world.landings[0][1]["orders-1.csv"][30]
    assert seen == [
        (old["ordered_at"], float(old["amount"]), ["orders-1.csv:32:1", "shops.csv:2:1"]),
        ("2020-03-10T00:00:00Z", 999.0, ["orders-1.csv:32:2", "shops.csv:2:1"]),
    ]


def test_an_aggregate_row_names_the_rows_of_each_build(world: World) -> None:
    found = why(world.loop, "tables.region_days:north,2020-02-04 00:00:00+00")
    (first, second) = found.inputs
    rows = [
        sorted(
            row["values"]["tag"]
            for each in version.walk()
            if each.node == "sources.orders"
            for row in each.told["rows"]
        )
        for version in (first, second)
    ]
    days = {day.known: day for day in world.oracle(2)._days() if day.key[0] == "north"
            and f"{day.key[1]:%Y-%m-%d}" == "2020-02-04"}  # fmt: skip
    expected = [
        sorted(line.tag for line in day.lines if "orders" in line.file)
        for _, day in sorted(days.items())
    ]
    assert rows == expected
    assert rows[0] != rows[1]
    assert first.inputs[0].version == 1
    assert second.inputs[0].version == 2


def test_a_source_row_stands_in_its_file(world: World) -> None:
    (version,) = why(world.loop, "sources.counts:c3").inputs
    (row,) = version.told["rows"]
    assert (row["file"], row["line"]) == ("feeds/counts-1.csv", 5)


def test_a_service_leads_to_its_model(world: World) -> None:
    found = why(world.loop, "services.fined")
    assert found.told["decision"] == "promoted"
    assert [each.node for each in found.inputs] == ["models.fined"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tables.placd", "did you mean 'tables.placed'"),
        ("tables.placed.regio", "did you mean 'region'"),
        ("features.recent.mean_2", "did you mean 'mean_2d'"),
        ("models.fined@7", "models.fined has no version 7"),
        ("models.fined.auc", "has no columns"),
        ("tables.placed:nobody", "holds no row with the key 'nobody'"),
        ("features.stock:a", "stores no rows"),
        ("tables.placed@x", "they are numbers"),
        ("tables.placed.region@1", "asks two things at once"),
        ("tables.placed.region.x", "does not read"),
        ("tables.", "does not read"),
        ("tables.placed:", "does not read"),
    ],
)
def test_what_does_not_exist_is_refused(world: World, address: str, message: str) -> None:
    with pytest.raises(LichenError) as error:
        why(world.loop, address)
    assert message in str(error.value)


def test_nothing_has_come_from_anything_before_a_run(tmp_path: Path) -> None:
    loop = market.make(tmp_path).loop
    with pytest.raises(LichenError, match="nothing ever ran here"):
        why(loop, "tables.placed")
    assert why(loop, "tables.placed.region").inputs[0].node == "sources.shops"
    assert not (tmp_path / ".lichen").exists(), "a question writes nothing"


def test_a_node_without_a_version_says_so(world: World) -> None:
    path = world.market.root / "tables/fresh.sql"
    path.write_text("select shop from shops\n")
    try:
        with pytest.raises(LichenError, match=r"tables\.fresh has no version yet"):
            why(open_loop(world.market.root), "tables.fresh")
    finally:
        path.unlink()


def test_asking_changes_nothing(world: World) -> None:
    before = world.loop.ledger.state()
    why(world.loop, "predictions.fined:late-o30-0310")
    assert world.loop.ledger.state() == before
    assert before.clock == SECOND
