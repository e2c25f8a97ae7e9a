"""Nested records land as nested columns, and a SELECT reads a field of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lichen.core.steps import Done
from lichen.testing.project import SmallProject

CONTRACT = """
kind: DataContract
apiVersion: v3.1.0
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer}
      - name: buyer
        logicalType: object
        properties:
          - {name: name, logicalType: string}
          - {name: since, logicalType: date}
      - name: lines
        logicalType: array
        items:
          logicalType: object
          properties:
            - {name: sku, logicalType: string}
            - {name: price, logicalType: number, physicalType: "decimal(10,2)"}
            - {name: tags, logicalType: array, items: {logicalType: string}}
"""
ANNE: dict[str, Any] = {
    "id": 1,
    "buyer": {"name": "Anne", "since": "2019-05-01"},
    "lines": [
        {"sku": "a", "price": 1.25, "tags": ["new", "red"]},
        {"sku": "b", "price": "2.50", "tags": []},
    ],
}


def orders(root: Path, *records: dict[str, Any], settings: str = "") -> SmallProject:
    project = SmallProject(root)
    project.write("sources/orders.yml", f"connector: logs\npath: {root}/orders.log\n{settings}")
    project.write("sources/orders.odcs.yaml", CONTRACT)
    add(project, *records)
    return project


def add(project: SmallProject, *records: dict[str, Any]) -> None:
    with (project.root / "orders.log").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def run(project: SmallProject, now: str) -> None:
    for event in project.run(now):
        assert isinstance(event.result, Done), event.result


def test_a_table_reads_fields_of_nested_columns(tmp_path: Path) -> None:
    project = orders(tmp_path, ANNE, {"id": 2, "buyer": None, "lines": None}, settings="key: id")
    project.write(
        "tables/bought.sql",
        "select id, o.buyer.name as buyer, len(lines) as many, lines[1].tags[2] as tag, lines "
        "from orders o",
    )
    project.write(
        "tables/priced.sql",
        "/* key: id */ select id, sum(line.price) as total from "
        "(select id, unnest(lines) as line from bought) group by id",
    )
    run(project, "2020-01-01")
    first, second = project.versions("sources.orders")
    assert first["buyer"]["name"] == "Anne"
    assert str(first["buyer"]["since"]) == "2019-05-01"
    assert [str(line["price"]) for line in first["lines"]] == ["1.25", "2.50"]
    assert (second["buyer"], second["lines"]) == (None, None)
    (row, _) = project.current("tables.bought", "2020-01-01")
    assert (row["buyer"], row["many"], row["tag"]) == ("Anne", 2, "red")
    assert row["lines"] == first["lines"]
    (total,) = project.current("tables.priced", "2020-01-01")
    assert str(total["total"]) == "3.75"
    answer = project.loop().query("select buyer.name as n from orders where buyer.name is not null")
    assert [dict(r) for r in answer.rows] == [{"n": "Anne"}]


def test_only_a_changed_field_makes_a_version(tmp_path: Path) -> None:
    project = orders(tmp_path, ANNE, settings="key: id")
    run(project, "2020-01-01")
    add(project, ANNE)
    run(project, "2020-01-02")
    assert len(project.versions("sources.orders")) == 1
    changed = {**ANNE, "lines": [{**ANNE["lines"][0], "tags": ["new", "blue"]}]}
    add(project, changed)
    run(project, "2020-01-03")
    assert len(project.versions("sources.orders")) == 2
    (row,) = project.current("sources.orders", "2020-01-03")
    assert row["lines"][0]["tags"] == ["new", "blue"]


def test_what_does_not_fit_is_held_back_with_its_text(tmp_path: Path) -> None:
    bad = [
        {"id": 2, "buyer": {"name": "Bo", "since": "soon"}},
        {"id": 3, "lines": [{"price": 1.5}, {"price": "free"}]},
        {"id": 4, "lines": {"price": 1.5}},
        {"id": 5, "buyer": "Cy"},
    ]
    project = orders(tmp_path, ANNE, *bad)
    run(project, "2020-01-01")
    assert [row["id"] for row in project.current("sources.orders", "2020-01-01")] == [1]
    held = {row["_row"] & 0xFFFF: row for row in project.verdicts("sources.orders")}
    rows = {row["_row"] & 0xFFFF: row for row in project.versions("sources.orders")}
    assert [rows[n]["id"] for n in sorted(held)] == [2, 3, 4, 5]
    texts = {rows[n]["id"]: json.loads(rows[n]["_raw"]) for n in held}
    assert json.loads(texts[2]["buyer"]) == bad[0]["buyer"]
    assert json.loads(texts[3]["lines"]) == bad[1]["lines"]
    assert texts[5]["buyer"] == "Cy"
    assert "buyer is '{" in held[min(held)]["reason"]
