"""Running cases: the node's own SQL or function over the rows given, in memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lichen.core.errors import LichenError
from lichen.declared import Project
from lichen.ports.engine import Engine
from lichen.stages.features.spec import Features
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table
from lichen.units.asked import answers_differ, outcome_differs
from lichen.units.bench import Bench
from lichen.units.cases import Case
from lichen.units.compare import Difference
from lichen.units.given import Types
from lichen.units.stored import judged, quarantine_differs, rows_differ


@dataclass(frozen=True)
class Verdict:
    """What came of a case: how it differs from what was expected, or why it could not run."""

    case: Case
    differences: tuple[Difference, ...] = ()
    error: LichenError | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.differences and self.error is None


def run(cases: Iterable[Case], project: Project, engine: Engine) -> tuple[Verdict, ...]:
    """Run cases; what is wrong with a node or with the rows given is the case's verdict, too."""
    types = Types(project, engine)
    return tuple(_run(Bench(case, project, engine, types)) for case in cases)


def _run(bench: Bench) -> Verdict:
    began = time.perf_counter()
    try:
        bench.lay_out()
        verdict = _verdict(bench)
    except LichenError as error:
        verdict = Verdict(bench.case, error=error)
    return replace(verdict, seconds=time.perf_counter() - began)


def _verdict(bench: Bench) -> Verdict:
    node = bench.case.subject.node
    match node:
        case Source() | Table():
            if isinstance(node, Table):
                bench.build(node)
            back = judged(bench, node.name)
            told = (
                *rows_differ(bench, node.name, node.key),
                *quarantine_differs(bench, node.name, node.key, back),
            )
            return Verdict(bench.case, told)
        case Outcome():
            return Verdict(bench.case, tuple(outcome_differs(bench, node)))
        case Features():
            if (rows := bench.case.subject.rows_of) is not None:
                bench.build(rows)
                judged(bench, rows.name)
            return Verdict(bench.case, tuple(answers_differ(bench, node)))
        case _:
            raise AssertionError(f"{node.name} cannot be tested")
