"""A tiny area, run end to end: environments, turns, medians, goals, results and their page."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from bench.cases import Area, Case, Disagreement, Figure, Side, holds

from bench import __main__ as bench
from bench import measure, report

WORK = """
import json, sys
from pathlib import Path
name, data = sys.argv[1], Path(sys.argv[2])
with (data / "turns").open("a") as file:
    file.write(name + "\\n")
size = int((data / "size").read_text())
print("so much is said first")
found = {"total": sum(range(size)), "bytes": size * (2 if name == "slow" else 1)}
print(json.dumps({**found, "python": sys.prefix}))
"""
SETUP = "import sys; from pathlib import Path; (Path(sys.argv[1]) / 'size').write_text('1000')"


def area(tmp_path: Path, *figures: Figure, slow: str = "work.py") -> Area:
    here = tmp_path / "scripts"
    here.mkdir()
    (here / "work.py").write_text(WORK)
    (here / "setup.py").write_text(SETUP)
    (here / "other.py").write_text("print('{\"total\": 7}')")
    (here / "fails.py").write_text("raise SystemExit('out of luck')")
    case = Case(
        "adding",
        "Numbers are added.",
        (
            Side("lichen", ("python", "{here}/work.py", "quick", "{data}"), shows="no such thing"),
            Side("peer", ("python", f"{{here}}/{slow}", "slow", "{data}"), "peer", shows="-"),
        ),
        figures,
        setup=(Side("lichen", ("python", "{here}/setup.py", "{data}")),),
        same=("total",),
        warmup=1,
        repeat=2,
    )
    return Area("tiny", here, (case,))


def measured(area: Area, tmp_path: Path) -> int:
    peers = tmp_path / "peers"
    peers.mkdir(exist_ok=True)
    (peers / "peer.txt").write_text("")
    return bench.measured(area, area.cases[0], peers, tmp_path / "results", tmp_path / "work")


def test_an_area_from_nothing_to_its_page(tmp_path: Path) -> None:
    figures = (
        Figure("bytes", "bytes", "KB", "ratio ≤ .5", scale=0.001),
        Figure("bytes", "few", "KB", "value ≤ .5", scale=0.001),
        Figure("wall", "wall", "s"),
        Figure("cpu", "CPU", "s"),
        Figure("peak", "peak memory", "MB"),
    )
    tiny = area(tmp_path, *figures)
    assert measured(tiny, tmp_path) == 1

    rows = json.loads((tmp_path / "results" / "tiny.json").read_text())
    python = f"Python {sys.version.split()[0]}"
    assert rows[0] == {
        "name": "adding: bytes", "value": 1.0, "unit": "KB", "peer": f"peer {python}",
        "peer_value": 2.0, "ratio": 0.5, "goal": "ratio ≤ .5", "holds": True,
    }  # fmt: skip
    assert [row["holds"] for row in rows] == [True, False, None, None, None]
    assert all(0 < row["value"] < 1000 for row in rows[2:])

    data = tmp_path / "work" / "data" / "tiny" / "adding"
    assert (data / "turns").read_text().split() == ["quick", "slow"] * 3
    about = json.loads((tmp_path / "results" / "runs" / "tiny.json").read_text())["adding"]
    assert about["versions"] == {"lichen": python, "peer": python}
    homes = {side: run[0]["python"] for side, run in about["runs"].items()}
    assert [len(runs) for runs in about["runs"].values()] == [2, 2]
    assert homes == {"lichen": sys.prefix, "peer": str(tmp_path / "work" / "envs" / "peer")}

    page = report.page(tmp_path / "results")
    assert "| bytes | 1.0 KB | peer " in page
    assert "| ratio ≤ .5 | holds |" in page
    assert "| value ≤ .5 | **does not hold** |" in page
    assert "Numbers are added." in page


def test_measuring_again_replaces_the_case_alone(tmp_path: Path) -> None:
    tiny = area(tmp_path, Figure("total", "sum", "", peers=()))
    other = {"name": "other: figure", "value": 1.0}
    report.write(tmp_path / "results" / "tiny.json", [other, {"name": "adding: gone"}])
    assert measured(tiny, tmp_path) == 0
    rows = json.loads((tmp_path / "results" / "tiny.json").read_text())
    assert [row["name"] for row in rows] == ["adding: sum", "other: figure"]
    assert (rows[0]["value"], rows[0]["peer"], rows[0]["ratio"]) == (499500.0, None, None)


def test_sides_that_did_something_else_are_refused(tmp_path: Path) -> None:
    tiny = area(tmp_path, Figure("wall", "wall", "s"), slow="other.py")
    with pytest.raises(Disagreement, match="adding: the sides differ in total"):
        measured(tiny, tmp_path)
    assert not (tmp_path / "results").exists()


def test_a_command_that_fails_ends_the_case_with_what_it_said(tmp_path: Path) -> None:
    tiny = area(tmp_path, Figure("wall", "wall", "s"), slow="fails.py")
    with pytest.raises(measure.CommandFailed, match="out of luck"):
        measured(tiny, tmp_path)


@pytest.mark.parametrize(
    ("goal", "value", "ratio", "reached"),
    [
        ("value ≤ 2", 2.0, None, True),
        ("ratio ≤ .5", 9.0, 0.51, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_goals(goal: str | None, value: float, ratio: float | None, reached: bool | None) -> None:
    assert holds(goal, value, ratio) is reached


@pytest.mark.parametrize("goal", ["faster", "value < 2", "ratio ≤ .5"])
def test_a_goal_that_cannot_be_judged_is_a_mistake(goal: str) -> None:
    with pytest.raises(ValueError, match="goal"):
        holds(goal, 1.0, None)


def test_cpu_counts_what_a_command_starts(tmp_path: Path) -> None:
    burn = "import time; end = time.process_time() + .3\nwhile time.process_time() < end: pass"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    run = measure.run([sys.executable, "-c", outer], tmp_path, {})
    assert float(str(run["cpu"])) >= 0.3


def test_peak_is_the_commands_own_however_much_the_harness_holds(tmp_path: Path) -> None:
    held = bytearray(b"x" * 300_000_000)
    run = measure.run([sys.executable, "-c", "pass"], tmp_path, {})
    assert len(held) == 300_000_000
    assert 5 < float(str(run["peak"])) < 100


@pytest.mark.parametrize("name", ["loop", "sources"])
def test_every_area_that_there_is_can_be_read(name: str) -> None:
    area: Area = importlib.import_module(f"bench.{name}.area").AREA
    peers = {path.stem for path in (bench.HERE / "peers").glob("*.txt")} | {"lichen"}
    for case in area.cases:
        assert {side.env for side in (*case.setup, *case.sides)} <= peers
        names = {side.name for side in case.sides}
        for figure in case.figures:
            assert {figure.side, *(figure.peers or ())} <= names
            holds(figure.goal, 1.0, 1.0)
        scripts = [word for side in (*case.setup, *case.sides) for word in side.command]
        for word in scripts:
            assert "{here}" not in word or Path(word.format(here=area.here)).is_file()
