"""The project in one look, as `lichen show` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lichen.cli.page import counted, table


def tell(told: Mapping[str, Any], folder: Path) -> None:
    """Print what came in, what was held back, how the models do, and what to try next."""
    print(f"{told['project']} as of {told['now'] or 'never: nothing has run yet'}\n")
    for kind, rows in told["rows"].items():
        if rows:
            print(f"{kind}: {counted(sum(rows.values()), 'row version')}")
            table((kind, "row versions"), [(node, f"{n:,}") for node, n in rows.items()])
            print()
    _rules("in quarantine (kept, but no reader sees them)", told["quarantine"])
    _rules("warned of (and used)", told["warnings"])
    for model in told["models"]:
        _model(model)
    for service in told["services"]:
        _service(service)
    for node, what in told["trouble"].items():
        print(f"{node}: the last attempt {what['state']}; see lichen show {node}")
    _next(told, folder)


def _rules(title: str, found: Mapping[str, Mapping[str, int]]) -> None:
    if found:
        print(title)
        table(
            ("node", "rule", "rows"),
            [(node, rule, f"{n:,}") for node, rules in found.items() for rule, n in rules.items()],
        )
        print()


def _model(model: Mapping[str, Any]) -> None:
    what = f"{model['node']} version {model['version']} ({model['family']})"
    print(f"{what}, on {counted(model['holdout_rows'], 'holdout row')} that the search never read")
    name = model["metric"]
    plain = _number(model["plain"]["value"]) if model["plain"] else "–"
    cells = [(name, _measured(model["holdout"]), _number(model["baseline"]), plain)]
    if model["log_loss"] and name != "log_loss":
        cells.append(
            ("log_loss", _measured(model["log_loss"]), _number(model["baseline_log_loss"]), "")
        )
    table(("metric", "value [95 % over days]", "base rate", "plain linear"), cells)
    print()


def _service(service: Mapping[str, Any]) -> None:
    print(f"{service['node']} serves version {service['serving']}: {service['reason']}")
    if not service["predictions"]:
        print()
        return
    live(service)
    print()


def live(service: Mapping[str, Any]) -> None:
    """Print how a service does, in all and by day."""
    share = service["labelled"] / service["predictions"]
    print(
        f"live: {counted(service['predictions'], 'prediction')}, {service['labelled']:,} "
        f"({share:.1%}) with a known outcome; {service['metric']} {_measured(service['live'])}"
    )
    cells = [
        (d["day"], f"{d['predictions']:,}", f"{d['labelled']:,}", _number(d["value"]))
        for d in service["days"]
    ]
    table(("day", "predictions", "labelled", service["metric"]), cells)


def _measured(found: Mapping[str, Any] | None) -> str:
    if not found or found["value"] is None:
        return "–"
    between = f" [{found['low']:.4f}, {found['high']:.4f}]" if found["low"] is not None else ""
    return f"{found['value']:.4f}{between}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _next(told: Mapping[str, Any], folder: Path) -> None:
    at = "" if folder == Path() else f" -C {folder}"
    print("try next")
    print(f"  lichen plan{at}")
    for model in told["models"][:1]:
        print(f"  lichen show {model['node']}{at}")
    for service in told["services"][:1]:
        name = service["node"].partition(".")[2]
        if service["predictions"]:
            print(f"  lichen query 'from predictions.{name} select key, value limit 3'{at}")
            print(f"  lichen why predictions.{name}:{service['example']}{at}")
        print(f"  lichen serve {name}{at}")
