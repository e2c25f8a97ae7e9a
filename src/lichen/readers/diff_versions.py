"""Two versions of one node compared: definition, columns, rows by key, and how values lie."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlglot import exp

from lichen.core.errors import QueryError
from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit
from lichen.core.time import iso
from lichen.core.versions import current
from lichen.ports.engine import Engine, Scan
from lichen.ports.ledger import Record
from lichen.readers.distribution import SIDE, distance, kind_of, summary, top
from lichen.readers.opened import Opened
from lichen.readers.values import plain
from lichen.stages.context import Shelf

EXAMPLES, TOP = 10, 5


@dataclass(frozen=True)
class VersionsDiff:
    """What differs between two versions of a node.

    `columns` maps each column that differs to its types, None where it is missing. `rows` are
    those that were current at each version's now: {"left", "right", "added", "removed",
    "changed", "same"}; `changed` counts them by column. `values` says of each common column how
    it lies on both sides, and their `distance` from 0 to 1. A model has `metrics` and `settings`
    in place of rows.
    """

    node: str
    left: int
    right: int
    now: tuple[str, str]
    definition: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[Mapping[str, Any]] = ()
    values: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the stable shape: the fields by their names."""
        return dict(plain(asdict(self)))


def diff_versions(loop: Opened, left: str, right: str) -> VersionsDiff:
    """Return what differs between `NODE@N` and `NODE@M`, or `NODE`, which is what is published.

    Raises QueryError where they are of different nodes, or a version was never made.
    """
    name, one = _record(loop, left)
    other_name, two = _record(loop, right)
    if name != other_name:
        raise QueryError(
            f"{left} and {right} are versions of different nodes",
            hint=f"compare two versions of one: lichen diff {name}@1 {name}@2",
        )
    definition = _definition(one, two)
    told: dict[str, Any] = {
        "node": str(name),
        "left": one.sequence,
        "right": two.sequence,
        "now": (iso(one.now), iso(two.now)),
        "definition": definition,
    }
    if name.kind in (Kind.model, Kind.service):
        return VersionsDiff(**told, **_of_models(one, two))
    return VersionsDiff(**told, **_of_rows(_Pair(one, two, loop)))


def _record(loop: Opened, written: str) -> tuple[Name, Record]:
    text, at, number = written.partition("@")
    name = loop.project.node(text)
    published = loop.published().get(str(name))
    if name.kind in (Kind.features, Kind.outcome):
        raise QueryError(
            f"{name} is a question, and keeps no versions", hint="compare the tables that it reads"
        )
    if published is None:
        raise QueryError(f"{name} has no version yet", hint=f"lichen run +{name}")
    if not at:
        return name, published
    made = {r.sequence: r for r in loop.ledger.history(str(name)) if r.state == "done"}
    if not number.isdecimal() or int(number) not in made:
        some = [f"{name}@{n}" for n in made][-10:]
        raise QueryError(f"there is no version {written!r}", allowed=some, given=written)
    return name, made[int(number)]


def _definition(one: Record, two: Record) -> tuple[str, ...]:
    """The lines that differ, where the ledger kept the text; else whether it changed at all."""
    was, is_ = (str(record.body.get("definition", "")).splitlines() for record in (one, two))
    lines = difflib.unified_diff(was, is_, lineterm="", n=2)
    found = tuple(line for line in lines if not line.startswith(("---", "+++")))
    if not found and one.body.get("fingerprint") != two.body.get("fingerprint"):
        return ("it, or what it is made of, is defined differently",)
    return found


class _Pair:
    """The current rows of both versions, as relations `left.…` and `right.…`."""

    def __init__(self, one: Record, two: Record, loop: Opened) -> None:
        self.engine: Engine = loop.engine
        self.types = [_types(record) for record in (one, two)]
        self.common = [name for name in self.types[0] if name in self.types[1]]
        self.relations: dict[str, Any] = {}
        self.rows = [
            self._rows(record, side, loop) for record, side in ((one, "left"), (two, "right"))
        ]

    def _rows(self, record: Record, side: str, loop: Opened) -> exp.Select:
        shelf = Shelf({record.node: record}, loop.lake)
        tree = current(shelf.versions(record.node), lit(record.now))
        for table in list(tree.find_all(exp.Table)):
            if not table.db and table.name in (*record.commits, record.node):
                table.set("this", exp.to_identifier(f"{side}.{table.name}", quoted=True))
        scans: Mapping[str, Scan] = shelf.relations([record.node])
        self.relations |= {f"{side}.{name}": scan for name, scan in scans.items()}
        return tree

    def ask(self, query: exp.Query) -> Sequence[dict[str, Any]]:
        return self.engine.rows(query, self.relations)

    def joined(self, *shown: exp.Expr) -> exp.Select:
        """Both sides beside each other, by key."""
        left, right = (rows.subquery(side) for rows, side in zip(self.rows, "lr", strict=True))
        same = col("_key", "l").eq(col("_key", "r"))
        return exp.select(*shown).from_(left).join(right, on=same, join_type="full")

    def differs(self, name: str) -> exp.Expr:
        """Whether a common column differs; of different types, by its text."""
        one, two = (col(name, side) for side in "lr")
        if self.types[0][name] != self.types[1][name]:
            one, two = (exp.cast(value, "varchar") for value in (one, two))  # type: ignore[assignment]
        return exp.NullSafeNEQ(this=one, expression=two)


def _types(record: Record) -> dict[str, str]:
    return {n: t for n, t in record.facts["columns"] if not n.startswith("_")}


