"""The ledger in one SQLite file: WAL, synchronous=FULL, writes that begin IMMEDIATE.

The lease is a lock on a file beside it, which the system takes back from a process that dies; the
row in the ledger tells others who holds it, and its token fences off a holder that lost it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from lichen.adapters.sqlite_state import publication, read, record, request
from lichen.core.errors import LedgerError
from lichen.core.steps import Request, Seen
from lichen.core.time import Instant, instant, iso, wall
from lichen.ports.durable import disk_full, folder, sync
from lichen.ports.ledger import Concluded, Publication, Record, Run, State

_META = sa.MetaData()
_RUNS = sa.Table(
    "runs", _META,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("now", sa.String, nullable=False),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("ended", sa.String),
)  # fmt: skip
_LEASE = sa.Table(
    "lease", _META,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("since", sa.String, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("held", sa.Boolean, nullable=False),
)  # fmt: skip
_RECORDS = sa.Table(
    "records", _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("step", sa.String, nullable=False),
    sa.Column("node", sa.String, nullable=False, index=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("now", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("facts", sa.LargeBinary, nullable=False, server_default="{}"),
    sa.Column("findings", sa.LargeBinary, nullable=False, server_default="[]"),
    sa.Column("commits", sa.LargeBinary, nullable=False, server_default="{}"),
    sa.Column("error", sa.String),
    sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
)  # fmt: skip
_FILES = sa.Table(
    "files", _META,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("record", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("mtime_ns", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
)  # fmt: skip
_PUBLICATIONS = sa.Table(
    "publications", _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("now", sa.String, nullable=False),
    sa.Column("pins", sa.LargeBinary, nullable=False),
)  # fmt: skip
_REQUESTS = sa.Table(
    "requests", _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("node", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("answered", sa.Integer),
)  # fmt: skip

MOUNTS = Path("/proc/mounts")
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}


@dataclass(frozen=True)
class _Held:
    run: str
    now: Instant
    token: int


class SqliteLedger:
    """A ledger in one file; the folder is made when it is missing."""

    def __init__(self, path: Path, *, borrowed: bool = False) -> None:
        """Open the ledger; one that is `borrowed` belongs to another target, and is only read."""
        _refuse_network(path)
        folder(path.parent)
        self._path, self._borrowed = path, borrowed
        self._held: _Held | None = None
        self._lock: int | None = None
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.QueuePool)
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(writes=True)
        if not _made(self._engine):
            with self._changing() as db:
                _META.create_all(db)
            for place in (path.parent, *path.parent.parents[:2]):  # whoever made them
                sync(place)

    def state(self) -> State:
        with self._engine.connect() as db:
            connection = db.connection.driver_connection
            assert isinstance(connection, sqlite3.Connection)
            return read(connection)

    def begin(self, run: str, now: Instant) -> None:
        if self._borrowed:
            raise LedgerError(f"{self._path} belongs to another target: begin one's own first")
        lock = _locked(self._path.with_suffix(".lock"))
        if lock is None:
            raise self._busy()
        try:
            self._take(run, now)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def _busy(self) -> LedgerError:
        with self._engine.connect() as db:
            lease = db.execute(sa.select(_LEASE)).one_or_none()
        who = "another run"
        if lease is not None and lease.held:
            who = f"another run ({lease.run}, process {lease.pid} on {lease.host})"
        since = f" since {lease.since}" if lease is not None and lease.held else ""
        return LedgerError(
            f"{who} writes here{since}",
            hint="wait until it ends; `plan`, `show` and `query` work meanwhile",
        )

    def _take(self, run: str, now: Instant) -> None:
        with self._changing() as db:
            lease = db.execute(sa.select(_LEASE)).one_or_none()
            clock = _clock(db)
            if clock is not None and now < clock:
                raise LedgerError(
                    f"the time {iso(now)} is before this target's last run ({iso(clock)})",
                    hint="leave --now away, or give a later time",
                )
            token = (lease.token if lease is not None else 0) + 1
            values = {
                "one": 1, "run": run, "host": socket.gethostname(), "pid": os.getpid(),
                "since": iso(wall()), "token": token, "held": True,
            }  # fmt: skip
            db.execute(insert(_LEASE).values(values).on_conflict_do_update(["one"], set_=values))
            db.execute(sa.insert(_RUNS).values(id=run, now=iso(now), started=iso(wall())))
        self._held = _Held(run, now, token)

    def intend(self, run: str, step: str, node: str, sequence: int, body: Mapping[str, Any]) -> int:
        with self._writing(run) as db:
            result = db.execute(
                sa.insert(_RECORDS).values(
                    run=run,
                    step=step,
                    node=node,
                    sequence=sequence,
                    now=iso(self._now(run)),
                    state="intended",
                    body=msgspec.json.encode(body),
                )
            )
            return int(result.lastrowid)

    def enter(self, run: str, records: Sequence[Record]) -> tuple[int, ...]:
        with self._writing(run) as db:
            return tuple(
                int(
                    db.execute(
                        sa.insert(_RECORDS).values(
                            run=each.run,
                            step=each.step,
                            node=each.node,
                            sequence=each.sequence,
                            now=iso(each.now),
                            state="intended",
                            body=msgspec.json.encode(each.body),
                        )
                    ).lastrowid
                )
                for each in records
            )

    def conclude(self, record: Record, files: Mapping[str, Seen] | None = None) -> None:
        with self._writing(self._run()) as db:
            _conclude(db, record, files or {})
            answers = record.body.get("answers", []) if record.state == "done" else []
            if answers:
                db.execute(
                    sa.update(_REQUESTS)
                    .where(_REQUESTS.c.id.in_(answers))
                    .values(answered=record.id)
                )

    def publish(
        self, run: str, now: Instant, pins: Mapping[str, int], concluded: Sequence[Concluded] = ()
    ) -> Publication:
        with self._writing(run) as db:
            for record, files in concluded:
                _conclude(db, record, files)
            last = _last_publication(db)
            merged = {**(last.pins if last else {}), **pins}
            result = db.execute(
                sa.insert(_PUBLICATIONS).values(
                    run=run, now=iso(now), pins=msgspec.json.encode(merged)
                )
            )
            id_ = int(result.lastrowid)
        return Publication(id=id_, run=run, now=now, pins=merged)

    def end(self, run: str, *, forget: bool = False) -> None:
        try:
            with self._writing(run) as db:
                db.execute(sa.update(_LEASE).values(held=False))
                if forget:
                    db.execute(sa.delete(_RUNS).where(_RUNS.c.id == run))
                else:
                    db.execute(sa.update(_RUNS).where(_RUNS.c.id == run).values(ended=iso(wall())))
        finally:
            self._held = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def record(self, id_: int) -> Record:
        with self._engine.connect() as db:
            row = db.execute(sa.select(_RECORDS).where(_RECORDS.c.id == id_)).one_or_none()
        if row is None:
            raise LedgerError(f"the ledger holds no record {id_}")
        return record(row)

    def history(self, node: str) -> tuple[Record, ...]:
        query = sa.select(_RECORDS).where(_RECORDS.c.node == node).order_by(_RECORDS.c.id)
        with self._engine.connect() as db:
            return tuple(record(row) for row in db.execute(query))

    def publication(self, id_: int | None = None) -> Publication | None:
        """Return a set of pins; the newest one is cheap enough for every request of a service."""
        with self._engine.connect() as db:
            return _last_publication(db) if id_ is None else _publication(db, id_)

    def published_by(self, now: Instant) -> Publication | None:
        query = sa.select(_PUBLICATIONS.c.id, _PUBLICATIONS.c.now)
        with self._engine.connect() as db:
            newest_first = db.execute(query.order_by(_PUBLICATIONS.c.id.desc()))
            ids = (row.id for row in newest_first if instant(row.now) <= now)
            id_ = next(ids, None)
            return _publication(db, id_) if id_ is not None else None

    def runs(self) -> tuple[Run, ...]:
        with self._engine.connect() as db:
            lease = db.execute(sa.select(_LEASE)).one_or_none()
            steps: dict[str, list[tuple[str, str]]] = {}
            told = sa.select(_RECORDS.c.run, _RECORDS.c.node, _RECORDS.c.state)
            for run, node, state in db.execute(told.order_by(_RECORDS.c.id)):
                steps.setdefault(run, []).append((node, state))
            last = sa.func.max(_PUBLICATIONS.c.id)
            pins = sa.select(_PUBLICATIONS.c.run, last).group_by(_PUBLICATIONS.c.run)
            published = {run: int(id_) for run, id_ in db.execute(pins)}
            writes = lease.run if lease is not None and lease.held else None
            rows = db.execute(sa.select(_RUNS).order_by(sa.literal_column("rowid")))
            return tuple(
                _a_run(row, steps.get(row.id, []), published.get(row.id), writes=row.id == writes)
                for row in rows
            )

    def ask(self, request: Request) -> int:
        with self._changing() as db:
            values = {"node": request.node, "body": msgspec.json.encode(request)}
            return int(db.execute(sa.insert(_REQUESTS).values(values)).lastrowid)

    def asked(self, node: str) -> tuple[tuple[Request, int | None], ...]:
        query = sa.select(_REQUESTS).where(_REQUESTS.c.node == node).order_by(_REQUESTS.c.id)
        with self._engine.connect() as db:
            return tuple((request(row.id, row.body), row.answered) for row in db.execute(query))

    def _run(self) -> str:
        if self._held is None:
            raise LedgerError("nothing may be written without the lease")
        return self._held.run

    def _now(self, run: str) -> Instant:
        if self._held is None or self._held.run != run:
            raise LedgerError(f"run {run} does not hold the lease")
        return self._held.now

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """One transaction, there in full or not at all."""
        try:
            with self._writer.begin() as db:
                yield db
        except sa.exc.OperationalError as error:
            if (full := disk_full(error, self._path.parent)) is None:
                raise
            raise LedgerError(full.what, hint=full.hint) from error

    @contextmanager
    def _writing(self, run: str) -> Iterator[sa.Connection]:
        self._now(run)
        with self._changing() as db:
            token = db.execute(sa.select(_LEASE.c.token)).scalar_one()
            if self._held is None or token != self._held.token:
                raise LedgerError(f"run {run} has lost its lease to a later run")
            yield db


def _conclude(db: sa.Connection, record: Record, files: Mapping[str, Seen]) -> None:
    db.execute(
        sa.update(_RECORDS)
        .where(_RECORDS.c.id == record.id)
        .values(
            state=record.state,
            facts=msgspec.json.encode(record.facts),
            findings=msgspec.json.encode(record.findings),
            commits=msgspec.json.encode(record.commits),
            error=record.error,
            seconds=record.seconds,
        )
    )
    for seen in files.values():
        values = {
            "source": record.node, "path": seen.path, "record": record.id,
            "size": seen.size, "mtime_ns": seen.mtime_ns, "sha256": seen.sha256,
        }  # fmt: skip
        db.execute(
            insert(_FILES).values(values).on_conflict_do_update(["source", "path"], set_=values)
        )


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _a_run(
    row: Any, steps: Sequence[tuple[str, str]], publication: int | None, *, writes: bool
) -> Run:
    states = [state for _, state in steps]
    return Run(
        id=row.id,
        now=instant(row.now),
        started=instant(row.started),
        ended=instant(row.ended) if row.ended else None,
        publication=publication,
        steps={state: states.count(state) for state in dict.fromkeys(states)},
        nodes=dict(steps),
        writes=writes,
    )


def _last_publication(db: sa.Connection) -> Publication | None:
    query = sa.select(_PUBLICATIONS).order_by(_PUBLICATIONS.c.id.desc()).limit(1)
    return _pins(db.execute(query).one_or_none())


def _publication(db: sa.Connection, id_: int) -> Publication | None:
    query = sa.select(_PUBLICATIONS).where(_PUBLICATIONS.c.id == id_)
    return _pins(db.execute(query).one_or_none())


def _pins(row: Any) -> Publication | None:
    return None if row is None else publication(row)


def _clock(db: sa.Connection) -> Instant | None:
    newest = sa.select(_RUNS.c.now).order_by(sa.literal_column("rowid").desc()).limit(1)
    last = db.execute(newest).scalar()
    return instant(last) if last else None


def _made(engine: sa.Engine) -> bool:
    with engine.connect() as db:
        there = set(db.execute(sa.text("select name from sqlite_master")).scalars())
    return {table.name for table in _META.sorted_tables} <= there


def _locked(path: Path) -> int | None:
    """Return an open descriptor that holds the file's lock, or None where another one holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def file_system(path: Path, mounts: str) -> str:
    """Return the kind of file system that a path lies on, by the text of /proc/mounts.

    >>> file_system(Path("/home/a/ledger.db"), "/dev/sda / ext4 rw 0 0\\nnas:/ /home nfs4 rw 0 0")
    'nfs4'
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        _, at, type_, *_ = line.split(" ")
        at = at.replace("\\040", " ")  # how a space is written there
        if str(path).startswith(at.rstrip("/") + "/") and len(at) >= len(best):
            best, kind = at, type_
    return kind


def _refuse_network(path: Path) -> None:
    kind = file_system(path.resolve(), MOUNTS.read_text()) if MOUNTS.exists() else ""
    if kind in _NETWORK:
        raise LedgerError(
            f"the ledger {path} lies on a network file system ({kind}), where SQLite loses data",
            hint="put the target's ledger on a local disk",
        )
