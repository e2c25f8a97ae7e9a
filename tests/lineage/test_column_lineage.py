"""Columns down to the columns of sources: what is read apart from what decides the rows."""

from __future__ import annotations

from pathlib import Path

import market
import pytest

from lichen.declared import Project
from lichen.lineage.columns import column_lineage
from lichen.lineage.origin import Origin
from lichen.project import read_project

TABLES = {
    "plain": "select o.amount as paid, o.shop from orders o where o.tag like 'a%'",
    "star": "select * from orders",
    "joined": "select p.paid * 2 as twice, s.region, coalesce(s.region, p.shop) as place\n"
    "from plain p join shops s on p.shop = s.shop",
    "chosen": "select case when amount > 5 then shop else tag end as pick from orders",
    "summed": "/* key: shop */\nselect shop, sum(amount) filter (where tag <> 'x') as total,\n"
    "count(*) as n from orders group by shop having max(ordered_at) > '2020-01-01'",
    "ranked": "/* key: order_id */\nselect order_id, row_number() over (partition by shop "
    "order by ordered_at) as nth from orders",
    "nested": "/* key: shop */\nwith big as (select shop, amount * 2 as double from orders "
    "where amount > 3)\nselect b.shop, max(b.double) as most from big b group by b.shop",
    "either": "/* key: name */\nselect distinct name from (select shop as name from orders "
    "union all select region as name from shops) both",
    "asking": "/* key: shop */\nselect s.shop, (select max(o.amount) from orders o "
    "where o.shop = s.shop) as top from shops s",
    "merged": "select shop, o.amount, s.region from orders o left join shops s using (shop)",
}
CASES = [
    ("tables.plain.paid", {"sources.orders.amount"}, {"sources.orders.tag"}),
    ("tables.star.tag", {"sources.orders.tag"}, set()),
    ("tables.joined.twice", {"tables.plain.paid"}, {"tables.plain.shop", "sources.shops.shop"}),
    ("tables.joined.place", {"sources.shops.region", "tables.plain.shop"},
     {"tables.plain.shop", "sources.shops.shop"}),
    ("tables.chosen.pick", {"sources.orders.amount", "sources.orders.shop", "sources.orders.tag"},
     set()),
    ("tables.summed.total", {"sources.orders.amount", "sources.orders.tag"},
     {"sources.orders.shop", "sources.orders.ordered_at"}),
    ("tables.summed.n", set(), {"sources.orders.shop", "sources.orders.ordered_at"}),
    ("tables.ranked.nth", {"sources.orders.shop", "sources.orders.ordered_at"}, set()),
    ("tables.nested.most", {"sources.orders.amount"},
     {"sources.orders.amount", "sources.orders.shop"}),
    ("tables.either.name", {"sources.orders.shop", "sources.shops.region"},
     {"sources.orders.shop", "sources.shops.region"}),
    ("tables.asking.top", {"sources.orders.amount", "sources.orders.shop", "sources.shops.shop"},
     {"sources.orders.shop", "sources.shops.shop"}),
    ("tables.merged.shop", {"sources.orders.shop", "sources.shops.shop"},
     {"sources.orders.shop", "sources.shops.shop"}),
    ("features.recent.mean", {"tables.placed.amount"},
     {"tables.placed.shop", "tables.placed.ordered_at"}),
    ("features.recent.mean_7d", {"tables.placed.amount"},
     {"tables.placed.shop", "tables.placed.ordered_at"}),
    ("features.stock.level", {"tables.stock.level"},
     {"tables.stock.store", "tables.stock.counted_at"}),
    ("features.order.twice", {"request.amount"}, set()),
    ("outcomes.fined.label", {"sources.fines.fine"},
     {"sources.fines.order_id", "tables.placed.order_id", "tables.placed.ordered_at"}),
    ("outcomes.fined.region", {"tables.placed.region"},
     {"sources.fines.order_id", "tables.placed.order_id", "tables.placed.ordered_at"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("columns")
    market.make(root)
    for name, text in TABLES.items():
        (root / f"tables/{name}.sql").write_text(text)
    return read_project(root)


def lineage(project: Project, address: str) -> Origin:
    node, _, column = address.rpartition(".")
    return column_lineage(project, project.node(node), column)


@pytest.mark.parametrize(("address", "reads", "decides"), CASES, ids=[case[0] for case in CASES])
def test_what_a_column_reads(
    project: Project, address: str, reads: set[str], decides: set[str]
) -> None:
    found = lineage(project, address)
    assert set(found.told["columns"]) == reads
    rows = found.told.get("rows_decided_by", ())
    assert {column for clause in rows for column in clause["columns"]} == decides


def test_it_goes_down_to_what_the_contracts_say(project: Project) -> None:
    found = lineage(project, "tables.joined.twice")
    leaf = found.inputs[0].inputs[0]
    assert (leaf.node, leaf.told["column"]) == ("sources.orders", "amount")
    assert leaf.told["type"] == "DOUBLE"
    assert leaf.told["description"] == "the amount of orders"
    assert leaf.told["contract"] == "sources/orders.odcs.yaml"
    assert found.told["expression"] == "p.paid * 2"


def test_a_request_feature_goes_on_through_the_outcome(project: Project) -> None:
    found = lineage(project, "features.order.twice")
    path = [each.node for each in found.walk()]
    assert path == ["features.order", "outcomes.fined", "tables.placed", "sources.orders"]


def test_every_column_of_the_project_has_a_lineage(project: Project, tmp_path: Path) -> None:
    for name, columns in project.columns.items():
        for column in columns:
            for each in column_lineage(project, name, column).walk():
                assert each.inputs or not each.told.get("columns") or "request" in each.node
