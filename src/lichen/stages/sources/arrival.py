"""What arrives from a source, as relations that SQL can read: parsed files, or a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.breaks import RAW
from lichen.core.contract.columns import check_columns
from lichen.core.contract.impose import impose
from lichen.core.errors import FileUnreadable, SourceError, TableError, Where
from lichen.core.sql import DIALECT, col, given, rel
from lichen.core.steps import Land, Seen
from lichen.ports.lake import Column
from lichen.ports.source import Batch, Files, Limits, Stream
from lichen.stages.context import NOW, Context
from lichen.stages.judge import Unreadable
from lichen.stages.sources.land import told, told_at
from lichen.stages.sources.pile import OWN, Pile, reasons
from lichen.stages.sources.spec import Source

Header = list[tuple[str, str]]  # columns in their order, with their types
NO_LIMITS = Limits(2**62, 2**62, float("inf"))


@dataclass(frozen=True)
class Arrived:
    """What came: `said` is the query that tells it, over `relations` and bound `values`.

    `apart` tells the same where a part repeats a key; None where that makes no difference.
    `changed` are the parts of which all that they hold was told, so that what they no longer tell
    is gone; `events` says that each row speaks for itself instead. `keeps` are the columns that
    some row does not tell, since they stay as they were. `pile` holds what was too much for the
    memory; whoever is done clears it. `key` names all that the text of the query depends on.
    """

    said: exp.Query
    key: tuple[object, ...]
    relations: dict[str, Any]
    values: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unreadable: Unreadable = ()
    headers: tuple[Header, ...] = ()  # of the parts that have columns by themselves
    events: bool = False
    keeps: tuple[str, ...] = ()
    pile: Pile | None = None
    apart: exp.Query | None = None
    cursor: str | None = None
    reached: str | None = None


def arrive(step: Land, source: Source, ctx: Context) -> Arrived | None:
    """Read what a step is to land; None where it reads nothing."""
    if step.mark is not None:
        return _streamed(step, source, ctx)
    return _filed(step, source, ctx) if files_of(step) else None


def files_of(step: Land) -> tuple[Seen, ...]:
    """Return the files that a step reads."""
    return (*step.new, *step.changed, *step.again)


def paths(names: Iterable[str]) -> Table:
    """Return names of parts as a relation."""
    return Table.from_pydict({"path": Array(list(names), DataType.utf8())})


def _filed(step: Land, source: Source, ctx: Context) -> Arrived:
    """Read the files. One that cannot be read at all is told like a record that cannot."""
    files = cast("Files", ctx.connect(source))
    names = [column.name for column in source.contract.columns]
    relations: dict[str, Any] = {}
    values: dict[str, str] = {}
    unreadable, parts, error = [], [], None
    shapes: list[tuple[Column, ...]] = []
    for index, seen in enumerate(files_of(step)):
        ctx.progress(seen.path)
        try:
            records = files.records(seen, ctx.engine, names)
        except FileUnreadable as told_by:
            error = error or told_by
            unreadable.append((seen.path, _whole_file(told_by)))
            continue
        name = f"_file_{index}"
        relations[name], values[f"file_{index}"] = records.rows, seen.path
        shapes.append(_shape(records.rows, ctx))
        if source.settings.on_drift is None:
            _check_header(source, [c.name for c in shapes[-1]], _place(files, seen))
        parts.append(_imposed_file(source, index, {c.name: c.type for c in shapes[-1]}))
        if records.rejects is not None and records.rejects.num_rows:
            unreadable.append((seen.path, records.rejects))
    if error is not None and not parts:
        raise error  # nothing at all was read: there is nothing to go on with
    # A row may be missing because it does not parse: then nothing of its file is known to be gone.
    torn = {path for path, _ in unreadable}
    rows = _union(parts)
    return Arrived(
        said=told(source, rows, NOW, repeats=False),
        apart=told(source, rows, NOW, repeats=True),
        key=(*relations, *shapes, source.settings.on_drift),
        relations=relations,
        values=values,
        parts=tuple(seen.path for seen in files_of(step)),
        changed=tuple(seen.path for seen in step.changed if seen.path not in torn),
        unreadable=tuple(unreadable),
        headers=tuple(_header(shape) for shape in shapes if not _decoded(shape)),
    )


def _decoded(shape: Sequence[Column]) -> bool:
    """Return whether the columns are those that were asked for: fields of JSON objects."""
    return any(column.name == "_more" for column in shape)


def _whole_file(error: FileUnreadable) -> Table:
    """Return what is kept of a file of which no record could be told: why."""
    return reasons({"_line": [None], "raw": [b""], "reason": [error.what]})


def _shape(rows: Any, ctx: Context) -> tuple[Column, ...]:
    """Return the columns of a file's rows."""
    if isinstance(rows, Table) and all(
        name == "_line" or DataType.is_string(rows.schema.field(name).type)
        for name in rows.column_names
    ):
        return tuple(Column(name, "VARCHAR") for name in rows.column_names if name != "_line")
    columns = ctx.engine.columns(exp.select("*").from_(rel("_rows")), {"_rows": rows})
    return tuple(column for column in columns if column.name != "_line")


def _place(files: Files, seen: Seen) -> Where:
    """Return the file as a place, where it is one of this machine's."""
    return Where(Path(seen.path) if "://" in seen.path else files.local(seen), 1)


def _imposed_file(source: Source, index: int, types: dict[str, str]) -> exp.Query:
    name = exp.alias_(given(f"file_{index}", "varchar"), "_file")
    tagged = exp.select("*", name).from_(rel(f"_file_{index}"))
    return _imposed(source, tagged, ("_file", "_line"), types)


