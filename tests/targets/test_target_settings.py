"""The targets of lichen.yml: what they mean, and what is refused, with its line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lichen.cli import main
from lichen.core.errors import ProjectError
from lichen.loop import open_loop
from lichen.project import read_project
from lichen.targets.place import parent_of
from lichen.testing.engine import sql


def write(root: Path, targets: str) -> Path:
    lines = ["name: shop", "targets:", *(f"  {line}" for line in targets.splitlines())]
    (root / "lichen.yml").write_text("\n".join(lines) + "\n", "utf-8")
    return root


SECRET = "xoxb-2718281828"  # noqa: S105 - of nobody
MISTAKES = {
    "dev: {lak: here}": (3, ["unknown key 'lak'", "did you mean 'lake'?"]),
    "prod: {from: live}": (3, ["prod begins from 'live'", "allowed: dev"]),
    "prod: {from: prod}": (3, ["prod begins, in a circle, from itself"]),
    "a: {from: b}\nb: {from: a}": (3, ["a begins, in a circle"]),
    "dev:\n  engine:\n    thread: 2": (5, ["unknown key 'thread'", "did you mean 'threads'?"]),
    "dev:\n  engine: {threads: 0}": (4, ["0 threads do nothing"]),
    "dev:\n  engine: {memory: lots}": (4, ["'lots' is no amount of memory", "2GB"]),
    "a: {lake: x}\nb:\n  lake: ./x": (5, ["b and a have the same lake"]),
    "prod: {ledger: .lichen/dev/ledger.db}": (3, ["have the same ledger"]),
    f"prod:\n  secrets:\n    slack: {SECRET}": (5, ["'slack' is written out", "env:VARIABLE"]),
    "prod:\n  secrets: {pin: 2718281828}": (4, ["secrets", "expected a text"]),
    f"prod:\n  secrets: {SECRET}": (4, ["expected keys with values"]),
}


@pytest.mark.parametrize("targets", MISTAKES)
def test_what_a_target_cannot_mean_is_told_with_its_line(targets: str, tmp_path: Path) -> None:
    line, says = MISTAKES[targets]
    with pytest.raises(ProjectError) as error:
        read_project(write(tmp_path, targets))
    told = str(error.value)
    assert f"lichen.yml:{line}: " in told
    for words in says:
        assert words in told
    assert not re.search("2718", told)


def test_a_target_keeps_all_in_its_folder_unless_it_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "lichen.yml").write_text("name: shop\n")
    place = open_loop(tmp_path).place
    kept = [place.folder, place.lake, place.ledger, place.temp]
    names = [".lichen/dev", ".lichen/dev/lake", ".lichen/dev/ledger.db", ".lichen/dev/spill"]
    assert kept == [tmp_path / name for name in names]
    write(
        tmp_path, "prod: {lake: /big/lake, ledger: state/prod.db, engine: {temp: t, memory: 1GB}}"
    )
    place = open_loop(tmp_path, "prod").place
    kept = [place.folder, place.lake, place.ledger, place.temp]
    assert kept == [tmp_path / n for n in (".lichen/prod", "/big/lake", "state/prod.db", "t")]
    assert place.parent is not None
    assert (place.parent.target, place.memory) == ("dev", "1GB")


def test_the_engine_takes_what_the_target_gives_it(tmp_path: Path) -> None:
    write(tmp_path, "dev: {engine: {threads: 1, memory: 512MiB, temp: spilled}}")
    engine = open_loop(tmp_path).engine
    told = engine.rows(
        sql(
            "select name, value from duckdb_settings() "
            "where name in ('threads', 'memory_limit', 'temp_directory') order by name"
        ),
        {},
    )
    assert [row["value"] for row in told] == ["512.0 MiB", str(tmp_path / "spilled"), "1"]


@pytest.mark.parametrize(
    ("targets", "name", "parent"),
    [
        ("prod: {}", "prod", "dev"),
        ("prod: {}", "dev", None),
        ("prod: {from: null}", "prod", None),
        ("prod: {}\ntrial: {from: prod}", "trial", "prod"),
        ("prod: {}\ndev: {from: prod}", "dev", "prod"),
        ("prod: {}\ndev: {from: prod}", "prod", None),
        ("prod: {}\nb: {from: prod}\ndev: {from: b}", "prod", None),
        ("prod: {}\nother: {}\ndev: {from: prod}", "other", "dev"),
    ],
)
def test_where_a_target_begins(targets: str, name: str, parent: str | None, tmp_path: Path) -> None:
    assert parent_of(name, read_project(write(tmp_path, targets)).targets) == parent


def test_a_secret_is_read_from_where_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = "{a: 'env:SHOP_A', b: 'file:keys/b', c: 'env:SHOP_C', d: 'file:keys/d'}"
    write(tmp_path, f"prod: {{secrets: {references}}}")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/b").write_text("beta\n")
    monkeypatch.setenv("SHOP_A", "alpha")
    monkeypatch.delenv("SHOP_C", raising=False)
    loop = open_loop(tmp_path, "prod")
    assert (loop.secret("a"), loop.secret("b")) == ("alpha", "beta")
    for name, says in (("c", "SHOP_C, which is not set"), ("d", "keys/d, which cannot be read")):
        with pytest.raises(ProjectError, match=says):
            loop.secret(name)
    with pytest.raises(ProjectError, match="prod has no secret 'e'"):
        loop.secret("e")
    assert "alpha" not in repr(loop) + repr(loop.project.targets)


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"(?s)no target 'prd'.*did you mean 'prod'\?"):
        open_loop(write(tmp_path, "prod: {}"), "prd")


def test_check_needs_neither_ledger_nor_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(Path(__file__).parents[1] / "mistakes" / "project", shop)
    shutil.rmtree(shop / "feeds", ignore_errors=True)
    there = "{lake: /nowhere/lake, ledger: /nowhere/ledger.db, secrets: {a: 'env:NOT_SET'}}"
    (shop / "lichen.yml").write_text(f"name: shop\ntargets: {{prod: {there}}}\n")
    before = sorted(shop.rglob("*"))
    for path in [shop, *before]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.chdir(shop)
    try:
        for target in ("dev", "prod"):
            assert main(["check", "--target", target]) == 0
    finally:
        for path in [shop, *before]:
            path.chmod(0o755)
    assert "nothing is wrong" in capsys.readouterr().out
    assert sorted(shop.rglob("*")) == before
