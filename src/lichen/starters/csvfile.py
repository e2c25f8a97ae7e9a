"""From a CSV file to a whole project that predicts one of its columns."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from arro3.core import Table

from lichen.core.errors import LichenError, OutcomeError, SourceError, Where
from lichen.core.sql import Prepared
from lichen.core.time import Instant, instant
from lichen.ports.engine import Engine
from lichen.starters.place import write
from lichen.starters.profile import Column, profile
from lichen.starters.project import SHARE, Choice, files, names
from lichen.starters.raw import Raw, look
from lichen.starters.repair import prepare
from lichen.starters.target import find, target
from lichen.starters.words import column_names, node_name

# The moment after which the newest share of the rows lies.
_EDGE = """
select strftime(quantile_disc(try_cast(v as timestamptz), $early), '%Y-%m-%dT%H:%M:%SZ') as edge
from _column
"""


FEWEST = 20  # rows with an outcome


@dataclass(frozen=True)
class Wish:
    """What the user says of a file: the column to predict, and what cannot be told from it."""

    predict: str
    key: str | None = None
    time: str | None = None
    task: str | None = None
    positive: str | None = None


def begin(path: Path, wish: Wish, folder: Path, title: str, engine: Engine, now: Instant) -> Choice:
    """Write a project about a CSV file into an empty folder; returns what was chosen.

    Raises LichenError, with the file's own place, for what is no CSV file or cannot be predicted.
    """
    raw = look(path)
    feed = folder / "feeds" / f"{node_name(path.stem)}.csv"
    _bring(raw, folder, feed, now)
    columns, rows = _profiled(raw, feed, engine)
    choice = _chosen(raw, columns, wish, rows, engine, now)
    write(folder, files(choice, title))
    return choice


def _bring(raw: Raw, folder: Path, feed: Path, now: datetime) -> None:
    """Copy the file to the feed or, if it cannot be read as it is, beside what makes the feed."""
    feed.parent.mkdir()
    if not raw.repairs:
        shutil.copyfile(raw.path, feed)
        return
    (folder / "data").mkdir()
    given = f"data/{raw.path.name}"
    shutil.copyfile(raw.path, folder / given)
    path = folder / "prepare.py"
    path.write_text(prepare(raw, given, feed.relative_to(folder).as_posix()), "utf-8")
    spec = importlib.util.spec_from_file_location("lichen_prepare", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.prepare(folder, now)


def _profiled(raw: Raw, feed: Path, engine: Engine) -> tuple[tuple[Column, ...], Table]:
    try:
        records = engine.csv(feed)
    except LichenError as error:
        line = error.where.line if error.where else 0
        where = Where(raw.path, line)
        raise SourceError(error.what, where=where, hint=error.hint) from error
    if not records.rows.num_rows:
        reasons = records.rejects.column("reason")
        why = f": {reasons[0].as_py()}" if len(reasons) else ""
        raise SourceError(f"no row of this file reads{why}", where=Where(raw.path))
    clean = column_names(raw.header)
    called = dict(zip(raw.columns, zip(raw.header, clean, strict=True), strict=True))
    return profile(engine, records.rows, called), records.rows


def _chosen(
    raw: Raw, columns: Sequence[Column], wish: Wish, rows: Table, engine: Engine, now: Instant
) -> Choice:
    where = Where(raw.path, 1)
    goal = target(
        find(columns, wish.predict, where, "--predict"), raw.path, wish.task, wish.positive
    )
    key = find(columns, wish.key, where, "--key") if wish.key else None
    time = find(columns, wish.time, where, "--time") if wish.time else None
    for what, other in (("--key", key), ("--time", time)):
        if other is not None and other.name == goal.column.name:
            raise OutcomeError(f"{what} is the column that is to be predicted", where=where)
    if key is not None:
        _refuse_key(key, where)
    edge = _edge(time, rows, engine, where) if time is not None else None
    called = names(raw.path.stem, goal.column.name)
    choice = Choice(raw, tuple(columns), goal, called, now, key, time, edge)
    if not choice.features:
        raise OutcomeError(
            f"there is nothing to predict {goal.column.given} from",
            where=where,
            hint="; ".join(f"{name}: {why}" for name, why in choice.left_out.items()),
        )
    if goal.column.known < FEWEST:
        raise OutcomeError(
            f"{goal.column.known} rows with a value of {goal.column.given} are too few to learn "
            "from",
            where=where,
            hint=f"a fifth of them is to judge: give it {FEWEST} at least",
        )
    return choice


def _refuse_key(key: Column, where: Where) -> None:
    if key.distinct < key.rows:
        what = "has no value in some rows" if key.missing else "stands several times"
        raise SourceError(
            f"--key: {key.given} {what} ({key.distinct:,} different values in {key.rows:,} rows)",
            where=where,
            hint="name a column that tells the rows apart, or leave --key out",
        )


def _edge(time: Column, rows: Table, engine: Engine, where: Where) -> Instant:
    if time.type not in ("date", "timestamp"):
        some = ", ".join([*time.values][:2])
        raise SourceError(
            f"--time: {time.given} holds no times ({some})",
            where=where,
            hint="times are written 2026-02-01 or 2026-02-01T06:30:00Z",
        )
    given = {"_column": Table.from_pydict({"v": rows.column(time.raw)})}
    (found,) = engine.rows(Prepared(_EDGE), given, {"early": 1 - SHARE})
    return instant(found["edge"])
