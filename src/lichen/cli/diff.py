"""`lichen diff`: two targets compared, or two versions of a node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.options import USUAL, Options
from lichen.cli.page import counted, emit, some, table

if TYPE_CHECKING:
    from lichen.loop import Loop


def diff(
    left: str,
    right: str,
    *nodes: str,
    rows: Annotated[
        int, Parameter(name="--rows", help="Compare rows by key, and print so many of them.")
    ] = 0,
    sql: Annotated[
        bool, Parameter(name="--sql", negative=(), help="Print how definitions differ.")
    ] = False,
    options: Options = USUAL,
) -> int:
    """Compare two targets: definitions, columns, rows, and the metrics of models.

    Rows are those that are current at each target's own clock.

    --json: {"left", "right", "nodes": [{"node", "state": "same" | "differs" | "only_left" |
    "only_right", "versions", "definition": {"rows", "rules", "columns", "sql"}, "columns",
    "rows": {"left", "right"}, "changed_rows": {"differs", "only_left", "only_right",
    "examples"}, "metrics": {NAME: {"left", "right"}}}]}. Of two versions: {"node", "left",
    "right", "now", "definition", "columns", "rows": {"left", "right", "added", "removed",
    "changed", "same"}, "changed", "examples": [{"key", "changes"}], "values": [{"column", "kind",
    "distance", "left", "right"}], "metrics", "settings"}

    Parameters
    ----------
    left
        A target, or a version of a node, such as departed@4.
    right
        The other target, or version.
    nodes
        Only these.
    """
    if "@" in left + right:
        loop = options.open()
        if not {left, right} & loop.project.targets.keys():
            return _versions(loop, left, right, options)
        raise Misuse(
            f"{left} and {right} are a version of a node and a target",
            hint="compare two targets, or two versions: lichen diff departed@4 departed@5",
        )
    found = _compared(left, right, nodes, rows, options)
    if options.json:
        emit(found)
    else:
        _tell(found, sql=sql)
    return 0


def _versions(loop: Loop, left: str, right: str, options: Options) -> int:
    from lichen.cli.diff_versions_page import page
    from lichen.readers.diff_versions import diff_versions

    page(diff_versions(loop, left, right), json=options.json)
    return 0


def _compared(
    left: str, right: str, nodes: tuple[str, ...], rows: int, options: Options
) -> dict[str, Any]:
    from lichen.readers.diff_targets import Side, diff_targets
    from lichen.stages.context import Shelf

    def side(loop: Loop) -> Side:
        now = loop.state().clock or loop.clock()
        return Side(loop.target, Shelf(loop.published(), loop.lake), now)

    loops = [replace(options, target=name).open() for name in (left, right)]
    meant = [str(loops[0].project.node(node)) for node in nodes]
    return diff_targets(side(loops[0]), side(loops[1]), loops[0].engine, nodes=meant, rows=rows)


def _tell(found: dict[str, Any], *, sql: bool) -> None:
    left, right = found["left"], found["right"]
    apart = [each for each in found["nodes"] if each["state"] != "same"]
    alike = len(found["nodes"]) - len(apart)
    words = {"differs": "differs", "only_left": f"only in {left}", "only_right": f"only in {right}"}
    if apart:
        lines = [
            (e["node"], words[e["state"]], _definition(e, left, right), *_sizes(e)) for e in apart
        ]
        table(
            ("node", "", "definition", f"rows in {left}", f"in {right}"), lines, wide="definition"
        )
    for each in apart:
        _tell_metrics(each, left, right)
        _tell_rows(each, left, right)
        if sql and (text := (each["definition"] or {}).get("sql")):
            print(f"\n{each['node']}, from {right} to {left}:")
            print("\n".join(f"  {line}" for line in text))
    verb = "differs" if len(apart) == 1 else "differ"
    print(
        f"\n{counted(len(apart), 'node')} {verb}, {alike} {'is' if alike == 1 else 'are'} the same"
    )


def _definition(each: dict[str, Any], left: str, right: str) -> str:
    told = each["definition"]
    if each["state"] != "differs":
        return ""
    if told is None:
        return "the same"
    columns = told["columns"]
    parts = [
        f"{what} {some(columns[state])}"
        for state, what in (
            ("differs", "changed:"),
            ("only_left", f"only in {left}:"),
            ("only_right", f"only in {right}:"),
        )
        if columns[state]
    ]
    parts += ["rows are chosen differently"] if told["rows"] else []
    parts += ["rules of the contract"] if told["rules"] else []
    return "; ".join(parts) or "changed, or that of what it reads"


def _sizes(each: dict[str, Any]) -> tuple[str, str]:
    rows = each.get("rows", {})
    here, there = (rows.get(side) for side in ("left", "right"))
    return tuple("" if n is None else f"{n:,}" for n in (here, there))  # type: ignore[return-value]


def _tell_metrics(each: dict[str, Any], left: str, right: str) -> None:
    if not each.get("metrics"):
        return
    print(f"\n{each['node']}")
    lines = [
        (name, *(_interval(values[side]) for side in ("left", "right")))
        for name, values in each["metrics"].items()
    ]
    table(("metric", left, right), lines)


def _interval(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    value, low, high = (found.get(key) for key in ("value", "low", "high"))
    return f"{value:.4f}" + (f" [{low:.4f}, {high:.4f}]" if low is not None else "")


def _tell_rows(each: dict[str, Any], left: str, right: str) -> None:
    found = each.get("changed_rows")
    if found is None:
        return
    print(
        f"\n{each['node']}: {found['differs']:,} rows differ, {found['only_left']:,} are only in "
        f"{left}, {found['only_right']:,} only in {right}"
    )
    for row in found["examples"]:
        print(f"  {row['key']}")
        for side, name in (("left", left), ("right", right)):
            if side in row:
                print(f"    {name}: " + ", ".join(f"{c} {v}" for c, v in row[side].items()))
