"""A training set is what a training reads: its rows, their parts, and where they come from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lichen.core.errors import LichenError
from lichen.core.time import iso
from lichen.notebook.workspace import Workspace
from lichen.stages.models.data import Reading


def test_it_is_what_the_training_read(project: Workspace) -> None:
    told = project.show("models.late")
    rows = project.training_set("late")
    assert rows.lineage.sha256 == told["read"]["sha256"]
    assert len(rows) == len(rows.X) == len(rows.y) == told["read"]["rows"]
    assert Reading.of(rows.holdout.key).digest == told["held_out"]["sha256"]


def test_the_holdout_is_in_no_part_but_its_own(project: Workspace) -> None:
    rows = project.training_set("late")
    held_out = set(rows.holdout.key)
    for part in (rows.rows, rows.train, rows.validation):
        assert held_out.isdisjoint(part.key)
    assert held_out.isdisjoint(rows.pandas()["_key"])


def test_train_knows_nothing_of_validation(project: Workspace) -> None:
    rows = project.training_set("late")
    train, validation = rows.train, rows.validation
    assert train.at is not None
    assert train.label_known_at is not None
    assert validation.at is not None
    begin = validation.at.min()
    assert (train.at < begin).all()
    assert (train.label_known_at <= begin).all()


def test_each_row_is_marked(project: Workspace) -> None:
    rows = project.training_set("late")
    frame = rows.pandas()
    for mark, part in (("train", rows.train), ("validation", rows.validation)):
        assert frame[frame["_split"] == mark]["_key"].tolist() == part.key.tolist()
    late = frame[frame["_split"] == "late label"]
    assert rows.validation.at is not None
    assert len(late)
    assert (late["_label_known_at"] > rows.validation.at.min()).all()


def test_the_frame_holds_everything(project: Workspace) -> None:
    frame = project.training_set("late").pandas()
    assert list(frame.columns[:3]) == ["_key", "_at", "_group"]
    assert list(frame.columns[-3:]) == ["_label", "_label_known_at", "_split"]
    assert {"parcel__weight", "customer__tier", "load__scans_2d"} <= set(frame.columns)


def test_the_lineage_names_versions_and_definitions(project: Workspace) -> None:
    lineage = project.training_set("late").lineage
    published = project.published()
    assert {n.node: n.version for n in lineage.nodes} == {
        f"sources.{name}": published[f"sources.{name}"].sequence
        for name in ("deliveries", "parcels", "scans", "tiers")
    }
    assert lineage.definitions["models.late"] == published["models.late"].body["fingerprint"]
    assert lineage.publication == 1
    text = repr(lineage)
    assert "features.load" in text
    assert lineage.sha256[:16] in text
    assert iso(published["sources.scans"].now) in text


def test_it_is_read_once(project: Workspace) -> None:
    assert project.training_set("late") is project.training_set("models.late")
    assert project.training_set("late", now="2020-01-25") is not project.training_set("late")


def test_an_earlier_now_knows_less(project: Workspace) -> None:
    earlier = project.training_set("late", now="2020-01-25")
    assert earlier.parts.cutoff is not None
    assert iso(earlier.parts.cutoff) == "2020-01-18T00:00:00Z"
    assert len(earlier) < len(project.training_set("late"))


def test_a_changed_definition_is_read_anew(own: Callable[[], Workspace]) -> None:
    project = own()
    before = project.training_set("late")
    path = project.project.root / "features/parcel.sql"
    path.write_text(path.read_text().replace("weight,", "weight, weight * 2 as twice,"))
    after = project.training_set("late")
    assert set(after.X.columns) - set(before.X.columns) == {"parcel__twice"}


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("outcomes.late", "outcomes.late is no model"),
        ("lat", "(?s)no model 'lat'.*did you mean 'late'"),
    ],
)
def test_only_models_have_one(project: Workspace, named: str, says: str) -> None:
    with pytest.raises(LichenError, match=says):
        project.training_set(named)
