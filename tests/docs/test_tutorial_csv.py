"""The tutorial on a CSV file, and the README's section about it: done as they stand."""

from __future__ import annotations

import re

import pytest
from pages import ROOT
from walks import Followed, Guide

import lichen

PAGE = (ROOT / "docs" / "tutorial-csv.md").read_text("utf-8")


@pytest.fixture(scope="module")
def followed(guide: Guide) -> Followed:
    return guide("docs/tutorial-csv.md")


def test_each_file_of_the_table_is_there(followed: Followed) -> None:
    named = re.findall(r"^\| `(\S+)` \|", PAGE, re.MULTILINE)
    assert len(named) == 7
    for path in named:
        assert (followed.folder / "leaving" / path).is_file()


def test_the_model_has_learnt_and_was_trained_again(followed: Followed) -> None:
    opened = lichen.open(followed.folder / "leaving")
    assert opened.show("models.leaves")["metrics"]["roc_auc"]["value"] > 0.6
    assert opened.show("models.leaves")["version"] == 2
    assert opened.show("services.leaves")["considered"] == 2
    assert len(opened.query("select * from customers").rows) == 1300


def test_what_was_told_stands_beside_what_was_answered(followed: Followed) -> None:
    opened = lichen.open(followed.folder / "leaving")
    (row,) = opened.query("select f.key, f.answer from feedback.leaves f").rows
    assert (row["key"], row["answer"]) == ("c-7", "no")
    asked = opened.query("select answer from predictions.leaves").rows
    assert len(asked) == 4 and {row["answer"] for row in asked} <= {"yes", "no"}
    assert '"probabilities":{"no":' in followed.printed


def test_the_section_of_the_readme_works_on_the_same_file(guide: Guide) -> None:
    folder, said = guide("a CSV")
    assert "It predicts leaves" in said
    assert lichen.open(folder / "leaving").show("services.leaves")["serving"]["version"] == 1
