"""A ledger that begins as what another one held when a publication was the last."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from lichen.core.errors import LedgerError
from lichen.ports.durable import sync


def branch(parent: Path, path: Path, publication: int) -> None:
    """Write the ledger; it gets its name last, when it is whole and durable.

    Its past is the parent's, with the same numbers: runs, records and publications up to that one.
    What the parent has not published is left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(parent)) as db:
        db.execute("pragma busy_timeout=10000")
        db.execute("vacuum into ?", (str(draft),))
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.execute("begin")
        _forget_later(db, publication)
        _fold_files(db)
        db.execute("commit")
    sync(draft)
    draft.rename(path)
    sync(path.parent)


def _forget_later(db: sqlite3.Connection, publication: int) -> None:
    found = db.execute("select run, pins from publications where id = ?", (publication,)).fetchone()
    if found is None:
        raise LedgerError(f"the ledger holds no publication {publication}")
    run, pins = found[0], msgspec.json.decode(found[1], type=dict[str, int])
    last: list[tuple[Any, ...]] = list(pins.items())
    db.execute("create temp table pinned (node text primary key, record integer)")
    db.executemany("insert into pinned values (?, ?)", last)
    db.execute(
        "delete from records where state = 'intended' or id > coalesce("
        "(select record from pinned where pinned.node = records.node), 0)"
    )
    db.execute("delete from publications where id > ?", (publication,))
    db.execute("delete from runs where rowid > (select rowid from runs where id = ?)", (run,))
    db.execute("update lease set held = 0")


def _fold_files(db: sqlite3.Connection) -> None:
    """What the sources have landed follows from the records that are left."""
    db.execute("delete from files")
    landed = "select id, node, body from records where step = 'land' and state = 'done' order by id"
    for id_, node, body in db.execute(landed).fetchall():
        for seen in msgspec.json.decode(body).get("files", ()):
            db.execute(
                "insert or replace into files (source, path, record, size, mtime_ns, sha256) "
                "values (?, ?, ?, ?, ?, ?)",
                (node, seen["path"], id_, seen["size"], seen["mtime_ns"], seen["sha256"]),
            )
