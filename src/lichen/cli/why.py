"""`lichen why`: where a prediction, a row, a column or a model comes from, down to files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lichen.cli.options import USUAL, Node, Options
from lichen.cli.page import BAD, CALM, GOOD, console, counted, emit, some

if TYPE_CHECKING:
    from rich.tree import Tree

WIDE = 1000
MOST = 5  # rows of one node that are written out
Told = Mapping[str, Any]  # one node of the answer, as in --json


def why(what: Node, *, options: Options = USUAL) -> int:
    """Say where something comes from.

    predictions.SERVICE:ID  a prediction: model, features, and the very source rows behind it
    models.NAME[@VERSION]   a model: what it was trained on, down to files
    tables.NAME             a table: versions, inputs, readers (any other node too)
    tables.NAME.COLUMN      a column: its expression and the columns of sources behind it
    tables.NAME:KEY         a row: its versions over time, and the source rows of each

    --json: {"node", "version", "inputs": [the same, …]} and, where they apply, "rows", "values",
    "files", "columns", "lineage", "reason", "reproduced", "differences"

    Parameters
    ----------
    what
        What to explain.
    """
    from lichen.lineage.why import why as ask

    told = ask(options.open(), what).as_json()
    if options.json:
        emit(told)
        return 0
    page = console()
    if not page.is_terminal:
        page.width = WIDE  # whoever reads lines cuts them himself
    page.print(drawn(told))
    return 0


def drawn(told: Told) -> Tree:
    """Return an answer as a tree to print."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(_title(told), guide_style=CALM)
    for style, line in _lines(told):
        tree.add(Text(line, style=style))
    for each in told["inputs"]:
        if "snapshot" in each and "reproduced" in told:  # a prediction's model: one line is enough
            branch = tree.add(_title(each))
            for style, line in _lines(each):
                branch.add(Text(line, style=style))
            branch.add(Text(f"more: lichen why {each['node']}@{each['version']}", style=CALM))
        else:
            tree.add(drawn(each))
    return tree


def _title(told: Told) -> Any:
    from rich.text import Text

    column = f".{told['column']}" if "column" in told else ""
    title = Text(f"{told['node']}{column}", style="bold")
    if told["version"] is not None:
        title.append(f" version {told['version']}", style="not bold")
    if "id" in told:
        title.append(f" {told['id']}", style="not bold")
    if "rows" in told:
        title.append(f"  {counted(len(told['rows']), 'row')}", style=f"not bold {CALM}")
    return title


def _lines(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what is said of a node, line by line with its style."""
    yield from _of_prediction(told)
    yield from _of_column(told)
    yield from _of_model(told)
    if "values" in told:
        yield "", _values(told["values"])
    if "now" in told and "rows_stored" in told:
        yield CALM, f"as of {told['now']}, because {told['reason']}"
        if "function" in told:
            yield CALM, f"by the function {told['function']}: lineage goes by table"
    elif told.get("reason") and "trained_at" not in told:
        yield CALM, str(told["reason"])
    yield from _rows(told.get("rows", ()))
    yield from _files(told.get("files", ()))
    if told.get("prepare"):
        code = f" (code {told['prepare_code']})" if told.get("prepare_code") else ""
        yield CALM, f"prepared by {told['prepare']}{code}"
    if told.get("downstream"):
        yield CALM, f"read by {some(told['downstream'])}"


def _of_prediction(told: Told) -> Iterator[tuple[str, str]]:
    if "probability" in told:
        key = f" for {told['key']}" if told["key"] is not None else ""
        number = told["value"] if told["probability"] is None else told["probability"]
        shown = number if isinstance(number, str) else f"{number:.6g}"
        yield "", f"{shown}{key}, asked at {told['at']}"
    if "publication" in told:
        same = told["reproduced"]
        text = "the features computed again equal the logged ones" if same else "not reproduced"
        yield (GOOD if same else BAD), text
        for each in told["differences"]:
            what = f"{each['of']}.{each['column']}"
            yield BAD, f"{what}: logged {each['logged']}, computed again {each['now']}"


def _of_column(told: Told) -> Iterator[tuple[str, str]]:
    if "column" not in told:
        return
    if told.get("expression"):
        yield "", f"= {told['expression']}"
    if told.get("type"):
        about = f": {told['description']}" if told.get("description") else ""
        yield "", f"{told['type']}{about}"
    for each in told.get("rows_decided_by", ()):
        yield CALM, f"rows by {each['clause']} {each['expression']}"


def _of_model(told: Told) -> Iterator[tuple[str, str]]:
    if "trained_at" not in told:
        return
    rows = told.get("training", {}).get("rows")
    of = f" on {counted(rows, 'row')}" if rows is not None else ""
    yield "", f"trained as of {told['trained_at']}{of}, because {told['reason']}"
    measured = told.get("metrics", {}).get(told.get("metric"))
    if measured:
        low, high = measured["low"], measured["high"]
        span = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
        yield "", f"{told['metric']} {measured['value']:.4f}{span} on the holdout"
    for each in told.get("gate", ()):
        yield "", f"{each['service']}: {each['decision']}, {each['reason']}"
    if told.get("definition_changed_since"):
        yield BAD, "its definition has changed since"


def _rows(rows: Sequence[Told]) -> Iterator[tuple[str, str]]:
    for row in rows[:MOST]:
        place = f"{row['file']}:{row['line']}" if row.get("file") else ""
        gone = "deleted" if row.get("deleted") else ""
        times = [f"{n.replace('_', ' ')} {row[n]}" for n in ("event_time", "known_at") if n in row]
        parts = (place, gone, _values(row.get("values", {})), f"({', '.join(times)})")
        yield "", "  ".join(part for part in parts if part)
    if len(rows) > MOST:
        yield CALM, f"… and {len(rows) - MOST:,} more"


def _files(files: Sequence[Told]) -> Iterator[tuple[str, str]]:
    for each in files[:MOST]:
        rows = f"{counted(each['rows'], 'row')} of " if "rows" in each else ""
        now = each["landed"]["now"]
        if each["sha256"] is None:
            yield CALM, f"{rows}{each['path']}, written again {now}: {each.get('reason')}"
        else:
            yield CALM, f"{rows}{each['path']}, sha256 {each['sha256'][:12]}, landed {now}"
    if len(files) > MOST:
        yield CALM, f"… and {counted(len(files) - MOST, 'more file')}"


def _values(values: Told) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in values.items())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
