"""A run that is killed, inside a commit or between steps, and resumed ends like one never killed.

The child process wires the real lake with hooks that pause at a moment, and then waits for its
SIGKILL there. Each moment is checked against what the ledger and the lake hold afterwards, so that
a kill that fell elsewhere would be noticed.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlglot import exp

from lichen.adapters.delta import DeltaLake
from lichen.core.sql import col, rel
from lichen.loop import Event, Loop, open_loop
from lichen.ports import durable
from lichen.ports.engine import Scan
from lichen.ports.lake import Column, Commit, Staged
from lichen.stages.context import VERDICTS

FIRST, SECOND = datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 3, 10, tzinfo=UTC)
WANTED = ("+tables.totals", "+tables.placed", "+tables.asked")
# Where the child is killed: the how-many-th time that it comes to a moment.
#   staged        the Parquet file is there, durable; the lake's log does not name it yet
#   logged        the lake's log names it, not yet durably; the ledger does not know
#   acknowledged  the commit is done; the ledger does not know
#   between       a step is recorded; the next one has not begun
KILLS = (
    (("logged", 2), ("acknowledged", 1), ("staged", 2), ("acknowledged", 2), ("between", 2),
     ("staged", 1), ("acknowledged", 1), ("between", 2)),
    (("staged", 1), ("acknowledged", 2), ("logged", 1), ("between", 1), ("between", 2),
     ("acknowledged", 2), ("logged", 1)),
)  # fmt: skip
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["lichen.loop", "lichen.adapters.delta", "lichen.adapters.duckdb"]
)

CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: string, physicalType: varchar, required: true}}
      - {{name: shop, logicalType: string, physicalType: varchar}}
      - {{name: at, logicalType: timestamp, physicalType: timestamptz}}
      - {{name: amount, logicalType: number, physicalType: double,
          logicalTypeOptions: {{minimum: 0, maximum: {most}}}}}
"""
FILES = {
    "lichen.yml": "name: crash\ntargets: {dev: {engine: {threads: 1}}}\n",
    "sources/sales.yml": "path: feeds/sales-*.csv\nkey: id\nknown_at: at\n"
    "backfill_until: 2020-03-01\n",
    "sources/sales.odcs.yaml": CONTRACT.format(name="sales", most=1000),
    "sources/shops.yml": "path: feeds/shops.csv\nkey: id\n",
    "sources/shops.odcs.yaml": CONTRACT.format(name="shops", most=1000),
    "tables/clean.sql": "/* key: id */\nselect id, shop, at, amount from sales\n",
    "tables/clean.odcs.yaml": CONTRACT.format(name="clean", most=50),
    "tables/placed.sql": "/* key: id */\nselect c.id, c.at, c.amount, s.shop as region\n"
    "from clean c left join shops s on s.id = c.shop\n",
    "tables/totals.sql": "/* key: region */\nselect region, sum(amount) as total from placed\n"
    "where region is not null group by region\n",
    "tables/asked.sql": "select prediction_id, value from predictions.late\n",
    "outcomes/late.sql": "/*\nkey: id\nlabel: amount > 5\n*/\nselect id, shop, amount from clean\n",
    "features/where.sql": "/* at: request */\nselect shop from request\n",
    "models/late.py": "from lichen import auto, model\n\n\n"
    '@model(target="late", metric="roc_auc")\ndef late(where):\n    return auto()\n',
    "services/late.yml": "model: late\n",
}  # fmt: skip


def grow(root: Path, landing: int) -> None:
    """Write what a landing brings; the second one also corrects and deletes."""
    sales = {n: [f"s{n}", f"{'abc'[n % 3]}", f"2020-02-{n % 28 + 1:02}T00:00:00Z", n * 2 - 4]
             for n in range(30 + landing * 10)}  # fmt: skip
    if landing == 2:
        sales[7][3], sales[45][3] = 17, -1
        del sales[9]
    feeds: dict[str, list[list[Any]]] = {
        "sales-1.csv": [sales[n] for n in sorted(sales) if n < 20],
        f"sales-{landing + 1}.csv": [sales[n] for n in sorted(sales) if n >= landing * 10 + 10],
        "shops.csv": [["a", "north", "", 1], ["b", "west" if landing == 2 else "south", "", 1]],
    }
    for name, rows in feeds.items():
        path = root / "feeds" / name
        path.parent.mkdir(exist_ok=True)
        lines = [",".join(map(str, row)) for row in [["id", "shop", "at", "amount"], *rows]]
        path.write_text("\n".join(lines) + "\n")
    log = root / ".lichen/dev/log/late/predictions-1.ndjson"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.writelines(json.dumps(prediction(landing * 10 + n)) + "\n" for n in range(3))


def prediction(number: int) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number}", "model": "late", "model_version": 1, "publication": 1,
        "key": f"s{number}", "at": "2020-02-29T00:00:00Z", "value": number / 100,
        "probability": None, "request": "{}", "features": "{}",
    }  # fmt: skip


def make(root: Path) -> Path:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


