"""Pages as a reader follows them: files to write, commands to type, output to see.

A page is followed block by block, in one folder:

- `sh` is typed, line by line. A command that fails must be followed by what it says; the edit that
  made it fail (`sed -i.old …`) is then undone.
- `text` is what the commands just above print. Ids, seconds and numbers with a point may differ;
  `…` stands for the rest of a line or, alone, for any lines.
- any other language is a file: the last one that the words before it name.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import lichen
from lichen.cli import main

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEAD = re.compile(r"^## (.+)$", re.MULTILINE)
_NAMED = re.compile(r"`([\w./]+\.(?:yml|yaml|sql|py))`")
_ID = re.compile(r"\b[0-9a-f]{32}\b")
Normal = Callable[[str], str]


def _as_it_is(folder: Path) -> None:
    """Leave the folder alone."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `path` is the last file that the words before it name."""

    page: str
    section: str
    line: int
    language: str
    text: str
    path: str | None


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, named as from the root, in their order."""
    text = (ROOT / page).read_text("utf-8")
    end, section = 0, ""
    for found in _FENCE.finditer(text):
        before = text[end : found.start()]
        end = found.end()
        section = [section, *_HEAD.findall(before)][-1]
        path = [None, *_NAMED.findall(before)][-1]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, section, line, found[1], found[2], path)


def settled(text: str) -> str:
    """Return the text without what differs from one machine, or one minute, to the next."""
    text = re.sub(r"\b\d+\.\d+(e-\d+)?", "N", _ID.sub("ID", text))
    return _squeezed(text)


def counted_out(text: str) -> str:
    """Return the text without any number at all, for output of other data of the same shape."""
    return _squeezed(re.sub(r"\d[\d,.]*", "N", _ID.sub("ID", text)))


def _squeezed(text: str) -> str:
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in text.splitlines())


def shows(shown: str, printed: str, normal: Normal = settled) -> bool:
    """Whether lines of what was printed are those that are shown."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in normal(shown).splitlines()
    ]
    return re.search(rf"^{''.join(lines)}", f"{normal(printed)}\n", re.MULTILINE) is not None


@dataclass
class Reader:
    """Someone who does what a page says, in a folder, and remembers what was printed.

    `ID` on the page is the last prediction id that was printed. What serves goes on in the
    background, on a free port, until `leave`. Packages below `packages` are found before others;
    `eased` may make the folder's work lighter after each command.
    """

    folder: Path
    tools: Path
    normal: Normal = settled
    packages: Path | None = None
    eased: Callable[[Path], None] = _as_it_is
    said: list[str] = field(default_factory=list)
    _above: str = ""
    _olds: set[Path] = field(default_factory=set)
    _failed: str | None = None
    _serving: subprocess.Popen[str] | None = None
    _url: str = ""

    def __post_init__(self) -> None:
        self.tools.mkdir(parents=True)
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
            self._see(block.text)
            return
        self.concluded()
        if block.language != "sh":
            self._write(block)
        elif block.text.startswith("lichen serve"):
            self._serve(block.text)
        else:
            self._above, self._olds = "", {*self.folder.rglob("*.old")}
            for command in block.text.splitlines():
                self._do(command)
                self.eased(self.folder)

    def concluded(self) -> None:
        """Make sure that nothing failed without the page saying so."""
        assert self._failed is None, f"failed, and the page does not say so:\n{self._failed}"

    def leave(self) -> None:
        """End what still serves."""
        if self._serving is not None:
            self._serving.terminate()
            self._serving.communicate(timeout=30)

    def _see(self, shown: str) -> None:
        assert shows(shown, self._above, self.normal), f"{shown}\nis not in\n{self._above}"
        if self._failed is not None:
            self._failed = None
            for edited in {*self.folder.rglob("*.old")} - self._olds:
                edited.replace(edited.with_suffix(""))

    def _do(self, command: str) -> None:
        self.concluded()
        if ids := _ID.findall(self.printed):
            command = re.sub(r":ID\b", f":{ids[-1]}", command)
        if "curl " in command:
            code, out = 0, self._post(command)
        elif command.startswith("lichen ") and not _needs_a_shell(command):
            code, out = self._call(shlex.split(command)[1:])
        else:
            code, out = self._type(command)
        self.said.append(out)
        self._above += out
        if code != 0:
            self._failed = f"{command}\n{out}"

    def _call(self, words: list[str]) -> tuple[int, str]:
        """Run a verb in this process: the start of another one for each would take too long."""
        out, before = io.StringIO(), [*sys.path]
        sys.path[:0] = [str(self.packages)] if self.packages is not None else []
        try:
            with chdir(self.folder), redirect_stdout(out), redirect_stderr(out):
                code = main(words)
        finally:
            sys.path[:] = before
        return code, out.getvalue()

    def _type(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    @property
    def _env(self) -> dict[str, str]:
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(Path(lichen.__file__).parents[1])}

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
        data = words[words.index("-d") + 1].encode() if "-d" in words else None
        with urllib.request.urlopen(url, data) as answer:
            return str(answer.read().decode())


def _needs_a_shell(command: str) -> bool:
    words = list(shlex.shlex(command, posix=True, punctuation_chars=True))
    return any(word[0] in "();<>|&" for word in words if word)
