"""Running cases: the node's own SQL or function over the rows given, in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from lichen.core.errors import LichenError
from lichen.ports.engine import Engine
from lichen.project import Project
from lichen.stages.features.spec import Features
from lichen.stages.outcomes.spec import Outcome
from lichen.stages.sources.spec import Source
from lichen.stages.tables.spec import Table
from lichen.units.asked import answers_differ, outcome_differs
from lichen.units.bench import Bench
from lichen.units.cases import Case
from lichen.units.compare import Difference
from lichen.units.given import Types
from lichen.units.stored import HeldBack, judged, quarantine_differs, rows_differ


@dataclass(frozen=True)
class Verdict:
    """What came of a case: how it differs from what was expected, or why it could not run.

    `held_back` are the rows that the contract's rules hold back, by rule.
    """

    case: Case
    differences: tuple[Difference, ...] = ()
    error: LichenError | None = None
    held_back: HeldBack = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.differences and self.error is None


NOTHING: HeldBack = {}


def run(case: Case, project: Project, engine: Engine) -> Verdict:
    """Run one case; what is wrong with the node or with the rows given is its verdict, too."""
    began = time.perf_counter()
    bench = Bench(case, project, engine, Types(project, engine))
    try:
        bench.lay_out()
        verdict = _verdict(bench)
    except LichenError as error:
        verdict = Verdict(case, error=error)
    return replace(verdict, seconds=time.perf_counter() - began)


def _verdict(bench: Bench) -> Verdict:
    node, back = bench.case.subject.node, NOTHING
    match node:
        case Source() | Table():
            if isinstance(node, Table):
                bench.build(node)
            back = judged(bench, node.name)
            told = (
                *rows_differ(bench, node.name, node.key),
                *quarantine_differs(bench, node.name, node.key, back),
            )
            return Verdict(bench.case, told, held_back=back)
        case Outcome():
            return Verdict(bench.case, tuple(outcome_differs(bench, node)))
        case Features():
            if (rows := bench.case.subject.rows_of) is not None:
                bench.build(rows)
                back = judged(bench, rows.name)
            return Verdict(bench.case, tuple(answers_differ(bench, node)), held_back=back)
        case _:
            raise AssertionError(f"{node.name} cannot be tested")
