"""Cases of sources and tables: the rows that readers see, and those that rules hold back."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlglot import exp

from lichen.core.contract.scan import compile_verdicts
from lichen.core.contract.spec import names_read
from lichen.core.contract.types import MOMENT
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel
from lichen.core.versions import current
from lichen.stages.judge import stands
from lichen.units.bench import Bench
from lichen.units.compare import Difference, differences
from lichen.units.given import values

HeldBack = Mapping[str, Sequence[Mapping[str, Any]]]  # the rows that a rule holds back, by rule


def rows_differ(bench: Bench, name: Name, key: Sequence[str]) -> Iterator[Difference]:
    """Yield how the rows that readers see now differ from the expected ones."""
    if bench.case.expect is None:
        return
    types = {**bench.types.of(name), "_known_at": MOMENT}
    held = current(bench.versions(name), lit(bench.now))
    found = bench.rows(exp.select(*map(col, types)).from_(held.subquery("h")).order_by(col("_row")))
    expected = values(bench.case.expect, types, bench.engine)
    yield from differences(expected, found, spelled(key, types))


def quarantine_differs(
    bench: Bench, name: Name, key: Sequence[str], back: HeldBack
) -> Iterator[Difference]:
    """Yield how the rows that rules hold back differ from the expected ones, rule by rule."""
    types = bench.types.of(name)
    for rule, rows in (bench.case.quarantine or {}).items():
        expected = values(rows, types, bench.engine)
        for each in differences(expected, back.get(rule, ()), spelled(key, types)):
            yield dataclasses.replace(each, rule=rule)


def judged(bench: Bench, name: Name) -> HeldBack:
    """Hold back the rows that break the rules that the case names; returns them by rule."""
    contract, wanted = bench.case.subject.contract, bench.case.quarantine
    if contract is None or not wanted:
        return {}
    named = {spelled: n for n in bench.case.subject.inputs for spelled in (n.name, str(n))}
    refs = {
        written: current(bench.versions(named[written]), lit(bench.now))
        for written in names_read(contract)
        if written in named and str(named[written]) in bench.relations
    }
    kept = (rule for rule in contract.rules if rule.id in wanted)
    rows = exp.select("*", stands()).from_(rel(str(name)))
    contract = dataclasses.replace(contract, rules=tuple(kept))
    found: dict[str, list[int]] = defaultdict(list)
    for row in bench.rows(compile_verdicts(contract, rows, refs=refs)):
        found[row["rule"]].append(row["_row"])
    bench.held_back[name] = frozenset(id_ for ids in found.values() for id_ in ids)
    return {rule: bench.of_rows(name, sorted(ids)) for rule, ids in found.items()}


def spelled(key: Sequence[str], types: Mapping[str, str]) -> list[str]:
    """Return the key's columns as they are spelled among the types."""
    names = {name.lower(): name for name in types}
    return [names[name.lower()] for name in key if name.lower() in names]
