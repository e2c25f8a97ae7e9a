"""`lichen show`: what is known of one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.mistakes import nearby
from lichen.cli.options import USUAL, Node, Now, Options, moment
from lichen.cli.page import EMPTY, counted, emit, some, table
from lichen.cli.query import cell
from lichen.cli.summary import live

if TYPE_CHECKING:
    from lichen.core.time import Instant

NO_ROWS = {
    "features": "they answer questions; in Python project.training_set(MODEL) has all answers",
    "outcomes": "in Python project.table(OUTCOME) computes them, with their labels",
    "models": "in Python project.training_set(MODEL) has those that it learns from",
    "services": "ask predictions.SERVICE or feedback.SERVICE",
}


def show(
    node: Node | None = None,
    *,
    rows: Annotated[int, Parameter(name="--rows", help="Show so many of its rows.")] = 0,
    sql: Annotated[
        bool, Parameter(name="--sql", negative=(), help="Show the SQL that the engine runs for it.")
    ] = False,
    runs: Annotated[
        bool, Parameter(name="--runs", negative=(), help="List the runs, newest first.")
    ] = False,
    now: Now = None,
    options: Options = USUAL,
) -> int:
    """Show a node: version, schema, contract and quarantine, or a model's metrics.

    Without a node: the project in one look.

    --json: one object. Always {"node", "kind", "file", "inputs", "downstream", "state", "version",
    "now", "run", "stale_because_of", "last_attempt", "settings"}; a table or source adds "rows",
    "versions", "schema", "contract", "findings", "quarantine", with --rows "current", and a table
    "lineage" ("row", or "table" where a function made it);
    features and outcomes "columns"; a model "metrics": {NAME: {"value", "low", "high"}} on the
    holdout, "baseline", "plain", "candidates", "cutoff", "card"; a service "serving",
    "decision", "reason", "metric", "predictions", "labelled", "live": {"value", "low", "high"} and
    "days". Without a node: {"project", "now", "rows", "quarantine", "warnings",
    "models", "services", "trouble"}. With --sql {"node", "what", "sql"}. With --runs {"runs":
    [{"id", "now", "started", "seconds", "outcome", "publication", "steps": {STATE: COUNT},
    "nodes": {NODE: STATE}}]}.

    Parameters
    ----------
    node
        As NAME, where that names one node, or as KIND.NAME.
    """
    if runs:
        return _runs(node, options)
    if sql:
        return _sql(node, moment(now), options)
    if node is None:
        from lichen.cli.summary import tell

        loop = options.open()
        seen = loop.summary()
        if options.json:
            emit(seen)
        else:
            tell(seen, options.folder) if loop.project.nodes else print(EMPTY)
        return 0
    told = options.open().show(node, rows=rows, now=moment(now))
    if options.json:
        emit(told)
        return 0
    _head(told)
    sections = {
        "models": _model,
        "services": _service,
        "features": _question,
        "outcomes": _question,
    }
    sections.get(told["kind"], _data)(told)
    if rows and told["kind"] in NO_ROWS:
        print(f"\nno rows are stored: {NO_ROWS[told['kind']]}")
    _attempt(told)
    return 0


def _runs(node: str | None, options: Options) -> int:
    from lichen.readers.runs import runs

    loop = options.open()
    told = runs(loop)
    if node is not None:
        name = str(loop.project.node(node))
        told["runs"] = [run for run in told["runs"] if name in run["nodes"]]
    if options.json:
        emit(told)
        return 0
    cells = [
        (
            *(cell(r[k]) for k in ("id", "now", "started", "seconds", "outcome", "publication")),
            _words(r["steps"]),
        )
        for r in told["runs"]
    ]
    heads = ("run", "now", "began", "seconds", "outcome", "publication", "steps")
    table(heads, cells) if cells else print("nothing has run yet")
    return 0


def _sql(node: str | None, now: Instant | None, options: Options) -> int:
    from lichen.core.time import wall
    from lichen.readers.compiled import compiled_sql

    if node is None:
        raise Misuse("--sql is about one node", hint="lichen show NODE --sql")
    loop = options.open()
    told = compiled_sql(loop, node, now or loop.state().clock or wall())
    if options.json:
        emit(told)
    elif told["sql"] is None:
        print(f"{told['node']} has no SQL yet, or none at all")
    else:
        print(f"-- {told['node']}: {told['what']}\n{told['sql']}")
    return 0


def _head(told: Mapping[str, Any]) -> None:
    version = f", version {told['version']} of {told['now']}" if told["version"] else ""
    asked = told["kind"] in ("features", "outcomes")
    print(told["node"] + ("" if asked else f": {told['state']}{version}"))
    inputs = [
        i["node"] + (f" (version {i['version']})" if i["version"] else "") for i in told["inputs"]
    ]
    by_table = " (by a function: lineage goes by table)"
    lines = {
        "file": told["file"],
        "reads": ", ".join(inputs) + (by_table if told.get("lineage") == "table" else ""),
        "read by": some(told["downstream"], 6),
    }
    _lines(lines)


def _lines(lines: Mapping[str, Any]) -> None:
    for name, value in lines.items():
        if words := _words(value):
            print(f"  {name:<14} {words}")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        said = {k: _words(v) for k, v in value.items() if v is not False}
        return ", ".join(f"{name} {words}" for name, words in said.items() if words)
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return cell(value)


def _data(told: Mapping[str, Any]) -> None:
    counts = {"rows": f"{told['rows']:,}", "row versions": f"{told['versions']:,}"}
    _lines({**counts, **told["settings"]})
    print()
    table(("column", "type"), [(c["name"], (c["type"] or "?").lower()) for c in told["schema"]])
    _contract(told["contract"])
    _quarantine(told.get("quarantine", {}))
    if current := told.get("current"):
        print()
        table(tuple(current[0]), [[cell(v) for v in row.values()] for row in current])


def _contract(contract: Mapping[str, Any] | None) -> None:
    if contract is None:
        print("\nno contract")
        return
    rules = contract["rules"]
    kept = sum(rule["kept"] for rule in rules)
    print(f"\ncontract {contract['file']} {contract['version']}: {kept} of {len(rules)} rules kept")
    broken = [rule for rule in rules if not rule["kept"]]
    if broken:
        cells = [(r["rule"], r["severity"], f"{r['count']:,}", r["message"]) for r in broken]
        table(("rule", "so", "rows", "what"), cells, wide="what")
    if contract["not_checked"]:
        print(f"  not checked: {', '.join(contract['not_checked'])}")


def _quarantine(held: Mapping[str, Any]) -> None:
    if not held.get("rows"):
        return
    print(f"\nin quarantine: {counted(held['rows'], 'verdict')} on rows")
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for example in held["examples"]:
        by_rule.setdefault(example["rule"], []).append(example)
    for rule, count in held["rules"].items():
        print(f"  {rule}: {counted(count, 'row')}")
        for example in by_rule.get(rule, ()):
            place = f"{example['file']}:{example['line']}" if example["file"] else ""
            values = example["row"] or {"raw": example["raw"]}
            print(f"    {place}  {example['reason']}".rstrip())
            print(f"      {', '.join(f'{k}={cell(v)}' for k, v in values.items())}")


def _question(told: Mapping[str, Any]) -> None:
    _lines(told["settings"])
    print()
    table(("column",), [(name,) for name in told["columns"]])


def _model(told: Mapping[str, Any]) -> None:
    hidden = ("path", "function")
    _lines({k: v for k, v in told["settings"].items() if k not in hidden})
    if told["version"] is None:
        print("\nnever trained; next: lichen run +" + told["node"])
        return
    _lines({"family": told.get("family"), "calibration": told.get("calibration")})
    for part in ("training", "holdout"):
        _lines({part: told.get(part), "cutoff": told.get("cutoff") if part == "training" else None})
    _metrics(told)
    if candidates := told.get("candidates"):
        print()
        heads = ("candidate", told.get("metric", "score"), "trials", "seconds")
        cells = [
            (c["name"], cell(c["score"]), str(c["trials"]), f"{c['seconds']:.1f}")
            for c in candidates
        ]
        table(heads, cells)
    print(f"\ncard: {nearby(str(told['card']))}")


def _metrics(told: Mapping[str, Any]) -> None:
    if not told.get("metrics"):
        return
    base, plain = told.get("baseline", {}), told.get("plain", {})
    cells = [
        (name, _number(m["value"]), _between(m), _number(base.get(name)), _plain(plain.get(name)))
        for name, m in told["metrics"].items()
    ]
    print()
    table(("on the holdout", "value", "95 %", "base rate", "plain linear"), cells)


def _plain(found: Mapping[str, Any] | None) -> str:
    return _number(found["value"]) if found else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _between(found: Mapping[str, Any]) -> str:
    ends = (found.get("low"), found.get("high"))
    return "" if None in ends else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _service(told: Mapping[str, Any]) -> None:
    _lines(told["settings"])
    serving = told.get("serving")
    if serving is None:
        print("\nserves nothing yet; next: lichen run +" + told["node"])
    else:
        print(f"\nserves version {serving['version']}, trained {serving['now']}")
    if told.get("decision"):
        print(f"last decision: version {told['considered']} {told['decision']}: {told['reason']}")
    if told["predictions"]:
        print()
        live(told)


def _attempt(told: Mapping[str, Any]) -> None:
    attempt: Mapping[str, Any] | None = told["last_attempt"]
    if attempt is not None:
        print(f"\nthe last attempt, at {attempt['now']}, was {attempt['state']}")
        lines: Sequence[str] = [f"{f['rule']}: {f['message']}" for f in attempt["findings"]]
        for line in [*lines, *(nearby(attempt["error"]).splitlines() if attempt["error"] else ())]:
            print(f"  {line}")
    elif told["stale_because_of"]:
        print(f"\nstale because of {', '.join(told['stale_because_of'])}")
