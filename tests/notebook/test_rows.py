"""Rows of nodes as Arrow, Polars and pandas, now, at a past moment and at a past publication."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta

import arro3.core as arrow
import depot
import pytest

from lichen.core.errors import LichenError
from lichen.core.time import instant, iso
from lichen.notebook.workspace import Workspace

Own = Callable[[], Workspace]


@pytest.mark.parametrize("node", ["scans", "sources.tiers", "outcomes.late"])
def test_arrow_pandas_and_the_count_agree(project: Workspace, node: str) -> None:
    rows = project.table(node)
    table, frame = rows.arrow(), rows.pandas()
    assert table.column_names == list(frame.columns) == list(rows.schema)
    assert len(rows) == table.num_rows == len(frame) > 100
    first = table.column_names[0]
    assert frame[first].tolist() == [str(value) for value in table.column(first).to_pylist()]


def test_a_row_says_what_the_query_says(project: Workspace) -> None:
    found = project.query("select * from scans order by scan_id")
    frame = project["scans"].pandas().sort_values("scan_id")
    assert [row["scan_id"] for row in found.rows] == frame["scan_id"].tolist()
    assert found.pandas()["scanned_at"].tolist() == frame["scanned_at"].tolist()
    assert found.schema == project["scans"].schema


def test_any_arrow_library_reads_them_as_they_are(project: Workspace) -> None:
    rows = project["sources.tiers"]
    assert arrow.Table.from_arrow(rows) == rows.arrow()
    found = project.query("select tier, count(*) as n from tiers group by tier")
    assert arrow.Table.from_arrow(found).num_rows == len(found) == 4


def test_at_looks_back(project: Workspace) -> None:
    moment = instant("2020-01-10")
    then = project.table("scans", at="2020-01-10").pandas()
    every = project.table("scans").pandas()
    known = every[every["scanned_at"] + timedelta(minutes=10) <= moment]
    assert then["scan_id"].tolist() == known["scan_id"].tolist()
    assert 0 < len(then) < len(every)


def test_a_past_publication_reads_what_it_pinned(own: Own) -> None:
    project = own()
    before = project.table("tiers")
    depot.feed(project.project.root, depot.NOW, depot.NOW + timedelta(days=2))
    project.run("tiers", now=depot.NOW + timedelta(days=2))
    after = project.table("tiers")
    assert (before.version, after.version) == (1, 2)
    assert len(after) == len(before) + 10
    past = project.table("tiers", publication=before.publication)
    assert past.version == 1
    assert iso(past.at) == iso(depot.NOW)
    assert past.arrow() == before.arrow()
    with pytest.raises(LichenError, match="no publication 99"):
        project.table("tiers", publication=99)


def test_a_correction_is_a_version_more(own: Own) -> None:
    project = own()
    path = project.project.root / "feeds/tiers/0101-0201.csv"
    head, first, *rest = path.read_text().splitlines()
    corrected = first.rpartition(",")[0] + ",12345.5"
    path.write_text("\n".join([head, corrected, *rest]) + "\n")
    project.run("tiers", now=depot.NOW + timedelta(days=1))
    change = first.split(",")[0]
    versions = project.table("tiers").versions().pandas()
    mine = versions[versions["change_id"] == change]
    assert len(mine) == 2
    assert mine["spent"].tolist()[1] == 12345.5
    current = project.table("tiers").pandas()
    assert current[current["change_id"] == change]["spent"].tolist() == [12345.5]


def test_an_outcome_is_questions_with_labels_known_by_then(project: Workspace) -> None:
    frame = project.table("outcomes.late", at="2020-01-20").pandas()
    known = frame[frame["_label"].notna()]
    assert (known["_label_known_at"] <= instant("2020-01-20")).all()
    assert frame["_label"].isna().any()
    assert not {"delay", "delivered_at"} & set(frame.columns)
    delays = project.query("select parcel_id, delay from deliveries").pandas()
    truth = dict(zip(delays["parcel_id"], delays["delay"] > 10, strict=True))
    assert [truth[key] for key in known["_key"]] == known["_label"].astype(bool).tolist()
    with pytest.raises(LichenError, match="stores nothing of its own"):
        project.table("outcomes.late").versions()


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("features.load", "has no rows.*training_set"),
        ("models.late", "has no rows"),
        ("predictions.late", "no published version yet"),
        ("scanz", "did you mean 'scans'"),
        ("tables.scans", "did you mean 'sources.scans'"),
    ],
)
def test_what_has_no_rows_is_refused(project: Workspace, node: str, says: str) -> None:
    with pytest.raises(LichenError, match=f"(?s){says}"):
        project.table(node)


def test_where_polars_is_missing_it_says_what_to_install(
    project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    for rows in (project.table("tiers"), project.query("select 1 as one")):
        with pytest.raises(LichenError, match=r"pip install .lichen\[polars\]"):
            rows.polars()


def test_polars_reads_them(project: Workspace) -> None:
    polars = pytest.importorskip("polars")
    frame = project.table("tiers").polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame["tier"].to_list() == project.table("tiers").pandas()["tier"].tolist()


def test_keys_complete(project: Workspace) -> None:
    assert {"sources.tiers", "outcomes.late"} <= set(project._ipython_key_completions_())
    assert "features.load" not in project._ipython_key_completions_()


def test_a_changed_file_is_read_again(own: Own) -> None:
    project = own()
    assert project.plan(now=depot.NOW) == ()
    model = project.project.root / "models/late.py"
    model.write_text(model.read_text().replace("LogisticRegression()", "LogisticRegression(C=2)"))
    assert "models.late" in [step.node for step in project.plan(now=depot.NOW)]
