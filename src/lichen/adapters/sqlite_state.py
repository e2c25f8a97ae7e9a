"""What the ledger's file says, read by the standard library alone: a plan needs no more.

The ledger itself reads its state here too, so that there is one way to read it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from lichen.core.steps import Request, Seen
from lichen.core.time import instant
from lichen.ports.ledger import Publication, Record, State

_RECORDS = (
    "select id, run, step, node, sequence, now, state, body, facts, findings, commits, error, "
    "seconds from records where"
)
_NEWEST = f"{_RECORDS} id in (select max(id) from records where state in (?, ?) group by node)"  # noqa: S608


def state_of(path: Path) -> State:
    """Return the state that a ledger file holds; an empty one where there is no file."""
    if not path.exists():
        return State()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
        if not db.execute("select 1 from sqlite_master where name = 'publications'").fetchone():
            return State()  # a run died while it made the ledger
        db.execute("begin")
        return read(db)


def read(db: sqlite3.Connection) -> State:
    """Return everything that a plan needs; the caller has begun a transaction."""
    done = {r.node: r for r in _records(db, _NEWEST, "done", "done")}
    tried = {r.node: r for r in _records(db, _NEWEST, "blocked", "failed")}
    files: dict[str, dict[str, Seen]] = {}
    for source, path, size, mtime_ns, sha256 in db.execute(
        "select source, path, size, mtime_ns, sha256 from files"
    ):
        seen = Seen(path=path, size=size, mtime_ns=mtime_ns, sha256=sha256)
        files.setdefault(source, {})[path] = seen
    last = db.execute("select now from runs order by rowid desc limit 1").fetchone()
    return State(
        done=done,
        tried={n: r for n, r in tried.items() if n not in done or r.id > done[n].id},
        open=tuple(_records(db, f"{_RECORDS} state = ? order by id", "intended")),
        files=files,
        publication=_last_publication(db),
        clock=instant(last[0]) if last else None,
        requests=_requests(db),
    )


def _requests(db: sqlite3.Connection) -> tuple[Request, ...]:
    """Return what people asked for and no step has answered; an older ledger knows of none."""
    if not db.execute("select 1 from sqlite_master where name = 'requests'").fetchone():
        return ()
    query = "select id, body from requests where answered is null order by id"
    return tuple(request(*row) for row in db.execute(query))


def request(id_: int, body: bytes) -> Request:
    """Return a request from its number and what was asked."""
    found: Request = msgspec.json.decode(body, type=Request)
    return msgspec.structs.replace(found, id=id_)


def _records(db: sqlite3.Connection, query: str, *values: str) -> list[Record]:
    return [record(row) for row in db.execute(query, values)]


def record(row: Any) -> Record:
    """Return a record from a row of all columns of `records`, in their order."""
    id_, run, step, node, sequence, now, state, body, facts, findings, commits, error, seconds = row
    return Record(
        id=id_,
        run=run,
        step=step,
        node=node,
        sequence=sequence,
        now=instant(now),
        state=state,
        body=msgspec.json.decode(body),
        facts=msgspec.json.decode(facts),
        findings=msgspec.json.decode(findings),
        commits={k: (v[0], v[1]) for k, v in msgspec.json.decode(commits).items()},
        error=error,
        seconds=seconds,
    )


def publication(row: Any) -> Publication:
    """Return a publication from a row of all columns of `publications`, in their order."""
    id_, run, now, pins = row
    decoded = msgspec.json.decode(pins, type=dict[str, int])
    return Publication(id=id_, run=run, now=instant(now), pins=decoded)


def _last_publication(db: sqlite3.Connection) -> Publication | None:
    query = "select id, run, now, pins from publications order by id desc limit 1"
    row = db.execute(query).fetchone()
    return publication(row) if row else None
