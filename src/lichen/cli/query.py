"""`lichen query`: one SELECT over what is published."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from lichen.cli.options import USUAL, Now, Options, moment
from lichen.cli.page import counted, emit, table


def query(
    sql: str,
    *,
    rows: Annotated[int, Parameter(name="--rows", help="How many rows to print.")] = 50,
    run: Annotated[
        str | None,
        Parameter(
            name="--run", help="Read what was published after this run (its id, or its beginning)."
        ),
    ] = None,
    now: Now = None,
    options: Options = USUAL,
) -> int:
    """Ask one SELECT of what is published.

    Tables and sources go by their names, or as tables.NAME, sources.NAME, predictions.NAME. A
    name means the rows that were current at --now, by default at the clock of the last run. With
    --run they are the versions that everybody read after that run; `lichen show --runs` lists them.
    System columns such as _known_at come when they are named.

    --json: {"columns": [name, …], "rows": [{name: value, …}, …]}, times as ISO 8601

    Parameters
    ----------
    sql
        One SELECT.
    """
    found = options.open().query(sql, now=moment(now), run=run)
    if options.json:
        emit({"columns": list(found.columns), "rows": list(found.rows)})
        return 0
    table(found.columns, [[cell(v) for v in row.values()] for row in found.rows[:rows]])
    left = len(found.rows) - rows
    print(counted(len(found.rows), "row") + (f", {left:,} of them not shown" if left > 0 else ""))
    return 0


def cell(value: Any) -> str:
    """Return a value as a table shows it; nothing is empty."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
        case _:
            return str(value)
