"""Twelve kinds of drift, and what each of the three policies makes of them.

Each case lands forty good rows, and then forty of another shape. What is expected of `evolve` and
`quarantine` is how many of these readers see; `freeze` shows none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lichen.core.findings import Finding
from lichen.core.steps import Blocked, Done
from lichen.loop import Event
from lichen.project import read_project
from lichen.stages.sources.drift import Profile, Seen, drifts
from lichen.stages.sources.spec import Source
from lichen.testing.project import SmallProject

N = 40
Row = dict[str, Any]
COLUMNS = {
    "id": "bigint", "amount": "bigint", "weight": "double", "kind": "varchar", "note": "varchar",
    "place": "varchar",
}  # fmt: skip


def good(n: int) -> Row:
    return {
        "id": n, "amount": 100 + n % 7, "weight": 2.5 + n % 3, "kind": "ab"[n % 2],
        "note": f"note {n} é", "place": json.dumps({"city": "x", "zip": n}),
    }  # fmt: skip


def changed(change: Callable[[Row, int], Row]) -> list[Row]:
    return [change(good(n), n) for n in range(N, 2 * N)]


def without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}


def every(nth: int, **news: Any) -> Callable[[Row, int], Row]:
    return lambda row, n: row | news if n % nth == 0 else row


def garbled(row: Row, n: int) -> Row:
    return row | ({"note": row["note"].encode().decode("latin-1")} if n % 2 else {})


class Case(NamedTuple):
    rule: str
    change: Callable[[Row, int], Row]
    evolves: int  # rows of the second landing that are seen
    quarantines: int
    formats: Sequence[str] = ("csv", "json")


CASES = {
    "added": Case(
        "added.colour", lambda r, n: r | ({"colour": "red"} if n % 2 else {}), N, N // 2
    ),
    "removed": Case("removed.weight", lambda r, _: without(r, "weight"), N, 0),
    "renamed": Case(
        "renamed.weight", lambda r, _: without(r, "weight") | {"weight_kg": r["weight"]}, N, 0
    ),
    "reordered": Case("reordered", lambda r, _: dict(reversed(r.items())), N, N, ("csv",)),
    "widened": Case("widened.amount", every(2, amount=1.5), N // 2, N // 2),
    "type": Case("type.amount", every(2, amount="many"), N // 2, N // 2),
    "nullable": Case("nullable.weight", every(4, weight=None), N, N - N // 4),
    "unit": Case("unit.weight", lambda r, _: r | {"weight": r["weight"] * 1000}, N, 0),
    "values": Case("values.kind", every(4, kind="c"), N, N - N // 4),
    "nested": Case(
        "nested.place",
        lambda r, n: r | {"place": json.dumps({"city": {"name": "x"}, "zip": n})}, N, 0,
    ),
    "encoding": Case("encoding.note", garbled, N, N // 2),
}  # fmt: skip
EACH = [(name, format_) for name, case in CASES.items() for format_ in case.formats]


def written(project: SmallProject, format_: str, name: str, rows: list[Row]) -> None:
    if format_ == "json":
        with (project.root / "rows.log").open("a") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    names = list(dict.fromkeys(key for row in rows for key in row))
    cells = [["" if r.get(c) is None else str(r[c]) for c in names] for r in rows]
    quoted = [['"' + c.replace('"', '""') + '"' if c else "" for c in row] for row in cells]
    project.csv(f"feeds/s/{name}.csv", ",".join(names), quoted)


def landed(
    tmp_path: Path, format_: str, policy: str, change: Callable[[Row, int], Row]
) -> tuple[SmallProject, Event]:
    project = SmallProject(tmp_path)
    if format_ == "json":
        said = f"connector: logs\npath: rows.log\nkey: id\non_drift: {policy}\n"
        project.write("sources/s.yml", said)
        project.contract("sources/s", COLUMNS)
    else:
        project.source("s", COLUMNS, f"key: id\non_drift: {policy}\n")
    written(project, format_, "1", [good(n) for n in range(N)])
    (event, *_) = project.run("2020-01-01")
    assert isinstance(event.result, Done), event
    assert event.result.findings == (), "the first landing differs from nothing"
    written(project, format_, "2", changed(change))
    return project, project.run("2020-01-02")[0]


def seen(project: SmallProject) -> int:
    return sum(row["id"] >= N for row in project.current("sources.s", "2020-01-04"))


def drifting(findings: Sequence[Finding]) -> dict[str, str]:
    return {f.rule: f.severity.value for f in findings if f.rule.startswith("drift.")}


@pytest.mark.parametrize(("name", "format_"), EACH)
def test_evolve_lands_and_tells(tmp_path: Path, name: str, format_: str) -> None:
    project, event = landed(tmp_path, format_, "evolve", CASES[name].change)
    assert isinstance(event.result, Done), event
    assert drifting(event.result.findings) == {f"drift.{CASES[name].rule}": "warn"}
    assert seen(project) == CASES[name].evolves


@pytest.mark.parametrize(("name", "format_"), EACH)
def test_freeze_lands_nothing_until_the_policy_changes(
    tmp_path: Path, name: str, format_: str
) -> None:
    project, event = landed(tmp_path, format_, "freeze", CASES[name].change)
    assert isinstance(event.result, Blocked), event
    assert drifting(event.result.findings) == {f"drift.{CASES[name].rule}": "block"}
    assert all("on_drift: evolve" in finding.message for finding in event.result.findings)
    assert seen(project) == 0
    settings = project.root / "sources/s.yml"
    settings.write_text(settings.read_text().replace("freeze", "evolve"))
    project.run("2020-01-03")
    assert seen(project) == CASES[name].evolves


@pytest.mark.parametrize(("name", "format_"), EACH)
def test_quarantine_holds_back_the_rows_that_show_it(
    tmp_path: Path, name: str, format_: str
) -> None:
    project, _ = landed(tmp_path, format_, "quarantine", CASES[name].change)
    assert seen(project) == CASES[name].quarantines
    rule = f"drift.{CASES[name].rule}"
    held = [v for v in project.verdicts("sources.s") if v["rule"] == rule]
    assert len(held) == N - CASES[name].quarantines
    assert all(v["reason"] for v in held)


def test_fields_that_no_contract_names_are_kept(tmp_path: Path) -> None:
    project, _ = landed(tmp_path, "json", "evolve", CASES["added"].change)
    raws = [row["_raw"] for row in project.versions("sources.s") if row["_raw"]]
    assert [json.loads(raw) for raw in raws] == [{"colour": "red"}] * (N // 2)


def test_types_of_a_source_that_has_types(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.source("s", {"id": "bigint"}, "on_drift: freeze\n")
    (source,) = read_project(tmp_path).of(Source)
    columns = {"id": Seen(filled=N)}

    def typed(type_: str) -> Profile:
        return Profile(rows=N, columns=columns, header=[("id", type_)])

    def kinds(was: str, is_: str) -> list[str]:
        return [drift.kind for drift in drifts(typed(was), typed(is_), source)]

    assert kinds("BIGINT", "INTEGER") == ["narrowed"]
    assert kinds("INTEGER", "BIGINT") == ["widened"]
    assert kinds("BIGINT", "VARCHAR") == ["type"]
    assert kinds("STRUCT(a INTEGER)", "STRUCT(a INTEGER, b INTEGER)") == ["nested"]
    assert kinds("BIGINT", "BIGINT") == []


@pytest.mark.parametrize("policy", ["evolve", "freeze", "quarantine"])
@pytest.mark.parametrize("format_", ["csv", "json"])
def test_more_of_the_same_is_no_drift(tmp_path: Path, policy: str, format_: str) -> None:
    project, event = landed(tmp_path, format_, policy, lambda row, _: row)
    assert isinstance(event.result, Done), event
    assert event.result.findings == ()
    assert seen(project) == N