class Watched(DeltaLake):
    """The lake, telling when it comes to a moment of a commit."""

    def __init__(self, root: Path, reach: Any) -> None:
        def sync(path: Path) -> None:
            if path.suffix == ".json":
                reach("logged")
            durable.sync(path)

        super().__init__(root, sync=sync)
        self._reach = reach

    def append(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        self._reach("staged")
        commit = super().append(table, staged, sequence)
        self._reach("acknowledged")
        return commit

    def replace(self, table: str, staged: Sequence[Staged], sequence: int) -> Commit:
        self._reach("staged")
        commit = super().replace(table, staged, sequence)
        self._reach("acknowledged")
        return commit


def run(root: Path, now: datetime, moment: str | None, times: int) -> None:
    """Run the project; at the given time of coming to the moment, say so and wait for the end."""
    seen: Counter[str] = Counter()

    def reach(name: str) -> None:
        seen[name] += 1
        if name == moment and seen[name] == times:
            (root / "waits").touch()
            time.sleep(120)

    def report(event: Event) -> None:
        if event.result is not None:
            reach("between")

    loop = open_loop(root)
    loop._parts["lake"] = Watched(loop.folder / "lake", reach)
    loop.run(*WANTED, now=now, report=report)


def kill(root: Path, now: datetime, moment: str, times: int) -> bool:
    """Kill a run at a moment; returns False where it ended before."""
    waits = root / "waits"
    waits.unlink(missing_ok=True)
    child = _PROCESSES.Process(target=run, args=(root, now, moment, times))
    child.start()
    deadline = time.monotonic() + 120
    while not waits.exists() and child.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.kill()
    child.join()
    assert child.exitcode == (-signal.SIGKILL if waits.exists() else 0)
    return waits.exists()


def fell(loop: Loop) -> str:
    """Return where a kill fell, by what the ledger and the lake hold."""
    intents = loop.ledger.state().open
    if not intents:
        return "between"
    (intent,) = intents
    tables = intent.body["tables"]
    there = [t for t in tables if (c := loop.lake.latest(t)) and c.sequence == intent.sequence]
    if there:
        return "in the lake" if len(there) == len(tables) else "half in the lake"
    staged = [p for t in intent.body["tables"] for p in files(loop, t)]
    assert staged, "an intent without any file"
    return "not in the lake"


def files(loop: Loop, table: str) -> list[Path]:
    """Return the Parquet files of a table that its log does not name."""
    folder = loop.folder / "lake" / table.replace(".", "/")
    latest = loop.lake.latest(table)
    named = set(loop.lake.files(table, latest.version)) if latest else set()
    return [path for path in folder.glob("*.parquet") if path not in named]


def published(loop: Loop) -> dict[str, Any]:
    """Return all that anybody can see: rows with their system columns, verdicts, facts, pins."""
    found: dict[str, Any] = {}
    for node, record in loop.published().items():
        facts = {k: v for k, v in record.facts.items() if k != "columns"}
        found[node] = {"sequence": record.sequence, "now": record.now, "facts": facts}
        found[node]["findings"] = record.findings
        for table, (sequence, version) in record.commits.items():
            columns = VERDICTS if table.startswith("quarantine") else None
            rows = stored(loop, table, version, columns or record.facts["columns"])
            found[node][table] = {"sequence": sequence, "rows": rows}
    found["files"] = {
        source: {path: seen.sha256 for path, seen in landed.items()}
        for source, landed in loop.ledger.state().files.items()
    }
    return found


def stored(loop: Loop, table: str, version: int, columns: Sequence[Any]) -> list[Mapping[str, Any]]:
    scan = Scan(
        loop.lake.files(table, version), tuple(Column(name, type_) for name, type_ in columns)
    )
    query = exp.select(*(col(c.name) for c in scan.columns)).from_(rel(table))
    return sorted(loop.engine.rows(query, {table: scan}), key=repr)


def test_a_run_killed_anywhere_ends_like_one_never_killed(tmp_path: Path) -> None:
    whole, broken = make(tmp_path / "whole"), make(tmp_path / "broken")
    fallen: Counter[str] = Counter()
    for landing, (now, kills) in enumerate(zip((FIRST, SECOND), KILLS, strict=True), 1):
        for root in (whole, broken):
            grow(root, landing)
        for event in open_loop(whole).run(*WANTED, now=now):
            assert type(event.result).__name__ == "Done", event
        for moment, times in kills:
            if kill(broken, now, moment, times):
                place = fell(open_loop(broken))
                assert place in PLACES[moment], (moment, place)
                fallen.update((moment, place))
        open_loop(broken).run(*WANTED, now=now)
        assert open_loop(broken).run(*WANTED, now=now) == ()
        assert published(open_loop(broken)) == published(open_loop(whole)), landing

    assert fallen["staged"] + fallen["logged"] + fallen["acknowledged"] >= 5, fallen
    assert min(fallen["staged"], fallen["logged"], fallen["acknowledged"]) >= 2, fallen
    assert fallen["between"] // 2 >= 3, fallen  # counted as a moment and as a place
    assert fallen["half in the lake"] >= 3, fallen
    assert fallen["in the lake"] >= 2, fallen
    seen = published(open_loop(whole))
    assert seen["sources.sales"]["quarantine.sources_sales"]["rows"]
    assert seen["tables.clean"]["quarantine.tables_clean"]["rows"]
    assert seen["predictions.late"]["facts"]["cursor"]
    assert any(row["_deleted"] for row in seen["tables.clean"]["tables.clean"]["rows"])


# A step commits its verdicts before its data: between the two, half of it is in the lake.
PLACES = {
    "staged": ("not in the lake", "half in the lake"),
    "logged": ("in the lake", "half in the lake"),
    "acknowledged": ("in the lake", "half in the lake"),
    "between": ("between",),
}
