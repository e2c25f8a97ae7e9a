"""What fails outside is tried again as often as a source says; a table never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lichen.core.time import instant
from lichen.loop import Event
from lichen.stages.sources.retry import attempted, waits
from lichen.testing.project import SmallProject

FLAKY = """
    from pathlib import Path

    def prepare(folder, now):
        count = Path(folder, "count.txt")
        n = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(n))
        if n < {good}:
            raise OSError("the exchange is down")
        Path(folder, "feeds/s/a.csv").write_text("k,v\\n1,1\\n")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    monkeypatch.setattr("lichen.stages.sources.retry.FIRST", 0.001)
    small = SmallProject(tmp_path)
    small.write("feeds/s/nothing.txt", "")
    small.csv("feeds/other/a.csv", "k,v", [(1, 1)])
    small.source("other", {"k": "bigint", "v": "bigint"}, "key: k\n")
    return small


def run(small: SmallProject, retries: int, good: int) -> dict[str, str]:
    small.write("prepare.py", FLAKY.format(good=good))
    settings = f"key: k\nprepare: prepare.py\nretries: {retries}\n"
    small.source("s", {"k": "bigint", "v": "bigint"}, settings)
    events = small.run("2020-01-01")
    return {e.step.node: _came(e) for e in events}


def _came(event: Event) -> str:
    return getattr(event.result, "error", None) or type(event.result).__name__


def attempts(small: SmallProject) -> int:
    return int((small.root / "count.txt").read_text())


def test_a_flaky_prepare_is_called_again(project: SmallProject) -> None:
    assert run(project, retries=3, good=3)["sources.s"] == "Done"
    assert attempts(project) == 3


@pytest.mark.parametrize("retries", [0, 2])
def test_one_that_stays_down_fails_its_source_alone(project: SmallProject, retries: int) -> None:
    came = run(project, retries=retries, good=99)
    assert attempts(project) == retries + 1
    assert "the exchange is down" in came["sources.s"]
    assert came["sources.other"] == came["publication"] == "Done"


def test_the_last_good_version_stays_and_is_told_as_stale(project: SmallProject) -> None:
    assert run(project, retries=0, good=1)["sources.s"] == "Done"
    project.write("prepare.py", FLAKY.format(good=99))
    loop = project.loop()
    (step, *_) = loop.plan(now=instant("2020-01-02"))
    assert step.reason == (
        f"it could not be looked at: {project.root}/prepare.py:8: prepare did not finish: "
        "OSError: the exchange is down"
    )
    project.run("2020-01-02")
    assert project.current("sources.s", "2020-01-02") == [{"k": 1, "v": 1}]
    assert project.loop().show("sources.s")["state"] == "stale"
    project.write("prepare.py", FLAKY.format(good=1))
    (event, _) = project.run("2020-01-03")
    assert event.step.reason == "it can be looked at again"
    assert project.loop().show("sources.s")["state"] == "current"
    assert project.plan("2020-01-04") == ()


def test_a_file_that_cannot_be_read_for_a_moment_is_read_again(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lichen.adapters.duckdb import DuckDB

    real, seen = DuckDB.csv, []

    def flaky(self: DuckDB, path: Path, *, delimiter: str = ",") -> object:
        seen.append(path.name)
        if len(seen) == 1:
            raise OSError("stale file handle")
        return real(self, path, delimiter=delimiter)

    monkeypatch.setattr(DuckDB, "csv", flaky)
    project.source("other", {"k": "bigint", "v": "bigint"}, "key: k\nretries: 1\n")
    (event, _) = project.run("2020-01-01", "other")
    assert _came(event) == "Done"
    assert seen == ["a.csv", "a.csv"]


def test_a_mistake_is_not_worth_another_attempt() -> None:
    calls = []

    def wrong() -> None:
        calls.append(1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        attempted(wrong, 5, lambda error: not isinstance(error, KeyError), wait=lambda _: None)
    assert len(calls) == 1


def test_waits_grow_and_are_jittered() -> None:
    low, high = (list(waits(9, lambda c=c: c)) for c in (0.0, 1.0))  # type: ignore[misc]
    assert high[:4] == [0.5, 1, 2, 4]
    assert high[-1] == 30
    assert low == [wait / 2 for wait in high]
