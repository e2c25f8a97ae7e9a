"""plan shows what run does; run tells what came of it, and its exit code whether all is well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lichen as package
from lichen import project

NOW = ("--now", "2020-06-01")
STEPS = [
    ("land", "sources.sales"),
    ("build", "tables.clean"),
    ("build", "tables.by_shop"),
    ("publish", "publication"),
]
BLOCKING = """
    quality:
      - id: enough_rows
        metric: rowCount
        mustBeGreaterThan: 100
        customProperties: [{property: lichen.severity, value: block}]
"""


def process(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    command = [sys.executable, "-c", "import sys; from lichen.cli import main; sys.exit(main())"]
    env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    return subprocess.run(
        [*command, *words], capture_output=True, text=True, env=env, check=False, timeout=60
    )


def test_the_plan_lists_steps_with_reasons_and_what_is_downstream(
    shop: Path, lichen: Callable[..., Any]
) -> None:
    said = lichen("plan", *NOW, "--json")
    assert said.json["now"] == "2020-06-01T00:00:00Z"
    assert [(s["step"], s["node"]) for s in said.json["steps"]] == STEPS
    first = said.json["steps"][0]
    assert first["reason"] == "1 new file"
    assert set(first["downstream"]) == {"tables.clean", "tables.by_shop", "features.turnover"}
    assert said.json["steps"][1]["after"] == ["sources.sales"]
    assert not (shop / ".lichen").exists()


def test_the_plan_in_lines(shop: Path, lichen: Callable[..., Any]) -> None:
    lines = lichen("plan", *NOW).out.splitlines()
    assert lines[0] == "4 steps due as of 2020-06-01T00:00:00Z"
    assert lines[2].split() == ["step", "node", "why", "downstream"]
    assert lines[3].startswith("land     sources.sales   1 new file")


def test_after_a_run_nothing_is_due(shop: Path) -> None:
    ran = process("run", *NOW, "--json")
    assert ran.returncode == 0, ran.stderr
    done = json.loads(ran.stdout)
    assert [(s["step"], s["node"], s["state"]) for s in done["steps"]] == [
        (*step, "done") for step in STEPS
    ]
    assert done["run"] and done["stale"] == []
    assert done["steps"][0]["rows"] == 4
    assert done["steps"][0]["held_back"] == 2
    found = {f["rule"]: f["severity"] for f in done["steps"][0]["findings"]}
    assert found == {"amount.type": "quarantine", "amount.range": "quarantine"}
    again = process("plan", *NOW, "--json")
    assert json.loads(again.stdout) == {"now": "2020-06-01T00:00:00Z", "steps": []}


def test_a_run_in_lines(shop: Path, lichen: Callable[..., Any]) -> None:
    said = lichen("run", *NOW)
    assert said.code == 0
    assert said.out.startswith("done     sources.sales             4 rows (2 held back)")
    assert "in quarantine (the rows are kept, readers do not see them)" in said.out
    assert "4 steps: 4 done" in said.out
    assert lichen("run", *NOW).out == "nothing to do as of 2020-06-01T00:00:00Z\n"


def test_a_blocking_rule_ends_with_1_and_keeps_the_last_good_version(
    ran: Path, lichen: Callable[..., Any]
) -> None:
    contract = ran / "tables" / "clean.odcs.yaml"
    contract.write_text(contract.read_text("utf-8") + BLOCKING.removeprefix("\n"), "utf-8")
    said = process("run", "--now", "2020-06-02")
    assert said.returncode == 1
    assert "blocked  tables.clean" in said.stdout
    assert "blocked (nothing of the step was committed)" in said.stdout
    assert "at their last good version, and stale: tables.clean" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr
    asked = lichen("query", "select count(*) as n from clean", "--json")
    assert asked.json["rows"] == [{"n": 2}]
    shown = lichen("show", "by_shop", "--json").json
    assert (shown["state"], shown["stale_because_of"]) == ("stale", ["tables.clean"])


def test_only_the_named_nodes_and_what_they_need(shop: Path, lichen: Callable[..., Any]) -> None:
    said = lichen("run", "+clean", *NOW, "--json")
    assert [s["node"] for s in said.json["steps"]] == [
        "sources.sales",
        "tables.clean",
        "publication",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", "--now", "soon"], "--now: 'soon' is not a time"),
        (["plan", "--nwo", "2020-01-01"], "--nwo"),
        (["paln"], "paln"),
    ],
)
def test_wrong_usage_ends_with_2(
    words: list[str], says: str, shop: Path, lichen: Callable[..., Any]
) -> None:
    said = lichen(*words)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err


def test_an_error_as_json(shop: Path, lichen: Callable[..., Any]) -> None:
    (shop / "tables" / "clean.sql").write_text("select idd from sales\n", "utf-8")
    said = lichen("plan", "--json")
    assert said.code == 1
    assert said.json["error"] == {
        "what": "there is no column 'idd'",
        "where": {"file": "tables/clean.sql", "line": 1},
        "allowed": ["amount", "id", "shop", "sold_at"],
        "did_you_mean": "id",
        "next": None,
    }


def test_a_surprise_is_one_line_and_a_traceback_on_request(
    shop: Path, lichen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(root: Path) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(project, "read_project", broken)
    said = lichen("check")
    assert said.code == 1
    assert said.err == (
        "unexpected ZeroDivisionError: division by zero\n"
        "  next: run again with --debug to see where\n"
    )
    assert "Traceback" in lichen("check", "--debug").err
