"""The shells' own completion, with the script that `lichen completion` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Complete = Callable[..., list[str]]
Lichen = Callable[..., Any]
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
completed=$(complete -p lichen); function=${completed#*-F }; function=${function%% *}
COMPREPLY=()
$function lichen "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]+"${COMPREPLY[@]}"}"
"""


@pytest.fixture
def complete(shop: Path, lichen: Lichen, tmp_path: Path) -> Complete:
    """Complete the last of some words in bash, in the shop's folder."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "lichen"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lichen "$@"\n')
    tool.chmod(0o755)
    script = tmp_path / "lichen.bash"
    script.write_text(lichen("completion", "bash").out)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def candidates(*words: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", BASH, "bash", str(script), "lichen", *words],
            capture_output=True,
            text=True,
            cwd=shop,
            env={**os.environ, "PATH": path},
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line]

    return candidates


def test_bash_completes_verbs_options_nodes_and_targets(complete: Complete, shop: Path) -> None:
    tables = sorted(f"tables.{p.stem}" for p in (shop / "tables").glob("*.sql"))
    assert tables
    assert complete("pl") == ["plan"]
    assert "--now" in complete("plan", "--n")
    assert sorted(complete("show", "tables.")) == tables
    assert sorted(complete("run", "sources.none", "tables.")) == tables
    assert complete("show", tables[0].partition(".")[2][:3]) == [tables[0].partition(".")[2]]
    assert complete("run", "--target", "") == ["dev"]
    assert "sources" in complete("schema", "s")


def test_bash_completes_in_the_folder_that_is_named(complete: Complete, shop: Path) -> None:
    other = shop.parent / "other"
    (other / "services").mkdir(parents=True)
    (other / "services" / "answers.yml").write_text("model: answers\n")
    (other / "lichen.yml").write_text("name: other\ntargets: {here: {}, there: {}}\n")
    assert complete("serve", "-C", str(other), "") == ["answers"]
    assert complete("check", "-C", str(other), "--target", "") == ["here", "there"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script(lichen: Lichen, shell: str) -> None:
    said = lichen("completion", shell, "--json").json
    assert said["shell"] == shell
    assert all(verb in said["script"] for verb in ("plan", "completion", "__complete"))


def test_another_shell_is_misuse(lichen: Lichen) -> None:
    assert lichen("completion", "csh").code == 2
