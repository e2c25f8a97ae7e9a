"""Write a project of so many nodes and run it once: FOLDER NODES. Then nothing is left to do.

Twenty nodes are 6 sources, 9 tables, 2 features, an outcome, a model and a service; from the second
twenty on, tables stand for the last three.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = "path: feeds/{name}.csv\nkey: id\nknown_at: at\nbackfill_until: 2026-01-18\n"
CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: string, primaryKey: true}}
      - {{name: at, logicalType: timestamp, required: true}}
      - {{name: shop, logicalType: string, required: true}}
      - name: amount
        logicalType: number
        logicalTypeOptions: {{minimum: 0, maximum: 100000}}
      - {{name: note, logicalType: string}}
"""
ROWWISE = (
    "select id, at, shop, amount * {n} as amount, upper(note) as note from {of} where amount > {n}"
)
JOINED = (
    "select a.id, a.at, a.shop, a.amount + b.amount as amount, coalesce(a.note, b.note) as note\n"
    "from {of} a left join {other} b using (id)"
)
LATEST = "/*\nentity: shop\nevent_time: at\nmax_age: 7 days\n*/\nselect amount, note from {of}"
WINDOW = "/*\nentity: shop\nevent_time: at\nwindow: [1 day, 7 days]\n*/\nselect avg(amount) as mean, count(*) as n from {of}"  # noqa: E501
OUTCOME = (
    "/*\nkey: id\nentities: [shop]\npredict_at: at\nlabel: paid > 500\nknown_at: paid_at\n*/\n"
    "select a.id, a.at, a.shop, a.note, b.amount as paid, b.at as paid_at\n"
    "from {of} a left join {other} b using (id)"
)
MODEL = """from sklearn.linear_model import LogisticRegression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from lichen import model


@model(target="{name}", metric="roc_auc", holdout="5 days", retrain="700 days")
def {name}({features}):
    return make_pipeline(SimpleImputer(), LogisticRegression())
"""


def unit(number: int) -> dict[str, str]:
    """Return the files of twenty nodes."""
    files: dict[str, str] = {}
    sources = [f"s{number}_{i}" for i in range(6)]
    for name in sources:
        files[f"sources/{name}.yml"] = SOURCE.format(name=name)
        files[f"sources/{name}.odcs.yaml"] = CONTRACT.format(name=name)
        files[f"feeds/{name}.csv"] = feed()
    tables = sources
    for i in range(9 if number == 0 else 12):
        name, of = f"t{number}_{i}", tables[-6]
        text = (
            JOINED.format(of=of, other=tables[-5]) if i % 3 == 2 else ROWWISE.format(of=of, n=i + 1)
        )
        files[f"tables/{name}.sql"] = f"-- step {i}\n{text}\n"
        tables = [*tables, name]
    files[f"features/newest{number}.sql"] = LATEST.format(of=tables[-1])
    files[f"features/lately{number}.sql"] = WINDOW.format(of=tables[-2])
    if number == 0:
        files["outcomes/large.sql"] = OUTCOME.format(of=sources[0], other=sources[1])
        files["models/large.py"] = MODEL.format(name="large", features="lately0")
        files["services/large.yml"] = "model: large\n"
    return files


def feed() -> str:
    """Return two hundred rows, one every two hours."""
    rows = ["id,at,shop,amount,note"]
    for i in range(200):
        at = START + timedelta(hours=2 * i)
        rows.append(f"r{i},{at:%Y-%m-%dT%H:%M:%SZ},shop{i % 5},{i * 37 % 1000},n{i % 3}")
    return "\n".join(rows) + "\n"


def main(folder: Path, nodes: int) -> None:
    done = folder / ".lichen" / "made"
    files = {"lichen.yml": "name: bench\n"}
    for number in range(nodes // 20):
        files |= unit(number)
    for name, text in files.items() if not done.is_file() else ():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    # A run keeps what reading the project found; of another Lichen than this one it is no use.
    lichen = Path(sys.executable).parent / "lichen"
    run = [str(lichen), "run", "-C", str(folder), "--now", "2026-01-18"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    done.touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
