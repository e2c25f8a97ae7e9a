"""`lichen test`: given rows in, expected rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lichen.cli.mistakes import as_json, nearby
from lichen.cli.options import USUAL, Options
from lichen.cli.page import BAD, CALM, GOOD, console, counted, emit
from lichen.cli.query import cell

if TYPE_CHECKING:
    from lichen.units.compare import Difference
    from lichen.units.run import Verdict

MOST = 10  # differences of one case that are written out


def test(*nodes: str, options: Options = USUAL) -> int:
    """Run the tests of nodes on rows given in tests/NODE.yml; touches neither ledger nor lake.

    --json: {"passed", "failed", "tests": [{"node", "case", "file", "line", "passed", "seconds",
    "differences": [{"kind", "row", "cells": {column: {"expected", "found"}}, "rule"}],
    "error"}]}

    Parameters
    ----------
    nodes
        The nodes to test; all that have tests, by default.
    """
    found = options.open().test(*nodes)
    failed = sum(not verdict.passed for verdict in found)
    if options.json:
        told = [_plain(verdict) for verdict in found]
        emit({"passed": len(found) - failed, "failed": failed, "tests": told})
        return 1 if failed else 0
    if not found:
        print("this project has no tests; write tests/NODE.yml: given rows, and the expected ones")
        return 0
    for verdict in found:
        _tell(verdict)
    seconds = sum(verdict.seconds for verdict in found)
    outcome = f"{failed} failed" if failed else "all passed"
    print(f"{counted(len(found), 'test')} in {seconds:.1f} s: {outcome}")
    return 1 if failed else 0


def _tell(verdict: Verdict) -> None:
    from rich.text import Text

    page, case = console(), verdict.case
    mark = ("ok      ", GOOD) if verdict.passed else ("FAILED  ", BAD)
    place = () if verdict.passed else ((f"  {nearby(str(case.where))}", CALM),)
    page.print(Text.assemble(mark, f"{case.subject.name}: {case.title}", *place))
    for line in _lines(verdict):
        page.print(f"         {line}")


def _lines(verdict: Verdict) -> Iterator[str]:
    if verdict.error is not None:
        yield from nearby(str(verdict.error)).splitlines()
    for each in verdict.differences[:MOST]:
        yield from _difference(each)
    if (more := len(verdict.differences) - MOST) > 0:
        yield f"… and {counted(more, 'more difference')}"


def _difference(each: Difference) -> Iterator[str]:
    words = {"missing": "missing", "unexpected": "not expected", "differs": "differs"}
    rule = f" (held back by {each.rule})" if each.rule else ""
    yield f"{words[each.kind] + rule + ':':<13} {_values(each.row)}"
    width = max(map(len, each.cells), default=0)
    for name, (expected, found) in each.cells.items():
        yield f"  {name:<{width}}  expected {_cell(expected)}, found {_cell(found)}"


def _values(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in row.items())


def _cell(value: Any) -> str:
    from lichen.readers.values import plain

    return (
        "nothing"
        if value is None
        else repr(value)
        if isinstance(value, float)
        else (cell(plain(value)))
    )


def _plain(verdict: Verdict) -> dict[str, Any]:
    case = verdict.case
    return {
        "node": str(case.subject.name),
        "case": case.title,
        "file": nearby(str(case.where.path)),
        "line": case.where.line,
        "passed": verdict.passed,
        "seconds": round(verdict.seconds, 3),
        "differences": [_plain_difference(each) for each in verdict.differences],
        "error": as_json(verdict.error) if verdict.error is not None else None,
    }


def _plain_difference(each: Difference) -> dict[str, Any]:
    from lichen.readers.values import plain

    cells = {n: {"expected": plain(e), "found": plain(f)} for n, (e, f) in each.cells.items()}
    row = {name: plain(value) for name, value in each.row.items()}
    return {"kind": each.kind, "row": row, "cells": cells, "rule": each.rule}
