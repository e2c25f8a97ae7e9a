"""The README's own project: its files are written out, and its commands run, as they stand."""

from __future__ import annotations

import pytest
from walks import Followed, Guide

import lichen
from lichen.core.time import instant


@pytest.fixture(scope="module")
def followed(guide: Guide) -> Followed:
    return guide("README.md")


def test_the_correction_of_how_it_works_happens(guide: Guide) -> None:
    folder = guide("docs/how-it-works.md").folder
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
