"""`init --from-dbt` reads a manifest: models, sources, seeds and tests; the rest is listed.

The manifest in `dbt/target` was written by hand after the documented schema v12, with only the keys
that dbt writes for such nodes; dbt itself is not installed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lichen.cli import main
from lichen.core.steps import Done
from lichen.core.time import instant
from lichen.loop import open_loop
from lichen.project import read_project

GIVEN = Path(__file__).parent / "dbt"
Told = Callable[..., Any]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A dbt project of one's own."""
    return Path(shutil.copytree(GIVEN, tmp_path / "shop"))


@pytest.fixture
def made(shop: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """Make a project of it; returns what is told with --json."""

    def make() -> dict[str, Any]:
        place = str(shop.parent / "made")
        assert main(["init", place, "--from-dbt", str(shop), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return make


def change(shop: Path, id_: str, **keys: Any) -> None:
    """Change a node of the manifest."""
    path = shop / "target/manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["nodes"][id_] |= keys
    path.write_text(json.dumps(manifest), "utf-8")


def test_what_is_taken_over_reads(shop: Path, made: Callable[[], dict[str, Any]]) -> None:
    made()
    project = read_project(shop.parent / "made")
    assert sorted(map(str, project.nodes)) == [
        "sources.countries", "sources.customers", "sources.orders", "tables.customer_orders",
        "tables.new_orders", "tables.stg_customers", "tables.stg_orders",
    ]  # fmt: skip
    reads = {str(k): sorted(map(str, v)) for k, v in project.reads.items() if v}
    assert reads == {
        "tables.stg_customers": ["sources.customers"],
        "tables.stg_orders": ["sources.orders"],
        "tables.customer_orders": ["tables.stg_customers", "tables.stg_orders"],
        "tables.new_orders": ["tables.stg_orders"],
    }


def test_what_is_left_out_is_listed_with_the_reason(made: Callable[[], dict[str, Any]]) -> None:
    left = made()["left_out"]
    assert {id_: why.split(":")[0] for id_, why in left.items()} == {
        "model.shop.pivoted": "{% for s in ['paid', 'open'] %} needs dbt",
        "model.shop.after_pivot": "it reads pivoted, which was left out",
        "model.shop.scored": "a model in Python",
        "config.shop.new_orders.incremental": "what is new is found by Lichen itself",
        "snapshot.shop.orders_snapshot": "every version of a row is kept anyway",
        "exposure.shop.dashboard": "Lichen has no such noun",
        "macro.shop.cents_to_euro": "macros are resolved by `dbt compile`, and are not taken over",
        "test.shop.accepted_range_customer_orders_amount": "a test dbt_utils.accepted_range",
        "test.shop.amounts_add_up": "a test in SQL of its own",
        "test.shop.not_null_customer_orders_amount": "a test not_null with where",
    }


def test_tests_are_rules_that_hold_rows_back(
    shop: Path, made: Callable[[], dict[str, Any]]
) -> None:
    made()
    root = shop.parent / "made"
    feeds = {
        "customers": "id,name,country\n1,Ada,DE\n2,Bo,\n3,Cy,FR\n,Di,FR\n",
        "orders": "id,user_id,status,amount\n10,1,paid,2500\n11,1,open,500\n12,9,paid,700\n"
        "13,2,lost,100\n",
    }
    for name, text in feeds.items():
        (root / "feeds" / name).mkdir(parents=True)
        (root / "feeds" / name / "a.csv").write_text(text)
    loop = open_loop(root)
    events = loop.run(now=instant("2026-02-01"))
    assert {type(event.result) for event in events} == {Done}
    rows = loop.query("select name, orders, amount from customer_orders order by name").rows
    assert [tuple(row.values()) for row in rows] == [("Ada", 2, 30.0), ("Bo", 0, None),
                                                     ("Cy", 0, None)]  # fmt: skip
    held = {name: loop.show(name)["quarantine"].get("rules") for name in (
        "sources.customers", "tables.stg_orders")}  # fmt: skip
    assert held == {
        "sources.customers": {"id.not_null": 1},
        "tables.stg_orders": {"status.allowed": 1},
    }
    warned = loop.summary()["warnings"]
    assert warned["tables.stg_customers"] == {"country.not_null": 1}
    assert warned["tables.stg_orders"] == {"customer_id.reference": 1}


@pytest.mark.parametrize(
    ("adapter", "code", "expected"),
    [
        ("snowflake", "select iff(id > 1, 'a', 'b') as s from {{ ref('stg_orders') }}", "CASE"),
        ("bigquery", "select safe_cast(order_id as string) as s from {{ ref('stg_orders') }}",
         "TRY_CAST"),
        ("postgres", "select order_id::text as s\nfrom {{ ref('stg_orders') }} -- all", "-- all"),
    ],
)  # fmt: skip
def test_other_warehouses_are_translated(
    shop: Path, made: Callable[[], dict[str, Any]], adapter: str, code: str, expected: str
) -> None:
    change(shop, "model.shop.new_orders", compiled_code=None, raw_code=code, config={})
    path = shop / "target/manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["metadata"]["adapter_type"] = adapter
    path.write_text(json.dumps(manifest), "utf-8")
    made()
    text = (shop.parent / "made/tables/new_orders.sql").read_text("utf-8")
    assert expected in text and "stg_orders" in text


def test_names_that_clash_are_told_apart(shop: Path, made: Callable[[], dict[str, Any]]) -> None:
    change(shop, "model.shop.new_orders", name="orders", alias="orders",
           relation_name='"dev"."main"."orders"', config={})  # fmt: skip
    names = made()["nodes"]
    assert names["model.shop.new_orders"] == "orders"
    assert names["source.shop.raw.orders"] == "raw_orders"
    project = read_project(shop.parent / "made")
    assert [str(n) for n in project.reads[project.node("tables.stg_orders")]] == [
        "sources.raw_orders"
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "run `dbt parse` there"),
        ("{", "this manifest does not read"),
        ('{"metadata": {"dbt_schema_version": "https://x/manifest/v4.json"}}', "allowed: v9, v10"),
        ('{"nodes": []}', "this manifest does not read"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_told(
    shop: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    path = shop / "target/manifest.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert main(["init", str(shop.parent / "made"), "--from-dbt", str(shop)]) == 1
    assert says in capsys.readouterr().err
    assert not (shop.parent / "made").exists()
