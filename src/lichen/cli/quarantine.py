"""`lichen quarantine`: what is held back, and what people decide about it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.options import USUAL, Options
from lichen.cli.page import counted, emit, table
from lichen.cli.query import cell

Rows = Annotated[
    tuple[int, ...],
    Parameter(name="--row", help="Release this row (a number from the list); may be repeated."),
]


def quarantine(
    what: Literal["list", "release", "replay"] = "list",
    node: str | None = None,
    rule: str | None = None,
    *,
    row: Rows = (),
    why: Annotated[str, Parameter(name="--why", help="Why; it is kept with the decision.")] = "",
    who: Annotated[str | None, Parameter(name="--who", help="Who decides; by default you.")] = None,
    examples: Annotated[int, Parameter(name="--examples", help="How many rows of each rule.")] = 3,
    options: Options = USUAL,
) -> int:
    """List what is held back; release rows that are good; or judge again after a fix.

    `release NODE RULE --why TEXT` lets the rows of a rule through, `release NODE --row N --why
    TEXT` single rows: they count as known from the run that does it, since nobody saw them before.
    `replay NODE --why TEXT` judges all rows again and reads again the files with records that did
    not parse. Both write a request down, which the next plan answers.

    --json: list {"nodes": [{"node", "version", "rules": [{"rule", "rows", "released", "examples":
    [{"rule", "row", "reason", "file", "line", "known_at", "values", "raw"}]}], "unreadable":
    [{"file", "line", "reason", "raw", "since"}], "requests": [{"asks", "id", "who", "why", "at",
    "rule", "rows", "answered_by"}]}]}; release and replay {"request", "node", "rows", "next"}

    Parameters
    ----------
    what
        list, release or replay.
    node
        A source or a table.
    rule
        The rule whose rows are released.
    """
    loop = options.open()
    if what == "list":
        told = loop.quarantine(node, examples=examples)
        emit(told) if options.json else _tell(told, node)
        return 0
    if node is None:
        raise Misuse(f"quarantine {what} needs a node", hint=f"lichen quarantine {what} NODE")
    person = who or getpass.getuser()
    if what == "release":
        asked = loop.release(node, rule, row, who=person, why=why)
        said = f"the next run releases {counted(asked.rows, 'row')} of {asked.node}"
    else:
        asked = loop.judge_again(node, who=person, why=why)
        said = f"the next run judges {asked.node} again, which holds back {asked.rows:,} now"
    next_ = f"lichen run {asked.node}+"
    if options.json:
        emit({**asked._asdict(), "next": next_})
    else:
        print(f"{said}\nnext: {next_}")
    return 0


def _tell(told: Mapping[str, Any], node: str | None) -> None:
    if not told["nodes"]:
        print("nothing is in quarantine" if node is None else f"{node} holds nothing back")
    for index, each in enumerate(told["nodes"]):
        print("\n" * bool(index) + f"{each['node']}, version {each['version']}")
        _rules(each)
        for record in each["unreadable"]:
            print(f"  {record['file']}:{record['line']}  does not parse: {record['reason']}")
            print(f"    {record['raw']!r}")
        for request in each["requests"]:
            _request(request)


def _rules(told: Mapping[str, Any]) -> None:
    if not (told["rules"] or told["unreadable"]):
        print("  holds nothing back")
    for rule in told["rules"]:
        released = f", {rule['released']:,} more released" if rule["released"] else ""
        print(f"  {rule['rule']}: {counted(rule['rows'], 'row')}{released}")
        if rule["examples"]:
            names = list(rule["examples"][0]["values"])
            rows = [
                (e["row"], _place(e), e["reason"], *(cell(v) for v in e["values"].values()))
                for e in rule["examples"]
            ]
            table(("row", "from", "why", *names), [tuple(map(str, r)) for r in rows], wide="why")


def _place(example: Mapping[str, Any]) -> str:
    return f"{example['file']}:{example['line']}" if example["file"] else ""


def _request(request: Mapping[str, Any]) -> None:
    what = "release" if request["asks"] == "release" else "replay"
    about = f" {request['rule']}" if request["rule"] else ""
    state = "done" if request["answered_by"] else "the next run does it"
    print(
        f"  {what}{about}, asked by {request['who']} at {request['at']}: {request['why']} ({state})"
    )
