"""What arrives from a source, as relations that SQL can read: parsed files, or a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.breaks import RAW
from lichen.core.contract.columns import check_columns
from lichen.core.contract.impose import impose
from lichen.core.errors import SourceError, TableError, Where
from lichen.core.sql import col, given, rel
from lichen.core.steps import Land, Seen
from lichen.ports.lake import Column
from lichen.ports.source import Batch, Files, Limits, Stream
from lichen.stages.context import NOW, Context
from lichen.stages.judge import Unreadable
from lichen.stages.sources.land import told, told_at
from lichen.stages.sources.spec import Source

PAYLOAD = "_payload"  # the column that holds a record's bytes, of which the columns are made
OWN = ("_file", "_line", "_removes")
Header = list[tuple[str, str]]  # columns in their order, with their types
NO_LIMITS = Limits(2**62, 2**62, float("inf"))


@dataclass(frozen=True)
class Arrived:
    """What came: `said` is the query that tells it, over `relations` and bound `values`.

    `changed` are the parts of which all that they hold was told, so that what they no longer tell
    is gone; `events` says that each row speaks for itself instead. `key` names all that the text
    of the query depends on.
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
    """Parse the files."""
    files = cast("Files", ctx.connect(source))
    relations: dict[str, Any] = {}
    names: dict[str, str] = {}
    unreadable = []
    headers: list[Header] = []
    for index, seen in enumerate(files_of(step)):
        ctx.progress(seen.path)
        path = files.local(seen)
        records = ctx.engine.csv(path)
        headers.append([(name, "VARCHAR") for name in records.rows.column_names if name != "_line"])
        if source.settings.on_drift is None:
            _check_header(source, records.rows.column_names, Where(path, 1))
        relations[f"_file_{index}"] = records.rows
        names[f"file_{index}"] = seen.path
        if records.rejects.num_rows:
            unreadable.append((seen.path, records.rejects))
    # A row may be missing because it does not parse: then nothing of its file is known to be gone.
    torn = {path for path, _ in unreadable}
    parts = [_imposed_file(source, index, dict(h)) for index, h in enumerate(headers)]
    return Arrived(
        said=told(source, _union(parts), NOW),
        key=(len(parts), *_drifting(source, headers)),
        relations=relations,
        values=names,
        parts=tuple(names.values()),
        changed=tuple(seen.path for seen in step.changed if seen.path not in torn),
        unreadable=tuple(unreadable),
        headers=tuple(headers),
    )


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


def _drifting(source: Source, headers: Sequence[Header]) -> tuple[object, ...]:
    """What the query depends on besides, where columns may come and go."""
    if source.settings.on_drift is None:
        return ()
    return tuple(tuple(header) for header in headers)


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
    with closing(stream.read(step.since, step.mark, limits)) as reading:
        batches = list(_within(reading, limits, ctx))
        ended = reading.ended
        whole = reading.whole
    cursor = batches[-1].cursor if batches else step.since
    tables, rejects = _joined(batches, source, ctx)
    decoded = any(PAYLOAD in Table.from_arrow(batch.rows).column_names for batch in batches)
    relations = {f"_batch_{index}": table for index, table in enumerate(tables)}
    shapes = [ctx.engine.columns(_all(name), relations) for name in relations]
    parts = [
        _imposed_batch(source, name, {c.name: c.type for c in shape})
        for name, shape in zip(relations, shapes, strict=True)
    ]
    rows = _union(parts)
    return Arrived(
        said=told(source, rows, NOW) if whole else told_at(source, rows, NOW),
        key=("stream", bool(whole), *shapes),
        headers=() if decoded else tuple(_header(shape) for shape in shapes),
        relations=relations,
        parts=whole,
        changed=() if rejects else whole,
        unreadable=rejects,
        events=not whole,
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


def _joined(
    batches: Sequence[Batch], source: Source, ctx: Context
) -> tuple[list[Table], Unreadable]:
    """Return the batches as few tables, each of one shape, with their records' columns."""
    alike: list[list[Table]] = []
    for batch in batches:
        table = Table.from_arrow(batch.rows)
        if alike and alike[-1][0].schema == table.schema:
            alike[-1].append(table)
        elif table.num_rows or not alike:
            alike.append([table])
    tables = [
        Table.from_batches([b for t in some for b in t.to_batches()], schema=some[0].schema)
        for some in alike
    ]
    rejects = [Table.from_arrow(b.rejects) for b in batches if b.rejects is not None]
    decoded = []
    names = [column.name for column in source.contract.columns]
    for table in tables or [_no_payloads()]:
        if PAYLOAD in table.column_names:
            more = source.settings.on_drift is not None
            records = ctx.engine.json(table, names, more=more)
            rejects.append(records.rejects)
            decoded.append(records.rows)
        else:
            decoded.append(table)
    return decoded, _by_part(rejects)


def _no_payloads() -> Table:
    return Table.from_pydict(
        {
            PAYLOAD: Array([], DataType.binary()),
            "_file": Array([], DataType.utf8()),
            "_line": Array([], DataType.int64()),
        }
    )


def _by_part(rejects: Iterable[Table]) -> Unreadable:
    """Return rejects by the part of the source that holds them."""
    found: dict[str, dict[str, list[Any]]] = {}
    for table in rejects:
        rows = [table.column(name).to_pylist() for name in ("_file", "_line", "raw", "reason")]
        for file, line, raw, reason in zip(*rows, strict=True):
            part = found.setdefault(file, {"_line": [], "raw": [], "reason": []})
            part["_line"].append(line)
            part["raw"].append(raw)
            part["reason"].append(reason)
    return tuple((file, _rejects(part)) for file, part in found.items())


def _rejects(part: dict[str, list[Any]]) -> Table:
    types = {"_line": DataType.int64(), "raw": DataType.binary(), "reason": DataType.utf8()}
    return Table.from_pydict({name: Array(part[name], type_) for name, type_ in types.items()})


def _imposed_batch(source: Source, name: str, types: dict[str, str]) -> exp.Query:
    if source.settings.on_drift is None:
        _check_header(source, [n for n in types if n not in OWN], source.where)
    rows: exp.Query = exp.select("*").from_(rel(name))
    if "_removes" not in types:
        rows = exp.select("*", exp.alias_(exp.false(), "_removes")).from_(rel(name))
    return _imposed(source, rows, OWN, types)


def _union(parts: Sequence[exp.Query]) -> exp.Query:
    return parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)


def _all(name: str) -> exp.Select:
    return exp.select(exp.Star()).from_(rel(name))
