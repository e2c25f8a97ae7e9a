"""What a notebook shows is well formed, escapes every value, and marks what is not current."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import depot
import numpy as np
import pytest

from lichen.core.names import Name
from lichen.notebook import charts
from lichen.notebook.markup import grid, page, tag
from lichen.notebook.overview import stands
from lichen.notebook.workspace import Workspace
from lichen.stages.models.score import score
from lichen.targets.place import place_in

HOSTILE = "<script>alert('1') & \"2\"</script>"


def parsed(html: str) -> ElementTree.Element:
    """Return markup as a tree; raises where it is not well formed."""
    return ElementTree.fromstring(html)  # noqa: S314 - what is parsed is our own


def standing(project: Workspace) -> dict[str, str]:
    found = stands(project.project, project.state(), project.published())
    return {str(name): state for name, state in found.items()}


def test_everything_that_is_shown_is_well_formed(project: Workspace) -> None:
    rows = project.training_set("late")
    for shown in (
        project,
        project["sources.parcels"],
        project["outcomes.late"],
        project.query("select * from tiers"),
        rows,
        rows.lineage,
        project.model("late"),
        project.trial("late"),
    ):
        tree = parsed(shown._repr_html_())
        assert "".join(tree.itertext()).strip()


def test_the_project_is_a_graph_of_all_its_nodes(project: Workspace) -> None:
    tree = parsed(project._repr_html_())
    titles = {t.text for t in tree.iter("{http://www.w3.org/2000/svg}title")}
    assert {"sources.scans: current", "features.load", "models.late: current"} <= titles
    assert len(titles) == len(project.project.reads)
    arrows = list(tree.iter("{http://www.w3.org/2000/svg}path"))
    assert len(arrows) == sum(map(len, project.project.reads.values())) + 2


def test_a_model_and_a_trial_have_their_curves(project: Workspace) -> None:
    assert ">calibration<" in project.model("late")._repr_html_()
    trial = project.trial("late")._repr_html_()
    assert ">ROC<" in trial
    assert ">calibration<" in trial
    assert "roc_auc by slice" in trial


def test_values_are_escaped(own: Callable[[], Workspace]) -> None:
    project = own()
    rows = project.query(f"select '{HOSTILE.replace(chr(39), chr(39) * 2)}' as \"<b>name</b>\"")
    shown = rows._repr_html_()
    assert "<script" not in shown
    assert "<b>name" not in shown
    assert HOSTILE in "".join(parsed(shown).itertext())
    (project.project.root / "lichen.yml").write_text("name: '<i>depot</i>'\n")
    assert "<i>depot" not in project._repr_html_()


@pytest.mark.parametrize(
    "markup",
    [
        tag("td", HOSTILE, title=HOSTILE),
        grid((HOSTILE,), [(HOSTILE,)]),
        page(HOSTILE, HOSTILE),
        charts.bars([(HOSTILE, 1.0)]),
    ],
)
def test_markup_escapes_text_and_attributes(markup: str) -> None:
    assert "<script" not in markup
    assert HOSTILE in "".join(parsed(markup).itertext())


def test_what_is_behind_is_marked(own: Callable[[], Workspace]) -> None:
    project = own()
    assert set(standing(project).values()) == {"current", ""}
    root = project.project.root
    tiers = root / "features/customer.sql"
    tiers.write_text(tiers.read_text().replace("25 days", "20 days"))
    project.refresh()
    assert standing(project)["models.late"] == "changed"
    assert standing(project)["services.late"] == "stale"
    assert "models.late: changed" in project._repr_html_()
    assert "late (changed)" in repr(project)


def test_new_data_makes_readers_stale_and_a_failure_is_told(own: Callable[[], Workspace]) -> None:
    project = own()
    root = project.project.root
    depot.feed(root, depot.NOW, depot.NOW.replace(day=2))
    (root / "feeds/scans/0201-0202.csv").write_text("scan_id,depot\n1,north\n")
    project.run(now=depot.NOW.replace(day=2))
    found = standing(project)
    assert found["sources.scans"] == "failed"
    assert found["sources.tiers"] == "current"
    assert found["models.late"] == "stale"
    record = project.state().tried["sources.scans"]
    assert record.error is not None
    why = "".join(parsed(project._repr_html_()).itertext())
    assert record.error.partition("\n")[0] in why


def test_a_project_that_never_ran_is_drawn_too(own: Callable[[], Workspace]) -> None:
    project = own()
    fresh = type(project)(project.project, "dev", place_in(project.folder / "elsewhere"))
    assert standing(fresh)["sources.scans"] == "never built"
    assert "never run" in fresh._repr_html_()
    assert str(Name.parse("models.late")) in fresh._repr_html_()


def test_the_curve_has_the_area_that_the_metric_says() -> None:
    random = np.random.default_rng(3)
    label = (random.random(300) < 0.3).astype(float)
    predicted = np.round(label * 0.3 + random.random(300), 2)  # with ties
    x, y = np.array(charts.roc_points(label, predicted, most=1000)).T
    assert np.trapezoid(y, x) == pytest.approx(score("roc_auc", label, predicted))
    assert charts.roc_points(np.zeros(3), np.arange(3.0)) == []


def test_numbers_have_their_own_curves() -> None:
    label, predicted = np.arange(10.0), np.arange(10.0) + 1
    for drawn in (charts.residuals(label, predicted), charts.predicted(label, predicted)):
        assert len(re.findall("<circle", drawn)) == 10
        parsed(drawn)
