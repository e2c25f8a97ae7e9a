"""Pages as a reader follows them: files to write, commands to type, output to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./]+\.(?:yml|yaml|sql|py|csv))`")


@dataclass(frozen=True)
class Block:
    """A fenced block; `path` is the last file that the words before it name."""

    language: str
    text: str
    path: str | None


def section(page: str, title: str) -> str:
    """Return what stands under a heading of the second level."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks in their order."""
    end = 0
    for found in _FENCE.finditer(text):
        named = _NAMED.findall(text[end : found.start()])
        end = found.end()
        yield Block(found[1], found[2], named[-1] if named else None)


@dataclass
class Reader:
    """Someone who does what a page says, in a folder, and remembers what was printed."""

    folder: Path
    tools: Path
    files: list[str] = field(default_factory=list)
    printed: str = ""

    def __post_init__(self) -> None:
        self.tools.mkdir()
        for name, words in (("lichen", "-m lichen"), ("python", "")):
            tool = self.tools / name
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            tool.chmod(0o755)

    def follow(self, block: Block) -> None:
        """Write a file, run commands, or compare output."""
        if block.language == "sh":
            self.type(block.text)
        elif block.language == "text":
            assert block.text in self.printed
        else:
            assert block.path is not None, f"which file is this?\n{block.text}"
            place = self.folder / block.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text)
            self.files.append(block.path)

    def type(self, commands: str) -> None:
        """Run commands in a shell, which ends at the first one that fails."""
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-ec", commands],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        self.printed = done.stdout
