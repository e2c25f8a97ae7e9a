"""Rows as a test writes them, made into Arrow tables of row versions in the node's own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.contract.impose import impose
from lichen.core.contract.spec import Contract, Property
from lichen.core.errors import ProjectError, placed
from lichen.core.names import Kind, Name
from lichen.core.sql import col, columns_in, rel
from lichen.core.time import instant, iso
from lichen.core.versions import key_text
from lichen.declared import Project
from lichen.ports.engine import Engine, Scan
from lichen.ports.lake import Column
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.services.tables import columns_of
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table as TableNode
from lichen.units.cases import Row

# Rows that say nothing else were known from the beginning; without a `now` all is known that will
# ever be. Both lie where every library's times reach.
BEGINNING, END = instant("1900-01-01"), instant("2200-01-01")
_TEXTS = "_texts"


@dataclass
class Types:
    """The types of a node's columns: declared, or those of its SELECT over rows that are typed."""

    project: Project
    engine: Engine
    _known: dict[Name, Mapping[str, str]] = field(default_factory=dict)

    def of(self, name: Name) -> Mapping[str, str]:
        """Return DuckDB's type of each user column."""
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def _found(self, name: Name) -> Mapping[str, str]:
        node = self.project.nodes.get(name)
        match node:
            case None if name.kind in (Kind.predictions, Kind.feedback):
                return columns_of(name.kind)
            case Source():
                return {column.name: column.type for column in node.contract.columns}
            case TableNode() if node.function is not None:
                return node.function.types
            case TableNode() | Outcome():
                return self._of_select(node.select, self.project.reads[name])
            case _:
                raise ProjectError(f"{name} has no rows of its own")

    def _of_select(self, select: exp.Select, reads: Sequence[Name]) -> Mapping[str, str]:
        nothing = {
            str(read): Scan((), tuple(Column(c, t) for c, t in self.of(read).items()))
            for read in reads
        }
        return {column.name: column.type for column in self.engine.columns(select, nothing)}


def given(name: Name, rows: Sequence[Row], types: Types, *, as_it_came: bool = False) -> Table:
    """Return the versions relation of an input: rows in their order, one after the other.

    A source's row is known when the source declares it to be, if it names what that reads; other
    rows from the beginning on; and any row when its own `_known_at` says so. A row whose values
    are not of their types is refused, unless it is to be judged `as_it_came`.
    """
    node, engine = types.project.nodes.get(name), types.engine
    contract = _contract(name, types)
    texts = _texts(rows, [c.name for c in contract.columns], contract)
    known = node.known_at if isinstance(node, Source) else None
    read = columns_in(known) if known is not None else frozenset()
    dated = [read <= {column.lower() for column in row.values} for row in rows]
    texts = texts.append_column("_dated", Array(dated, DataType.bool()))
    query = _versions(contract, known, getattr(node, "key", ()))
    made = Table.from_arrow(engine.arrow(query, {_TEXTS: texts}))
    if not as_it_came:
        _refuse_untyped(rows, contract, made)
    return made


def typed(rows: Sequence[Row], types: Mapping[str, str], engine: Engine) -> Table:
    """Return rows as an Arrow table of these columns in their types, and `_row`, their number."""
    contract = _of_types(types, rows[0].path if rows else Path())
    read = exp.select("*").from_(rel(_TEXTS))
    query = exp.select(*map(col, (*types, "_row", "_raw"))).from_(
        impose(contract, read, keep=("_row",)).subquery("i")
    )
    texts = _texts(rows, list(types), contract)
    made = Table.from_arrow(engine.arrow(query.order_by(col("_row")), {_TEXTS: texts}))
    _refuse_untyped(rows, contract, made)
    return made


