"""Pages as a reader follows them: files to write, commands to type, output to see."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Follow = Callable[[str, Path], str]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./]+\.(?:yml|yaml|sql|py))`")
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Block:
    """A fenced block; `path` is the last file that the words before it name."""

    language: str
    text: str
    path: str | None


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks in their order."""
    end = 0
    for found in _FENCE.finditer(text):
        named = _NAMED.findall(text[end : found.start()])
        end = found.end()
        yield Block(found[1], found[2], named[-1] if named else None)


@dataclass
class Reader:
    """Someone who does what a page says, in a folder, and remembers what was printed.

    `ID` on the page is the last prediction id that was printed. What serves goes on in the
    background, on a free port, until `leave`.
    """

    folder: Path
    tools: Path
    said: list[str] = field(default_factory=list)
    _serving: subprocess.Popen[str] | None = None
    _url: str = ""

    def __post_init__(self) -> None:
        self.tools.mkdir()
        for name, words in (("lichen", "-m lichen"), ("python", "")):
            tool = self.tools / name
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            tool.chmod(0o755)

    @property
    def printed(self) -> str:
        """Everything that was printed so far."""
        return "".join(self.said)

    def follow(self, block: Block) -> None:
        """Write a file, run commands, or look for output."""
        if block.language == "text":
            assert block.text in self.printed
        elif block.language != "sh":
            self._write(block)
        elif block.text.startswith("lichen serve"):
            self._serve(block.text)
        else:
            for command in block.text.splitlines():
                self.said.append(self._post(command) if "curl " in command else self.type(command))

    def type(self, command: str) -> str:
        """Run a command, which must not fail; returns what it prints."""
        if ids := _ID.findall(self.printed):
            command = re.sub(r":ID\b", f":{ids[-1]}", command)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def leave(self) -> None:
        """End what still serves."""
        if self._serving is not None:
            self._serving.terminate()
            self._serving.communicate(timeout=30)

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}"}

    def _write(self, block: Block) -> None:
        assert block.path is not None, f"which file is this?\n{block.text}"
        place = self.folder / block.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(block.text)

    def _serve(self, command: str) -> None:
        words = [*shlex.split(command), "--port", "0"]
        self._serving = subprocess.Popen(
            words, cwd=self.folder, env=self._env, stdout=subprocess.PIPE, text=True
        )
        assert self._serving.stdout is not None
        line = self._serving.stdout.readline()
        assert "listening on " in line
        self._url = line.split()[-1].rstrip("/")

    def _post(self, command: str) -> str:
        """Do what a curl command does, at the port that is really served."""
        words = shlex.split(command)
        (address,) = [word for word in words if word.startswith("http://127.0.0.1:8000")]
        url = address.replace("http://127.0.0.1:8000", self._url)
        with urllib.request.urlopen(url, words[words.index("-d") + 1].encode()) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="session")
def follow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follow]:
    """Do what a text says in a folder; returns everything that was printed."""
    readers: list[Reader] = []

    def does(text: str, folder: Path) -> str:
        reader = Reader(folder, tmp_path_factory.mktemp("tools") / "bin")
        readers.append(reader)
        for block in blocks(text):
            reader.follow(block)
        return reader.printed

    try:
        yield does
    finally:
        for reader in readers:
            reader.leave()