def _of_rows(pair: _Pair) -> dict[str, Any]:
    left, right = pair.types
    columns = {
        name: (left.get(name), right.get(name))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    }
    both = exp.and_(*(exp.not_(col("_key", side).is_(exp.null())) for side in "lr"))
    gone, new = (col("_key", side).is_(exp.null()) for side in "rl")
    differ = {name: exp.and_(both.copy(), pair.differs(name)) for name in pair.common}
    any_ = exp.or_(*(d.copy() for d in differ.values())) if differ else exp.false()
    counted = {"added": new, "removed": gone, "changed": any_, "both": both}
    counted |= {f"column {name}": condition.copy() for name, condition in differ.items()}
    (counts,) = pair.ask(pair.joined(*(_where(c, n) for n, c in counted.items())))
    rows = {name: int(counts[name]) for name in ("added", "removed", "changed")}
    stayed = int(counts["both"])
    changed = {name: int(counts[f"column {name}"]) for name in pair.common}
    return {
        "columns": columns,
        "rows": {
            "left": stayed + rows["removed"],
            "right": stayed + rows["added"],
            **rows,
            "same": stayed - rows["changed"],
        },
        "changed": {name: count for name, count in changed.items() if count},
        "examples": _examples(pair, {n: differ[n] for n, count in changed.items() if count}),
        "values": [_values(pair, name) for name in pair.common],
    }


def _where(condition: exp.Expr, name: str) -> exp.Expr:
    count = exp.Count(this=exp.Star())
    return exp.alias_(
        exp.Filter(this=count, expression=exp.Where(this=condition)), name, quoted=True
    )


def _examples(pair: _Pair, differ: Mapping[str, exp.Expr]) -> list[dict[str, Any]]:
    """The first changed rows by key: each column that differs, as it was and as it is."""
    if not differ:
        return []
    shown = [col("_key", "l")]
    for index, (name, condition) in enumerate(differ.items()):
        shown.append(exp.alias_(condition.copy(), f"d{index}"))  # type: ignore[arg-type]
        shown += [exp.alias_(col(name, side), f"{side}{index}") for side in "lr"]  # type: ignore[misc]
    query = pair.joined(*shown).where(exp.or_(*(d.copy() for d in differ.values())))
    found = []
    for row in pair.ask(query.order_by(col("_key", "l")).limit(EXAMPLES)):
        changes = {
            name: [plain(row[f"l{index}"]), plain(row[f"r{index}"])]
            for index, name in enumerate(differ)
            if row[f"d{index}"]
        }
        found.append({"key": _readable(row["_key"]), "changes": changes})
    return found


def _readable(key: str) -> str:
    return key.replace(chr(31), ", ").replace(chr(30), "NULL")


def _values(pair: _Pair, name: str) -> dict[str, Any]:
    """How a common column lies on both sides."""
    kinds = [kind_of(types[name]) for types in pair.types]
    kind = kinds[0] if kinds[0] == kinds[1] else "text"
    sides = []
    for rows, own in zip(pair.rows, kinds, strict=True):
        (told,) = pair.ask(summary(rows, name, own))
        if own == "text":
            told["top"] = [[r["value"], int(r["n"])] for r in pair.ask(top(rows, name, TOP))]
        sides.append({key: plain(value) for key, value in told.items()})
    marked = [
        exp.select(
            exp.alias_(col(name) if kinds[0] == kinds[1] else _text(name), name, quoted=True),
            exp.alias_(exp.convert(side == "right"), SIDE, quoted=True),
        ).from_(rows.subquery("r"))
        for rows, side in zip(pair.rows, ("left", "right"), strict=True)
    ]
    (apart,) = pair.ask(distance(exp.union(*marked, distinct=False), name, kind))
    return {
        "column": name,
        "kind": kind,
        "distance": plain(apart["distance"]),
        "left": sides[0],
        "right": sides[1],
    }


def _text(name: str) -> exp.Expr:
    return exp.cast(col(name), "varchar")


def _of_models(one: Record, two: Record) -> dict[str, Any]:
    """Metrics on each version's own holdout, and all else that was recorded and differs."""
    metrics = {}
    left, right = (record.facts.get("metrics", {}) for record in (one, two))
    for name in dict.fromkeys((*left, *right)):
        values = [side.get(name) for side in (left, right)]
        metrics[name] = {
            "left": values[0],
            "right": values[1],
            "difference": values[1]["value"] - values[0]["value"]
            if None not in values and None not in [v["value"] for v in values]
            else None,
        }
    importance = [r.facts.get("importance", {}) for r in (one, two)]
    columns: dict[str, tuple[str | None, str | None]] = {
        name: ("read" if name in importance[0] else None, "read" if name in importance[1] else None)
        for name in sorted({*importance[0], *importance[1]})
        if (name in importance[0]) != (name in importance[1])
    }
    return {"metrics": metrics, "columns": columns, "settings": _settings(one, two)}


_TOLD = (
    "family", "metric", "target", "calibration", "training", "holdout", "left_out", "fitted_rows",
    "cutoff", "seed", "versions", "candidates", "serving", "decision", "reason",
)  # fmt: skip


def _settings(one: Record, two: Record) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (one.facts.get(name), two.facts.get(name)) for name in _TOLD}
    chosen = [_chosen(record) for record in (one, two)]
    pairs |= {
        f"parameter {name}": (chosen[0].get(name), chosen[1].get(name))
        for name in sorted({*chosen[0], *chosen[1]})
    }
    pairs.pop("candidates")
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _chosen(record: Record) -> Mapping[str, Any]:
    """The settings of the candidate that was taken."""
    candidates = record.facts.get("candidates") or ()
    found = [c for c in candidates if c.get("name") == record.facts.get("family")]
    return dict(found[0].get("settings", {})) if found else {}
