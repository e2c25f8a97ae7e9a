"""What a landing reads of a stream, piled up: in memory, and what is more than fits there in files.

A landing of a stream is cut where its limits are reached; but one that tells everything, or reads
everything again, is one whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.sql import rel
from lichen.ports.engine import Scan
from lichen.ports.lake import Column
from lichen.ports.source import Batch, Limits
from lichen.stages.context import Context
from lichen.stages.judge import Unreadable

PAYLOAD = "_payload"  # the column that holds a record's bytes, of which the columns are made
OWN = ("_file", "_line", "_removes", "_keeps")  # what a record says of itself
SAID = "meta_"  # how columns begin that are no record's own; a contract may promise them
Imposed = Callable[[str, dict[str, str]], exp.Query]  # a relation and its types, as the contract's


class Pile:
    """Batches of one landing, as relations with the contract's columns.

    `limits` is how much is held in memory. Of payloads the columns in `names` are read, and with
    `more` it is told which others there are.
    """

    def __init__(
        self,
        ctx: Context,
        node: str,
        names: Sequence[str],
        limits: Limits,
        imposed: Imposed,
        *,
        more: bool,
    ) -> None:
        self._ctx, self._names, self._limits = ctx, names, limits
        self._imposed, self._more = imposed, more
        self._folder = ctx.folder / "spool" / node
        self._batches: list[Batch] = []
        self._rejects: list[Table] = []
        self._rows = self._bytes = 0
        self._columns: tuple[Column, ...] = ()
        self._decoded = False
        self.files: list[Path] = []
        self.keeps: set[str] = set()
        self.shapes: list[tuple[Column, ...]] = []  # of the relations
        self.told: list[tuple[Column, ...]] = []  # as the source had it, where it has columns

    def add(self, batch: Batch) -> None:
        """Add a batch; what came before it goes to a file where both are too much."""
        rows, size = batch.rows.num_rows, batch.rows.nbytes
        full = self._rows + rows > self._limits.rows or self._bytes + size > self._limits.bytes
        if self._rows and full:
            self._spool()
        self._batches.append(batch)
        self._rows, self._bytes = self._rows + rows, self._bytes + size

    def relations(self) -> tuple[dict[str, Any], exp.Query]:
        """Return the relations that hold all of it, and the query that tells it."""
        if self.files:
            self._spool()
            scan = Scan(tuple(self.files), self._columns)
            self.shapes = [self._columns]
            return {"_spool": scan}, exp.select("*").from_(rel("_spool"))
        return self._in_memory()

    def unreadable(self) -> Unreadable:
        """Return the rejects, by the part of the source that holds them."""
        return _by_part(self._rejects)

    def clear(self) -> None:
        """Remove the files, and what a dead process left of earlier ones."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink()
        self.files = []

    def file(self) -> Path:
        """Return a path where something may be put until this is cleared."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{uuid.uuid4().hex}.parquet"

    def _in_memory(self) -> tuple[dict[str, Any], exp.Query]:
        tables = self._tables()
        relations = {f"_batch_{index}": table for index, table in enumerate(tables)}
        parts = []
        for name in relations:
            shape = self._ctx.engine.columns(exp.select(exp.Star()).from_(rel(name)), relations)
            self.shapes.append(shape)
            if not self._decoded and shape not in self.told:
                self.told.append(shape)
            parts.append(self._imposed(name, {c.name: c.type for c in shape}))
        return relations, parts[0] if len(parts) == 1 else exp.union(*parts, distinct=False)

    def _spool(self) -> None:
        """Write what is in memory to a file, with the contract's types."""
        if not self.files:
            self.clear()
        relations, rows = self._in_memory()
        written = self._ctx.engine.write(rows, relations, self.file())
        self.files.append(written.path)
        self._columns = written.columns
        self._batches, self._rows, self._bytes = [], 0, 0

    def _tables(self) -> list[Table]:
        """Return the batches as few tables, each of one shape, with their records' columns."""
        alike: list[list[Table]] = []
        for batch in self._batches:
            table = Table.from_arrow(batch.rows)
            if alike and alike[-1][0].schema == table.schema:
                alike[-1].append(table)
            elif table.num_rows or not alike:
                alike.append([table])
        tables = [
            Table.from_batches([b for t in some for b in t.to_batches()], schema=some[0].schema)
            for some in alike
        ]
        self._rejects += [
            Table.from_arrow(b.rejects) for b in self._batches if b.rejects is not None
        ]
        decoded = []
        for table in tables or [_no_payloads()]:
            if PAYLOAD in table.column_names:
                self._decoded = True
                beside = _beside_payload(table, self._names)
                have = set(map(str.lower, beside))
                fields = [name for name in self._names if name.lower() not in have]
                payloads = table.select([PAYLOAD, *beside])
                records = self._ctx.engine.json(payloads, fields, more=self._more)
                self._rejects.append(records.rejects)
                decoded.append(records.rows)
            else:
                self.keeps |= _kept(table)
                asked = set(map(str.lower, self._names))
                said = [n for n in table.column_names if not n.startswith(SAID) or n in asked]
                decoded.append(table.select(said))
        return decoded


def _beside_payload(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns beside the payload that are asked for: what is said of a record."""
    wanted = {*OWN, *map(str.lower, names)}
    return [name for name in table.column_names if name.lower() in wanted]


def _kept(table: Table) -> set[str]:
    """The columns that some record does not tell, since they stay as they were."""
    if "_keeps" not in table.column_names:
        return set()
    return {name for names in table.column("_keeps").to_pylist() for name in names or ()}


def _no_payloads() -> Table:
    return Table.from_pydict(
        {
            PAYLOAD: Array([], DataType.binary()),
            "_file": Array([], DataType.utf8()),
            "_line": Array([], DataType.int64()),
        }
    )


def _by_part(rejects: Iterable[Table]) -> Unreadable:
    found: dict[str, dict[str, list[Any]]] = {}
    for table in rejects:
        rows = [table.column(name).to_pylist() for name in ("_file", "_line", "raw", "reason")]
        for file, line, raw, reason in zip(*rows, strict=True):
            part = found.setdefault(file, {"_line": [], "raw": [], "reason": []})
            part["_line"].append(line)
            part["raw"].append(raw)
            part["reason"].append(reason)
    return tuple((file, reasons(part)) for file, part in found.items())


def reasons(part: dict[str, list[Any]]) -> Table:
    types = {"_line": DataType.int64(), "raw": DataType.binary(), "reason": DataType.utf8()}
    return Table.from_pydict({name: Array(part[name], type_) for name, type_ in types.items()})