def _imposed(
    source: Source, rows: exp.Query, keep: Sequence[str], types: dict[str, str]
) -> exp.Select:
    """Return rows with the contract's types imposed.

    Where the source says what to do about drift, a column that is missing is NULL, and what the
    contract does not name is kept in `_raw`.
    """
    if source.settings.on_drift is None:
        return impose(source.contract, rows, keep=keep, types=types)
    have = {name.lower() for name in types}
    missing = [c.name for c in source.contract.columns if c.name.lower() not in have]
    named = {c.name.lower() for c in source.contract.columns}
    others = [n for n in types if n.lower() not in named and not n.startswith(("_", "meta_"))]
    added = [exp.alias_(exp.cast(exp.null(), "varchar"), n, quoted=True) for n in missing]
    if "_more" not in types:
        added.append(exp.alias_(_as_json(others), "_more"))
    wide = exp.select(exp.Star(), *added).from_(rows.subquery("arrived"))
    imposed = impose(source.contract, wide, keep=(*keep, "_more"), types=types)
    both = exp.Anonymous(
        this="json_merge_patch",
        expressions=[exp.func("coalesce", col(RAW), exp.Literal.string("{}")), col("_more")],
    )
    raw = exp.case().when(col("_more").is_(exp.null()), col(RAW)).else_(exp.cast(both, "varchar"))
    names = [c.name for c in source.contract.columns]
    return exp.select(*map(col, (*names, *keep)), exp.alias_(raw, RAW)).from_(imposed.subquery("i"))


def _as_json(names: Sequence[str]) -> exp.Expr:
    """Return columns as one JSON object, NULL where all of them are."""
    if not names:
        return exp.cast(exp.null(), "varchar")
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=col(name))
        for name in names
    ]
    document = exp.Anonymous(this="to_json", expressions=[exp.Struct(expressions=fields)])
    empty = exp.and_(*(col(name).is_(exp.null()) for name in names))
    return exp.case().when(exp.not_(empty), exp.cast(document, "varchar"))


def _check_header(source: Source, names: Sequence[str], header: Where) -> None:
    try:
        check_columns(source.contract, names)
    except TableError as error:
        promised = f"{error.what}, which {source.contract.path.name} promises"
        raise SourceError(
            promised, where=header, allowed=error.allowed, given=error.given, hint=error.hint
        ) from error


def _streamed(step: Land, source: Source, ctx: Context) -> Arrived | None:
    """Read a stream on, from the step's cursor to its mark or to the limits of one landing."""
    assert step.mark is not None
    record = ctx.shelf.records.get(step.node)
    if record is not None and record.facts.get("reached") == step.mark.until and not step.replace:
        return None  # asked for something else: nothing is new
    stream = cast("Stream", ctx.connect(source))
    limits = NO_LIMITS if step.replace else source.limits
    names = [column.name for column in source.contract.columns]
    more = source.settings.on_drift is not None
    imposed = partial(_imposed_batch, source)
    pile = Pile(ctx, step.node, names, source.limits, imposed, more=more)
    cursor = step.since
    try:
        with closing(stream.read(step.since, step.mark, limits)) as reading:
            for batch in _within(reading, limits, ctx):
                pile.add(batch)
                cursor = batch.cursor
            whole, ended = reading.whole, reading.ended
        relations, rows = pile.relations()
    except BaseException:
        pile.clear()
        raise
    keeps = tuple(name for name in names if name.lower() in pile.keeps)
    unreadable = pile.unreadable()
    return Arrived(
        said=told(source, rows, NOW, repeats=False)
        if whole
        else told_at(source, rows, NOW, keeps=bool(keeps)),
        apart=told(source, rows, NOW, repeats=True) if whole else None,
        key=("stream", bool(whole), keeps, bool(pile.files), *pile.shapes),
        headers=tuple(_header(shape) for shape in pile.told),
        relations=relations,
        parts=whole,
        changed=() if unreadable else whole,
        unreadable=unreadable,
        events=not whole,
        keeps=keeps,
        pile=pile if pile.files else None,
        cursor=cursor,
        reached=step.mark.until if ended else None,
    )


def _header(shape: Sequence[Column]) -> Header:
    return [(c.name, c.type) for c in shape if not c.name.startswith(("_", "meta_"))]


def _within(reading: Any, limits: Limits, ctx: Context) -> Iterable[Batch]:
    """Yield batches until a limit is reached. What tells a part whole is never cut."""
    began, rows, size = time.monotonic(), 0, 0
    for batch in reading:
        yield batch
        rows, size = rows + batch.rows.num_rows, size + batch.rows.nbytes
        ctx.progress(f"{rows:,} records")
        spent = time.monotonic() - began
        full = rows >= limits.rows or size >= limits.bytes or spent >= limits.seconds
        if full and not reading.whole:
            return


def _imposed_batch(source: Source, name: str, types: dict[str, str]) -> exp.Query:
    if source.settings.on_drift is None:
        _check_header(source, [n for n in types if n not in OWN], source.where)
    nothing = {
        "_removes": exp.false(),
        "_keeps": exp.cast(exp.null(), "varchar[]", dialect=DIALECT),
    }
    missing = [exp.alias_(value, own) for own, value in nothing.items() if own not in types]
    rows = exp.select("*", *missing).from_(rel(name))
    return _imposed(source, rows, OWN, types)


def _union(parts: Sequence[exp.Query]) -> exp.Query:
    return parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)
