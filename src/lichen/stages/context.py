"""What every stage's run has at hand, and how it reads what earlier steps made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from lichen.core.sql import Prepared, col, given, lit, rel, text
from lichen.core.steps import AnyStep
from lichen.core.time import Instant, iso
from lichen.core.versions import once, stored
from lichen.ports.engine import Engine, Scan
from lichen.ports.lake import Column, Lake
from lichen.ports.ledger import Record
from lichen.ports.source import Connector


def verdict_table(node: str) -> str:
    """Return the lake table that holds the verdicts on a node's rows.

    >>> verdict_table("sources.weather")
    'quarantine.sources_weather'
    """
    return f"quarantine.{node.replace('.', '_')}"


def released_table(node: str) -> str:
    """Return the lake table that holds what people released of a node's quarantine.

    >>> released_table("sources.weather")
    'released.sources_weather'
    """
    return f"released.{node.replace('.', '_')}"


@dataclass(frozen=True)
class Shelf:
    """Stored nodes at pinned versions: each record names the commits that its data is in."""

    records: Mapping[str, Record]
    lake: Lake

    def versions(self, node: str) -> exp.Select:
        """Return a node's versions relation, without the rows that a verdict holds back.

        It says of itself what its record knows for certain: that each key has but one version.
        """
        record = self.records[node]
        columns = [c for c, _ in record.facts["columns"] if not c.startswith("_")]
        query = stored(node, columns)
        table = verdict_table(node)
        if table in record.commits:
            judged = (
                exp.select(col("_row")).from_(rel(table)).where(col("_row").is_(exp.null()).not_())
            )
            query = query.where(exp.not_(col("_row").isin(query=judged)))
        apart = record.facts.get("once")
        if apart is None:
            return query
        types = {name.lower(): type_ for name, type_ in record.facts["columns"]}
        return once(query, [_compared(name.lower(), types[name.lower()]) for name in apart])

    def held_back(self, node: str) -> exp.Select:
        """Return the verdicts on a node's rows that nobody lifted; it must have some."""
        verdicts = exp.select("v.*").from_(rel(verdict_table(node), "v"))
        verdicts = verdicts.where(col("rule", "v").neq(lit(WITHDRAWN)))
        if released_table(node) not in self.records[node].commits:
            return verdicts
        lifted = exp.and_(*(col(c, "v").eq(col(c, "d")) for c in ("_row", "rule")))
        return verdicts.join(rel(released_table(node), "d"), on=lifted, join_type="anti")

    def shape(self, node: str) -> tuple[object, ...]:
        """Return all that the tree of `versions` depends on."""
        record = self.records[node]
        names = tuple(name for name, _ in record.facts["columns"])
        apart = record.facts.get("once")
        said = None if apart is None else tuple(apart)
        return (node, names, verdict_table(node) in record.commits, said)

    def keys(self) -> dict[str, tuple[str, ...]]:
        """Return the columns that say, in a built table, which row is meant: its `_key`."""
        facts = {node: record.facts for node, record in self.records.items()}
        return {node: tuple(f["key"]) for node, f in facts.items() if f.get("key")}

    def relations(self, nodes: Iterable[str]) -> dict[str, Scan]:
        """Return what the engine needs to read these nodes, their verdicts included."""
        found: dict[str, Scan] = {}
        for node in nodes:
            record = self.records[node]
            for table, (_, version) in record.commits.items():
                own = {verdict_table(node): VERDICTS, released_table(node): RELEASED}
                columns = own.get(table) or _columns(record)
                found[table] = Scan(self.lake.files(table, version), columns)
            found.setdefault(node, Scan((), _columns(record)))
        return found


VERDICTS = (
    Column("_row", "BIGINT"),
    Column("rule", "VARCHAR"),
    Column("reason", "VARCHAR"),
    Column("_arrived_at", "TIMESTAMP WITH TIME ZONE"),
    Column("_file", "VARCHAR"),
    Column("_line", "BIGINT"),
    Column("raw", "BLOB"),
)
WITHDRAWN = "released"  # the rule of rows that were written for a release and then written anew
RELEASED = (
    Column("_row", "BIGINT"),  # the row that is held back
    Column("rule", "VARCHAR"),
    Column("_as", "BIGINT"),  # the row that was written for it; NULL while another rule holds it
    Column("_key", "VARCHAR"),
    Column("_said", "VARCHAR"),  # a digest of its values
    Column("_known_at", "TIMESTAMP WITH TIME ZONE"),  # when it was released
    Column("request", "BIGINT"),
)


@dataclass(frozen=True)
class Context:
    """One step's surroundings: engine, lake, what it may read, the time, and how to report.

    `intend(step, body, facts, tables)` records durably what is about to be committed: what the
    plan knew, the facts that hold once it is there, and the lake tables that the commits go to.
    """

    engine: Engine
    lake: Lake
    shelf: Shelf
    now: Instant
    root: Path
    folder: Path
    intend: Callable[[AnyStep, Mapping[str, Any], Mapping[str, Any], Sequence[str]], None]
    resolve: Callable[[str], str]  # a name in a contract's reference to a node's id
    connect: Callable[[Any], Connector]  # to what reads a source
    quiet: bool = False  # what finds nothing need not be noted
    progress: Callable[[str], None] = field(default=lambda _: None)
    memo: dict[tuple[object, ...], Prepared] = field(default_factory=dict)
    kept: dict[tuple[object, ...], Any] = field(default_factory=dict)  # the last training set

    def prepared(self, key: tuple[object, ...], make: Callable[[], exp.Query]) -> Prepared:
        """Return the text of a query, made when this key is first seen.

        Steps repeat: what differs from one to the next is bound (`NOW`, `FIRST_ROW`, …). The key
        names all else that the tree depends on.
        """
        if key not in self.memo:
            self.memo[key] = Prepared(text(make()))
        return self.memo[key]

    def values(self, step: AnyStep, **more: str | int) -> dict[str, str | int | float | None]:
        """Return what is bound in a step's queries."""
        sequence = int(getattr(step, "sequence", 0))
        return {"now": iso(self.now), "first_row": (sequence << 32) - 1, **more}


NOW = given("now", "timestamptz")
FIRST_ROW = given("first_row", "bigint")  # the row ids of a commit count from the one after it


def _compared(name: str, type_: str) -> exp.Expr:
    """A value as readers compare it: dates and moments on one scale, in which none are lost."""
    moment = type_ in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
    return exp.cast(col(name), "timestamptz") if moment else col(name)


def _columns(record: Record) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name, type_ in record.facts["columns"])
