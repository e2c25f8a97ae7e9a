"""What a power cut leaves of the last commit: mended, and no acknowledged row is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lichen.cli import main
from lichen.doctor import doctor
from lichen.testing.project import SmallProject

LOG = Path(".lichen/dev/lake/sources/s/_delta_log")


def last(root: Path) -> Path:
    return sorted((root / LOG).glob("*.json"))[-1]


def parquet(root: Path) -> Path:
    files = (root / LOG).parent.glob("*.parquet")
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def emptied(root: Path) -> None:
    last(root).write_bytes(b"")


def zeroed(root: Path) -> None:
    last(root).write_bytes(bytes(last(root).stat().st_size))


def torn(root: Path) -> None:
    text = last(root).read_bytes()
    last(root).write_bytes(text[: len(text) // 2])


def without_its_end(root: Path) -> None:
    """Two whole lines are there, and the transaction is not."""
    lines = last(root).read_bytes().splitlines(keepends=True)
    last(root).write_bytes(b"".join(lines[:-1]))


def without_its_file(root: Path) -> None:
    parquet(root).unlink()


def with_half_a_file(root: Path) -> None:
    parquet(root).write_bytes(parquet(root).read_bytes()[:100])


def with_a_draft(root: Path) -> None:
    emptied(root)
    (root / LOG / "_commit_8b16-4d.json.tmp").write_bytes(b"{")


def with_a_pointer_to_nothing(root: Path) -> None:
    emptied(root)
    (root / LOG / "_last_checkpoint").write_text('{"version": 1, "size": 4}')


DAMAGE = (
    emptied, zeroed, torn, without_its_end, without_its_file, with_half_a_file, with_a_draft,
    with_a_pointer_to_nothing,
)  # fmt: skip


@pytest.fixture
def cut(tmp_path: Path) -> SmallProject:
    """A project of which the last commit is there, and was never acknowledged."""
    project = SmallProject(tmp_path)
    project.source("s", {"n": "bigint"}, "key: n")
    project.csv("feeds/s/1.csv", "n", [[1], [2]])
    project.run("2020-01-01")
    ledger = tmp_path / ".lichen/dev/ledger.db"
    for part in tmp_path.glob(".lichen/dev/ledger.db*"):
        shutil.copy(part, tmp_path / part.name)
    project.csv("feeds/s/2.csv", "n", [[3], [4]])
    project.run("2020-01-02")
    for part in tmp_path.glob(".lichen/dev/ledger.db*"):
        part.unlink()
    for part in tmp_path.glob("ledger.db*"):
        shutil.copy(part, ledger.with_name(part.name))
    return SmallProject(tmp_path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_it_is_put_aside_and_comes_again(cut: SmallProject, damage: Callable[[Path], None]) -> None:
    damage(cut.root)
    found = doctor(cut.loop())
    assert found.mended
    assert not found.broken
    aside = list((cut.root / ".lichen/dev/lake/.lost").rglob("*"))
    assert aside, "nothing is deleted"
    cut.run("2020-01-02")
    assert [row["n"] for row in cut.versions("sources.s")] == [1, 2, 3, 4]
    assert doctor(cut.loop()).mended == ()


@pytest.mark.parametrize("damage", [emptied, torn])
def test_readers_go_on_with_what_was_acknowledged(
    cut: SmallProject, damage: Callable[[Path], None]
) -> None:
    damage(cut.root)
    assert [row["n"] for row in cut.versions("sources.s")] == [1, 2]


def test_a_commit_that_is_whole_stays(cut: SmallProject) -> None:
    assert doctor(cut.loop()).mended == ()
    assert len(list((cut.root / LOG).glob("*.json"))) == 2


def test_what_was_acknowledged_is_never_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = SmallProject(tmp_path)
    project.source("s", {"n": "bigint"}, "key: n")
    project.csv("feeds/s/1.csv", "n", [[1]])
    project.run("2020-01-01")
    path = parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["doctor", "-C", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "broken" in said
    assert path.name in said
    assert path.exists()


def test_a_sound_target_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = SmallProject(tmp_path)
    project.source("s", {"n": "bigint"}, "key: n")
    project.csv("feeds/s/1.csv", "n", [[1]])
    project.run("2020-01-01")
    (tmp_path / LOG).parent.joinpath("left.parquet").write_bytes(b"half")
    assert main(["doctor", "-C", str(tmp_path)]) == 0
    assert "1 table examined, 1 stray file removed: all is well" in capsys.readouterr().out
    assert project.plan("2020-01-01") == ()