def values(rows: Sequence[Row], types: Mapping[str, str], engine: Engine) -> list[dict[str, Any]]:
    """Return rows as Python values of their columns' types, each with the columns that it names."""
    made = typed(rows, types, engine)
    columns = {name.lower(): (name, made.column(name).to_pylist()) for name in types}
    named = ([columns[name.lower()] for name in row.values] for row in rows)
    return [{name: column[i] for name, column in each} for i, each in enumerate(named)]


def _contract(name: Name, types: Types) -> Contract:
    node = types.project.nodes.get(name)
    return node.contract if isinstance(node, Source) else _of_types(types.of(name), Path(name.name))


def _of_types(types: Mapping[str, str], path: Path) -> Contract:
    return Contract(path, "", tuple(Property(name, type_) for name, type_ in types.items()))


def _texts(rows: Sequence[Row], columns: Sequence[str], contract: Contract) -> Table:
    """Return what was written as texts, with `_row`, `_said` (known-at) and `_deleted`."""
    written = [{name.lower(): value for name, value in row.values.items()} for row in rows]
    texts: dict[str, Any] = {}
    for name in columns:
        is_text = contract.type_of(name) == "VARCHAR"
        found = [
            _text(each.get(name.lower()), row, name, is_text=is_text)
            for each, row in zip(written, rows, strict=True)
        ]
        texts[name] = Array(found, DataType.utf8())
    said = [_moment(row) for row in rows]
    gone = [bool(row.values.get("_deleted")) for row in rows]
    return Table.from_pydict(
        texts
        | {
            "_row": Array(list(range(len(rows))), DataType.int64()),
            "_said": Array(said, DataType.utf8()),
            "_deleted": Array(gone, DataType.bool()),
        }
    )


def _text(value: Any, row: Row, column: str, *, is_text: bool) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if is_text:
        raise ProjectError(
            f"{column} is a text, and {_spelled(value)} is none",
            where=row.where(column),
            hint="put the value in quotes",
        )
    return _spelled(value)


def _spelled(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _moment(row: Row) -> str | None:
    if (written := row.values.get("_known_at")) is None:
        return None
    with placed(row.where("_known_at"), "_known_at"):
        return iso(instant(str(written)))


def _versions(contract: Contract, known: exp.Expr | None, key: Sequence[str]) -> exp.Select:
    users = [column.name for column in contract.columns]
    typed_rows = impose(
        contract, exp.select("*").from_(rel(_TEXTS)), keep=("_row", "_said", "_dated", "_deleted")
    )
    beginning = exp.cast(exp.Literal.string(iso(BEGINNING)), "timestamptz")
    said = exp.cast(col("_said"), "timestamptz")
    known_at: exp.Expr = exp.func("coalesce", said, beginning.copy())
    if known is not None:  # where a row names all that it reads; else it says nothing of its time
        declared = exp.func("coalesce", said.copy(), exp.cast(known.copy(), "timestamptz"))
        known_at = exp.case().when(col("_dated"), declared).else_(known_at)
    # A row without a key of its own is a row of its own.
    identity = key_text(key) if key else exp.cast(col("_row"), "varchar")
    return (
        exp.select(
            *map(col, (*users, "_raw", "_row")),
            exp.alias_(identity, "_key"),
            exp.alias_(known_at, "_known_at"),
            exp.alias_(beginning.copy(), "_arrived_at"),
            col("_deleted"),
        )
        .from_(typed_rows.subquery("t"))
        .order_by(col("_row"))
    )


def _refuse_untyped(rows: Sequence[Row], contract: Contract, made: Table) -> None:
    """Raise ProjectError for the first value that is not of its column's type."""
    lost = [i for i, raw in enumerate(made.column("_raw").to_pylist()) if raw is not None]
    if not lost:
        return
    row = rows[lost[0]]
    for column in contract.columns:
        value = next((v for n, v in row.values.items() if n.lower() == column.name.lower()), None)
        if value not in (None, "") and made.column(column.name)[lost[0]].as_py() is None:
            raise ProjectError(
                f"{column.name} is a {column.type.lower()}, and {value!r} is none",
                where=row.where(column.name),
            )
