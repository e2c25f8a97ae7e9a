"""Every page of the docs as a walk: where it begins, which of its blocks, in which order."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import flights_cut
from pages import ROOT, Block, Normal, Reader, blocks, counted_out, settled

PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))


def _as_it_is(folder: Path) -> None:
    """Leave the folder alone."""


class Followed(NamedTuple):
    """The folder of someone who has followed a page, and what they saw."""

    folder: Path
    printed: str


@dataclass(frozen=True)
class Walk:
    """Blocks that are followed in one folder, which `begins` makes."""

    blocks: Sequence[Block]
    begins: Callable[[Guide, Path], None]
    normal: Normal = settled
    packages: Callable[[Path], None] | None = None
    eased: Callable[[Path], None] = _as_it_is


@dataclass
class Guide:
    """Takes each walk once, however many tests ask for it; each in a folder below `root`."""

    root: Path
    done: list[Block] = field(default_factory=list)
    _taken: dict[str, Followed] = field(default_factory=dict)
    _readers: list[Reader] = field(default_factory=list)

    def __call__(self, name: str) -> Followed:
        """Return the folder after a walk, and what was printed on it."""
        if name not in self._taken:
            self._taken[name] = self._take(WALKS[name], self.root / name.replace("/", "-"))
        return self._taken[name]

    def leave(self) -> None:
        """End what still serves."""
        for reader in self._readers:
            reader.leave()

    def _take(self, walk: Walk, place: Path) -> Followed:
        folder, packages = place / "work", None
        walk.begins(self, folder)
        if walk.packages is not None:
            walk.packages(packages := place / "packages")
        reader = Reader(folder, place / "bin", walk.normal, packages, walk.eased)
        self._readers.append(reader)
        for block in walk.blocks:
            reader.follow(block)
            self.done.append(block)
        reader.concluded()
        return Followed(folder, reader.printed)


def _nothing(guide: Guide, folder: Path) -> None:
    folder.mkdir(parents=True)


def _after(name: str) -> Callable[[Guide, Path], None]:
    def begins(guide: Guide, folder: Path) -> None:
        shutil.copytree(guide(name).folder, folder, symlinks=True)

    return begins


def _with_customers(guide: Guide, folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(guide("docs/tutorial-csv.md").folder / "customers.csv", folder)


def _search_briefly(folder: Path) -> None:
    """A tutorial's walk is not about how good the model is."""
    for model in folder.glob("*/models/*.py"):
        brief = re.sub(r'budget="\d+s"', 'budget="1s"', model.read_text("utf-8"))
        model.write_text(brief, "utf-8")


def _section(page: str, title: str) -> list[Block]:
    return [block for block in blocks(page) if block.section == title]


def _walks() -> Mapping[str, Walk]:
    own = _section("README.md", "A project of your own")
    run = 1 + [block.language for block in own].index("text")
    nouns = ("sources", "tables", "features", "outcomes", "models", "services")
    commands = [block for block in blocks("docs/notebook.md") if block.language == "sh"]
    customers = _section("README.md", "From a CSV of your own")
    return {
        "docs/tutorial-flights.md": Walk(
            [*blocks("docs/tutorial-flights.md")],
            _nothing,
            normal=counted_out,
            packages=flights_cut.cut,
            eased=_search_briefly,
        ),
        "first run": Walk(own[:run], _nothing),
        "README.md": Walk(own[run:], _after("first run")),
        "a CSV": Walk(customers, _with_customers, eased=_search_briefly),
        "docs/how-it-works.md": Walk([*blocks("docs/how-it-works.md")], _after("README.md")),
        "docs/notebook.md": Walk(commands, _after("first run")),
        "docs/tutorial-csv.md": Walk(
            [*blocks("docs/tutorial-csv.md")], _nothing, eased=_search_briefly
        ),
        **{
            page: Walk([*blocks(page)], _after("first run"))
            for page in (f"docs/{noun}.md" for noun in nouns)
            if page in PAGES
        },
    }


WALKS = _walks()
