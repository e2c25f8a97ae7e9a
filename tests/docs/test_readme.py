"""The README's own project: its files are written out, and its commands run, as they stand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import lichen
from lichen.core.time import instant

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


class Followed(NamedTuple):
    """The folder of someone who has followed the section, and what they saw."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def followed(
    follow: Callable[[str, Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Followed:
    folder = tmp_path_factory.mktemp("parcels")
    (section,) = re.findall(r"^## A project of your own$(.*?)^## ", README, re.M | re.S)
    return Followed(folder, follow(section, folder))


def test_the_correction_of_how_it_works_happens(
    followed: Followed, follow: Callable[[str, Path], str], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text("utf-8")
    (section,) = re.findall(r"^## Versions, spans, known-at$(.*?)^## ", page, re.M | re.S)
    folder = tmp_path / "parcels"
    shutil.copytree(followed.folder, folder)
    follow(section, folder)
    said = lichen.open(folder).query("select minutes from deliveries where order_id = '039-49'")
    assert [row["minutes"] for row in said.rows] == [74]


def test_ten_files_are_the_project(followed: Followed) -> None:
    project = lichen.open(followed.folder).project
    written = [p for p in followed.folder.rglob("*.*") if ".lichen" not in p.parts]
    assert len([p for p in written if p.suffix != ".csv" and p.name != "feeds.py"]) == 10
    assert len(project.nodes) == 7


def test_the_model_has_learnt_and_serves(followed: Followed) -> None:
    opened = lichen.open(followed.folder)
    assert opened.show("models.slow")["metrics"]["roc_auc"]["value"] > 0.8
    assert opened.show("services.slow")["serving"]["version"] == 1


def test_a_prediction_leads_to_lines_of_files(followed: Followed) -> None:
    assert "the features computed again equal the logged ones" in followed.printed
    assert "feeds/deliveries.csv:" in followed.printed


def test_what_was_asked_and_told_over_http_came_back_as_data(followed: Followed) -> None:
    opened = lichen.open(followed.folder)
    assert [row["key"] for row in opened.query("select * from feedback.slow").rows] == ["039-49"]
    asked = opened.query("select key from predictions.slow order by key").rows
    assert [row["key"] for row in asked] == ["039-48", "039-49", "039-49"]


def test_a_second_run_has_nothing_to_do(followed: Followed) -> None:
    assert lichen.open(followed.folder).plan(now=instant("2026-02-10")) == ()
