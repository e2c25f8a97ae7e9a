"""Every page is done as it stands: its files are written, its commands run, its output compared."""

from __future__ import annotations

import pytest
from pages import Block, blocks, counted_out, shows
from walks import PAGES, WALKS, Guide

# Blocks that no walk follows, each with its reason.
ELSEWHERE = {
    ("README.md", "Try it", "sh"): "the whole demo and all tests: minutes; CI does both",
    ("docs/connectors.md", None, "yaml"): "sources of servers, read in tests/adapters",
    ("docs/notebook.md", None, "python"): "cells, run by test_notebook.py",
    ("docs/words.md", None, "py"): "the reference's example; tables.md runs one",
}


@pytest.mark.parametrize("walk", WALKS)
def test_the_walk_succeeds(walk: str, guide: Guide) -> None:
    assert guide(walk).folder.is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_is_left_out(page: str) -> None:
    followed = {block for walk in WALKS.values() for block in walk.blocks}
    left_out = [b for b in blocks(page) if b not in followed and not _elsewhere(b)]
    assert left_out == []


def test_each_reason_is_needed() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    for page, section, language in ELSEWHERE:
        assert any(
            (b.page, b.language) == (page, language) and section in (None, b.section) for b in every
        )


def _elsewhere(block: Block) -> bool:
    known = ((block.page, section, block.language) for section in (None, block.section))
    return any(key in ELSEWHERE for key in known)


PRINTED = "rows  seconds\n2,000  0.4 s\nid  0cf3597b2f6b4a829d488807517eff85\nroc_auc 0.92\n"


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ("2,000  0.4 s\n", True),
        ("2,000  1.7 s\n", True),
        ("2,001  0.4 s\n", False),
        ("2,000\n", False),
        ("2,000  …\n", True),
        ("rows  seconds\nroc_auc 0.92\n", False),
        ("rows  seconds\n…\nroc_auc 0.93\n", True),
        ("id    11111111111111111111111111111111\n", True),
    ],
)
def test_what_is_shown_is_what_is_printed(shown: str, found: bool) -> None:
    assert shows(shown, PRINTED) is found


def test_of_other_data_only_the_numbers_differ() -> None:
    assert shows("9  0.1 s\n", PRINTED, counted_out)
    assert not shows("9 files  0.1 s\n", PRINTED, counted_out)
