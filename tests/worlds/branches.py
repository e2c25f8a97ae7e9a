"""A small shop with targets: sales that grow, rows that are held back, and two tables of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlglot import exp

from lichen.core.sql import col, rel
from lichen.core.time import instant
from lichen.loop import Event, Loop, open_loop
from lichen.stages.context import Shelf
from lichen.testing.project import SmallProject

TARGETS = """
name: shop
targets:
  dev: {engine: {threads: 1}}
  prod: {engine: {threads: 1}}
  trial: {from: prod, engine: {threads: 1}}
"""
CLEAN = "/* key: id */\nselect id, shop, amount * {factor} as amount from sales\n"
TOTALS = "/* key: shop */\nselect shop, sum(amount)::bigint as total from clean group by shop\n"


class Shop(SmallProject):
    """A project whose targets are run and read by name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.write("lichen.yml", TARGETS)
        columns = {"id": "varchar", "shop": "varchar", "amount": "bigint", "at": "timestamptz"}
        self.source(
            "sales",
            columns,
            "key: id\nknown_at: at\nbackfill_until: 2020-03-01",
            rules={"amount": {"logicalTypeOptions": {"minimum": 0}}},
        )
        self.define()
        self.write("tables/totals.sql", TOTALS)
        self.land(1)

    def define(self, factor: int = 1) -> None:
        self.write("tables/clean.sql", CLEAN.format(factor=factor))

    def land(self, number: int, rows: int = 12) -> None:
        """Write a file of sales; one in twelve has an amount that is held back."""
        self.csv(
            f"feeds/sales/{number:02}.csv",
            "id,shop,amount,at",
            (
                (f"s{number}-{n}", "abc"[n % 3], n - 1 if n else -5, f"2020-02-{n % 28 + 1:02}")
                for n in range(rows)
            ),
        )

    def at(self, target: str) -> Loop:
        return open_loop(self.root, target)

    def go(self, target: str, now: str) -> tuple[Event, ...]:
        events = self.at(target).run(now=instant(now))
        bad = [event for event in events if type(event.result).__name__ != "Done"]
        assert not bad, bad
        return events

    def folder(self, target: str) -> Path:
        return self.root / ".lichen" / target


def stored(loop: Loop) -> dict[str, list[dict[str, Any]]]:
    """Return all that a target publishes, system columns and verdicts too."""
    shelf = Shelf(loop.published(), loop.lake)
    found = {}
    for node in shelf.records:
        for name, scan in shelf.relations([node]).items():
            query = exp.select(*(col(c.name) for c in scan.columns)).from_(rel(name))
            rows = loop.engine.rows(query, {name: scan})
            found[name] = sorted((dict(row) for row in rows), key=repr)
    return found


def current(loop: Loop, node: str, *, without: tuple[str, ...] = ()) -> list[Mapping[str, Any]]:
    answer = loop.query(f"select * from {node}")  # noqa: S608 - our own name
    return sorted(({k: v for k, v in r.items() if k not in without} for r in answer.rows), key=repr)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, the ledger as what its tables hold."""
    skipped = ("-wal", "-shm", ".lock")
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.endswith(skipped))
    return {str(p.relative_to(folder)): _dump(p) or p.read_bytes() for p in paths}


def _dump(path: Path) -> bytes:
    """What SQLite moves between its files says nothing."""
    if path.suffix != ".db":
        return b""
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump()).encode()
