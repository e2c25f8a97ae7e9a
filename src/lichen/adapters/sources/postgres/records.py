"""Changes of a table as records: Arrow columns, and what each says of its key."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from arro3.core import Array, ChunkedArray, DataType, Table, list_array

from lichen.adapters.sources.postgres.catalog import Column, Relation, bases
from lichen.adapters.sources.postgres.link import Link, told_columns
from lichen.adapters.sources.postgres.pgoutput import (
    KEPT,
    Delete,
    Insert,
    Kept,
    Row,
    Shape,
    Update,
)
from lichen.adapters.sources.postgres.values import told
from lichen.core.errors import SourceError

_PIECE = 5_000  # records that are held as objects
_SHIFT = 9  # bits: places in the log lie 8 bytes apart, and no page holds 2,048 rows


class Records:
    """Collects records until somebody takes them."""

    def __init__(self, link: Link, relation: Relation) -> None:
        self._link, self._relation = link, relation
        self._columns = [c for c in told_columns(relation) if not c.generated]
        self._at = list(range(len(self._columns)))  # where a told row has each of them
        self._keys: list[int] = []
        self._names: tuple[str, ...] | None = None
        self._rows: list[tuple[Row, int, bool]] = []
        self._pieces: list[Table] = []
        self._place, self._nth = 0, 0
        self.count = 0

    def fits(self, shape: Shape) -> bool:
        """Return whether records of a shape can stand beside those that are here."""
        return not self.count or shape.names == self._names

    def take_shape(self, shape: Shape) -> None:
        """Read rows as a shape has them, from now on."""
        known = bases(self._link.session(), shape.types)
        columns = tuple(
            Column(name, "", *known.get(type_, (0, False)))
            for name, type_ in zip(shape.names, shape.types, strict=True)
        )
        self._columns = list(told_columns(Relation("", "", columns)))
        self._at = [columns.index(column) for column in self._columns]
        self._names = shape.names
        self._keys = [self._key(name, shape.names) for name in self._link.settings.keys]

    def _key(self, name: str, names: Sequence[str]) -> int:
        alike = [n for n in names if n == name] or [n for n in names if n.lower() == name.lower()]
        if len(alike) != 1:
            raise SourceError(
                f"key: {self._relation.part} has no column {name!r} any more",
                where=self._link.outside.where,
                allowed=names,
                given=name,
            )
        return names.index(alike[0])

    def line(self, at: int) -> int:
        """Return the place of the next change, which the log has at a place.

        One entry of the log may hold many rows, and a change may need two records.
        """
        self._nth = self._nth + 2 if at == self._place else 0
        self._place = at
        return (at << _SHIFT) + self._nth

    def add(self, change: Insert | Update | Delete, line: int) -> None:
        """Add what a change says."""
        match change:
            case Insert(new=new):
                self._put(new, line)
            case Delete(old=old):
                self._put(old, line, removes=True)
            case Update(old=old, new=new, whole=whole):
                if old is not None and whole:
                    new = [o if n is KEPT else n for o, n in zip(old, new, strict=True)]
                if old is not None and self._moves(old, new):
                    self._put(old, line, removes=True)
                    self._arrive(new, line + 1)
                else:
                    self._put(new, line)

    def take(self) -> Table:
        """Return what was collected, and begin anew."""
        self._pack()
        pieces, self._pieces, self.count = self._pieces, [], 0
        if not pieces:
            return self._table([])
        # Pieces without anything kept lack the column that says so.
        if len({tuple(piece.column_names) for piece in pieces}) > 1:
            pieces = [_with_keeps(piece) for piece in pieces]
        batches = [batch for piece in pieces for batch in piece.to_batches()]
        return Table.from_batches(batches, schema=pieces[0].schema)

    def _moves(self, old: Row, new: Row) -> bool:
        return any(new[k] is not KEPT and new[k] != old[k] for k in self._keys)

    def _arrive(self, new: Row, line: int) -> None:
        """Put a row under its new key. What it kept is asked for: its old key is another one's.

        Where it is gone or has moved on, a later change says so, and nobody ever saw this one.
        """
        if not any(isinstance(value, Kept) for value in new):
            self._put(new, line)
            return
        session, names = self._link.session(), self._names or ()
        lacks = [n for n, value in enumerate(new) if isinstance(value, Kept)]
        columns = {c.name: c for c in self._relation.columns}
        of = [session.name(names[n]) for n in lacks]
        values = ", ".join(f"case when num_nulls({c}) = 0 then concat({c}) end" for c in of)
        where = []
        for k in self._keys:
            value = new[k]
            assert isinstance(value, bytes)
            type_ = columns[names[k]].type
            where.append(f"{session.name(names[k])} = {session.text(value.decode())}::{type_}")
        found = session.ask(
            f"select {values} from {self._relation.sql} where {' and '.join(where)}"  # noqa: S608
        )
        if len(found) == 1:
            whole = list(new)
            for n, text in zip(lacks, found[0], strict=True):
                whole[n] = text.encode() if text is not None else None
            self._put(whole, line)

    def _put(self, row: Row, line: int, *, removes: bool = False) -> None:
        self._rows.append((row, line, removes))
        self.count += 1
        if len(self._rows) >= _PIECE:
            self._pack()

    def _pack(self) -> None:
        if self._rows:
            self._pieces.append(self._table(self._rows))
            self._rows = []

    def _table(self, rows: Sequence[tuple[Row, int, bool]]) -> Table:
        arrays: dict[str, Any] = {}
        for at, column in zip(self._at, self._columns, strict=True):
            texts = [None if row[at] is KEPT else row[at] for row, _, _ in rows]
            arrays[column.name] = told(texts, column)
        arrays["_file"] = Array([self._relation.part] * len(rows), DataType.utf8())
        arrays["_line"] = Array([line for _, line, _ in rows], DataType.int64())
        arrays["_removes"] = Array([removes for _, _, removes in rows], DataType.bool())
        keeps = [self._kept(row) for row, _, _ in rows]
        if any(keeps):
            arrays["_keeps"] = _lists(keeps)
        return Table.from_pydict(arrays)

    def _kept(self, row: Row) -> list[str] | None:
        names = [
            column.name.lower()
            for at, column in zip(self._at, self._columns, strict=True)
            if row[at] is KEPT
        ]
        return names or None


def _with_keeps(table: Table) -> Table:
    if "_keeps" in table.column_names:
        return table
    return table.append_column("_keeps", ChunkedArray([_lists([None] * table.num_rows)]))


def _lists(values: Sequence[list[str] | None]) -> Array:
    ends = list(itertools.accumulate((len(each or ()) for each in values), initial=0))
    every = [name for each in values for name in each or ()]
    return list_array(Array(ends, DataType.int32()), Array(every, DataType.utf8()))
