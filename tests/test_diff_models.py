"""Two versions of a model compared: metrics, columns and settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from lichen.core.time import instant
from lichen.readers.diff_versions import diff_versions
from lichen.testing.project import SmallProject

MODEL = '''from lichen import model
from sklearn.linear_model import LogisticRegression


@model(target="big", metric="roc_auc", holdout="30 days")
def big({features}):
    """Is this sale a big one?"""
    return LogisticRegression(C={strength})
'''
BIG = """/*
key: id
entities: [shop]
predict_at: at
label: amount > 50
known_at: at + interval 1 day
*/
select id, shop, at, at as asked, amount from sales
"""
NOW = instant("2020-06-01")


def test_metrics_columns_and_settings(tmp_path: Path) -> None:
    small = SmallProject(tmp_path)
    columns = {"id": "bigint", "at": "timestamptz", "shop": "varchar", "amount": "double"}
    small.source("sales", columns, "key: id\nknown_at: at\nbackfill_until: 2020-06-01\n")
    small.write("outcomes/big.sql", BIG)
    small.write("features/when.sql", "/*\nat: request\n*/\nselect day(asked) as day from request\n")
    small.write(
        "features/hour.sql", "/*\nat: request\n*/\nselect hour(asked) as hour from request\n"
    )
    start = instant("2020-01-01")
    rows = [(i, (start + timedelta(hours=17 * i)).isoformat(), "ab"[i % 2], i * 7 % 101)
            for i in range(200)]  # fmt: skip
    small.csv("feeds/sales/a.csv", "id,at,shop,amount", rows)
    small.write("models/big.py", MODEL.format(features="when", strength=1.0))
    small.loop().run(now=NOW)
    small.loop().run("models.big", now=NOW, full=True)
    same = diff_versions(small.loop(), "models.big@1", "models.big@2")
    assert {m["difference"] for m in same.metrics.values()} == {0.0}
    assert not (same.columns or same.definition or same.rows)

    small.write("models/big.py", MODEL.format(features="when, hour", strength=0.1))
    small.loop().run(now=NOW)
    found = diff_versions(small.loop(), "models.big@2", "models.big")
    assert dict(found.columns) == {"hour__hour": (None, "read")}
    assert found.definition == ("it, or what it is made of, is defined differently",)
    left, right = (found.metrics["roc_auc"][side]["value"] for side in ("left", "right"))
    assert found.metrics["roc_auc"]["difference"] == right - left
    assert found.as_json()["columns"] == {"hour__hour": [None, "read"]}
