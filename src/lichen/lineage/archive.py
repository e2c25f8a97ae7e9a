"""What a target has recorded and stored, read at pinned versions. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.names import Name
from lichen.core.resolve import resolve
from lichen.core.sql import col, lit, parse_select, rel
from lichen.core.time import Instant
from lichen.lineage.origin import LineageError
from lichen.loop import Loop
from lichen.ports.ledger import Publication, Record, State
from lichen.stages.context import Shelf

WANTED = "_wanted"
_OWN = ("_row", "_key", "_known_at", "_arrived_at", "_deleted", "_from", "_file", "_line", "_raw")


class Row(NamedTuple):
    """A stored row version; `origin` holds the rows that it was made of, None for a source's."""

    row: int
    key: str
    known_at: Instant | None
    arrived_at: Instant | None
    deleted: bool
    values: Mapping[str, Any]
    origin: tuple[int | None, ...] | None
    file: str | None
    line: int | None

    @property
    def commit(self) -> int:
        """Return the sequence of the commit that brought the row."""
        return self.row >> 32


@dataclass
class Archive:
    """A project at a target together with its records; each node's history is read once."""

    loop: Loop
    state: State
    _histories: dict[str, tuple[Record, ...]] = field(default_factory=dict)
    _publications: dict[int, Publication] = field(default_factory=dict)
    _definitions: dict[int, exp.Select] = field(default_factory=dict)

    def history(self, node: str) -> tuple[Record, ...]:
        """Return a node's records, oldest first."""
        if node not in self._histories:
            self._histories[node] = self.loop.ledger.history(node)
        return self._histories[node]

    def record(self, node: str, sequence: int) -> Record:
        """Return the record of what a node was at a sequence."""
        done = [r for r in self.history(node) if r.state == "done"]
        for record in reversed(done):
            if record.sequence == sequence:
                return record
        raise LineageError(
            f"{node} has no version {sequence}",
            allowed=[str(n) for n in dict.fromkeys(r.sequence for r in done)],
        )

    def publication(self, id_: int) -> Publication:
        """Return a set of pins that was published."""
        if id_ not in self._publications:
            found = self.loop.ledger.publication(id_)
            if found is None:
                raise LineageError(f"the ledger holds no publication {id_}")
            self._publications[id_] = found
        return self._publications[id_]

    def pinned(self, id_: int | None = None) -> dict[str, Record]:
        """Return the records that a publication pins, the newest one by default."""
        found = self.publication(id_) if id_ is not None else self.state.publication
        return {node: self.loop.ledger.record(r) for node, r in found.pins.items()} if found else {}

    def published(self, name: Name) -> Record:
        """Return what everybody reads of a node now; raises LineageError where nothing is."""
        found = self.state.publication
        if found is None or str(name) not in found.pins:
            raise LineageError(
                f"{name} has no version yet", hint=f"make one with `lichen run +{name}`"
            )
        return self.loop.ledger.record(found.pins[str(name)])

    def shelf(self, records: Mapping[str, Record]) -> Shelf:
        """Return stored nodes at these records."""
        return Shelf(records, self.loop.lake)

    def inputs(self, record: Record) -> dict[str, Record]:
        """Return what a table's build read, node by node."""
        return {n: self.record(n, at) for n, at in record.facts.get("inputs", {}).items()}

    def definition(self, record: Record) -> exp.Select:
        """Return the SELECT that a table's build ran, resolved over what it read then."""
        if record.id not in self._definitions:
            self._definitions[record.id] = self._resolved(record)
        return self._definitions[record.id]

    def _resolved(self, record: Record) -> exp.Select:
        path = self.loop.project.root / "tables" / f"{Name.parse(record.node).name}.sql"
        inputs = self.inputs(record)
        schema = {n: _users(r) for n, r in inputs.items()}

        def find(written: str, _: Any) -> str:
            names = (written, f"tables.{written}", f"sources.{written}")
            return next(name for name in names if name in inputs)

        return resolve(parse_select(record.body["definition"], path), path, schema, find)

    def rows(self, record: Record, ids: Collection[int]) -> list[Row]:
        """Return stored rows by their ids, in their order."""
        if not ids:
            return []
        wanted = Table.from_pydict({"_row": Array(sorted(ids), DataType.int64())})
        chosen = exp.select(col("_row")).from_(rel(WANTED))
        near = exp.Between(this=col("_row"), low=lit(min(ids)), high=lit(max(ids)))  # skips files
        among = exp.and_(near, col("_row").isin(query=chosen))
        return self._rows(record, among, {WANTED: wanted})

    def keyed(self, record: Record, key: str) -> list[Row]:
        """Return every stored version of one key, in their order."""
        return self._rows(record, col("_key").eq(exp.Literal.string(key)), {})

    def ask(self, query: exp.Query, relations: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """Run a query; returns its rows."""
        return self.loop.engine.rows(query, relations)

    def _rows(self, record: Record, condition: exp.Expr, more: Mapping[str, Any]) -> list[Row]:
        shelf = self.shelf({record.node: record})
        scan = shelf.relations([record.node])[record.node]
        query = (
            exp.select(*(col(c.name) for c in scan.columns))
            .from_(rel(record.node))
            .where(condition)
            .order_by(col("_row"))
        )
        return [_row(told) for told in self.ask(query, {record.node: scan, **more})]


def open_archive(loop: Loop) -> Archive:
    """Return the archive of a target; raises LineageError where nothing ever ran."""
    if not loop.place.read_from().begun():
        raise LineageError(
            "nothing ever ran here, so nothing has come from anything",
            hint="run the project first: lichen run",
        )
    return Archive(loop, loop.state())


def _users(record: Record) -> tuple[str, ...]:
    return tuple(name for name, _ in record.facts["columns"] if not name.startswith("_"))


def _row(told: Mapping[str, Any]) -> Row:
    origin = told.get("_from")
    return Row(
        row=told["_row"],
        key=told["_key"],
        known_at=told["_known_at"],
        arrived_at=told["_arrived_at"],
        deleted=told["_deleted"],
        values={name: value for name, value in told.items() if name not in _OWN},
        origin=tuple(origin) if origin is not None else None,
        file=told.get("_file"),
        line=told.get("_line"),
    )
