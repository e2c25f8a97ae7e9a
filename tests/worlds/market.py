"""A small project whose CSV rows say where they stand, and a log of what its service answered.

Every row has a `tag`, FILE:LINE:EDITION, so that a row found by `why` can be told from any other.
Three shops take orders; a stock count and the shop's region are known besides. A second landing
corrects one order in place, brings one that is three weeks late, changes a shop's region and adds
new rows; one order in each landing breaks the contract.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lichen.core.time import iso
from lichen.loop import Loop, open_loop

FIRST = datetime(2020, 3, 1, tzinfo=UTC)
SECOND = datetime(2020, 3, 10, tzinfo=UTC)
BEGIN = datetime(2020, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)

FILES = {
    "lichen.yml": "name: market\n",
    "prepare.py": "def prepare(folder, now):\n    pass\n",
    "sources/orders.yml": "path: feeds/orders-*.csv\nprepare: prepare.py\nkey: order_id\n"
    "known_at: ordered_at\nbackfill_until: 2020-03-01\n",
    "sources/counts.yml": "path: feeds/counts-*.csv\nkey: count_id\nknown_at: counted_at\n"
    "backfill_until: 2020-03-01\n",
    "sources/shops.yml": "path: feeds/shops.csv\nkey: shop\nknown_at: opened_at\n"
    "backfill_until: 2020-03-01\n",
    "sources/fines.yml": "path: feeds/fines-*.csv\nkey: order_id\nknown_at: settled_at\n"
    "backfill_until: 2020-03-01\n",
    "tables/stock.sql": "select c.shop as store, c.counted_at, c.level * 2 as level "
    "from counts c\n",
    "tables/placed.sql": "/* key: order_id */\nselect o.*, s.region from orders o\n"
    "left join shops s using (shop)\n",
    "tables/region_days.sql": "/* key: [region, day] */\nselect region, "
    "date_trunc('day', ordered_at) as day, sum(amount) as total, count(*) as n from placed\n"
    "where region is not null group by region, date_trunc('day', ordered_at)\n",
    "features/stock.sql": "/*\nentity: shop\nevent_time: counted_at\n"
    "known_at: counted_at + interval 1 hour\nmax_age: 10 days\n*/\n"
    "select store as shop, counted_at, level from stock\n",
    "features/recent.sql": "/*\nentity: shop\nevent_time: ordered_at\n"
    "window: [2 days, 7 days]\n*/\n"
    "select avg(amount) as mean, max(amount) as most, count(*) as n from placed\n",
    "features/region.sql": "/*\nentity: region\nevent_time: day + interval 1 day\n*/\n"
    "select region, total, n from region_days\n",
    "features/order.sql": "/* at: request */\nselect amount, amount * 2 as twice from request\n",
    "outcomes/fined.sql": "/*\nkey: order_id\nentities: [shop, region]\npredict_at: ordered_at\n"
    "label: fine > 0\nknown_at: settled_at\n*/\nselect o.order_id, o.shop, o.region, o.ordered_at, "
    "o.amount, f.fine, f.settled_at\nfrom placed o left join fines f on f.order_id = o.order_id\n",
    "models/fined.py": "from sklearn.impute import SimpleImputer\n"
    "from sklearn.linear_model import LogisticRegression\n"
    "from sklearn.pipeline import make_pipeline\n"
    "from sklearn.preprocessing import StandardScaler\n\nfrom lichen import model\n\n\n"
    '@model(target="fined", metric="roc_auc", holdout="10 days")\n'
    "def fined(stock, recent, region, order):\n"
    "    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())\n",
    "services/fined.yml": "model: fined\n",
}  # fmt: skip
COLUMNS = {
    "orders": {"order_id": "varchar", "shop": "varchar", "ordered_at": "timestamptz",
               "amount": "double", "tag": "varchar"},
    "counts": {"count_id": "varchar", "shop": "varchar", "counted_at": "timestamptz",
               "level": "double", "tag": "varchar"},
    "shops": {"shop": "varchar", "region": "varchar", "opened_at": "timestamptz",
              "tag": "varchar"},
    "fines": {"order_id": "varchar", "settled_at": "timestamptz", "fine": "double",
              "tag": "varchar"},
}  # fmt: skip


@dataclass
class Market:
    """The project's folder and what its CSV files hold, file by file."""

    root: Path
    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def loop(self) -> Loop:
        return open_loop(self.root)

    def write(self, name: str, rows: Sequence[Mapping[str, Any]], edition: int = 1) -> None:
        """Write a feed; each row is tagged with the line on which it stands."""
        tagged = [
            {**row, "tag": row.get("tag", f"{name}:{line}:{edition}")}
            for line, row in enumerate(rows, 2)
        ]
        self.files[name] = tagged
        path = self.root / "feeds" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(tagged[0]))
            writer.writeheader()
            writer.writerows({k: _text(v) for k, v in row.items()} for row in tagged)

    def log(self, *lines: Mapping[str, Any]) -> None:
        """Append lines to the service's log, as the service writes them."""
        folder = self.root / ".lichen/dev/log/fined"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "predictions-1.ndjson").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def make(root: Path) -> Market:
    """Write the project and its first feeds; nothing has run yet."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for source, columns in COLUMNS.items():
        (root / f"sources/{source}.odcs.yaml").write_text(contract(source, columns))
    market, rng = Market(root), random.Random(5)
    market.write("shops.csv", [
        {"shop": "a", "region": "north", "opened_at": BEGIN - 9 * HOUR},
        {"shop": "b", "region": "south", "opened_at": BEGIN - 8 * HOUR},
        {"shop": "c", "region": "north", "opened_at": BEGIN - 7 * HOUR},
    ])  # fmt: skip
    orders = [order(n, rng) for n in range(80)]
    orders[7]["amount"] = -1.0  # quarantined
    market.write("orders-1.csv", orders[:45])
    market.write("orders-2.csv", orders[45:])
    market.write("counts-1.csv", [count(n, rng) for n in range(30)])
    market.write("fines-1.csv", [fine(each, rng) for each in orders[:75] if each["amount"] > 0])
    return market


def grow(market: Market) -> None:
    """Write the second landing: a correction, a late row, a moved shop, and new rows."""
    rng = random.Random(6)
    first = [dict(row) for row in market.files["orders-1.csv"]]
    first[30] |= {"amount": 999.0, "tag": "orders-1.csv:32:2"}  # corrected
    market.write("orders-1.csv", first)
    late = {**order(300, rng), "ordered_at": FIRST - 20 * 24 * HOUR, "shop": "a"}
    bad = {**order(301, rng), "amount": -5.0, "ordered_at": FIRST + 9 * HOUR}
    new = [{**order(400 + n, rng), "ordered_at": FIRST + n * 13 * HOUR} for n in range(12)]
    market.write("orders-3.csv", [late, bad, *new])
    shops = [dict(row) for row in market.files["shops.csv"]]
    shops[1] |= {"region": "north", "tag": "shops.csv:3:2"}
    market.write("shops.csv", shops)
    market.write("counts-2.csv", [
        {**count(200 + n, rng), "counted_at": FIRST + n * 20 * HOUR} for n in range(8)
    ])  # fmt: skip


def order(n: int, rng: random.Random) -> dict[str, Any]:
    return {
        "order_id": f"o{n}",
        "shop": rng.choice("abc"),
        "ordered_at": BEGIN + n * 12 * HOUR,
        "amount": float(rng.randint(1, 100)),
    }


def count(n: int, rng: random.Random) -> dict[str, Any]:
    return {
        "count_id": f"c{n}",
        "shop": rng.choice("abc"),
        "counted_at": BEGIN + n * 30 * HOUR,
        "level": float(rng.randint(1, 50)),
    }


def fine(order: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    settled = order["ordered_at"] + 20 * HOUR
    value = float(rng.random() < order["amount"] / 100)
    return {"order_id": order["order_id"], "settled_at": settled, "fine": value}


def contract(name: str, columns: Mapping[str, str]) -> str:
    """Return an ODCS contract: amounts are not negative, everything else may be anything."""
    kinds = {"varchar": "string", "double": "number", "timestamptz": "timestamp"}
    head = f"apiVersion: v3.1.0\nkind: DataContract\nid: {name}\nversion: 1.0.0\nstatus: active\n"
    lines = [
        f"      - {{name: {c}, logicalType: {kinds[t]}, physicalType: {t}, "
        f"description: the {c} of {name}"
        + (", logicalTypeOptions: {minimum: 0}" if c == "amount" else "")
        + "}"
        for c, t in columns.items()
    ]
    return f"{head}schema:\n  - name: {name}\n    properties:\n" + "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)
