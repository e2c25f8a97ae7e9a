"""A kept trial is the model's definition: written into its file, trained and judged by the run."""

from __future__ import annotations

from collections.abc import Callable

import depot
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import lichen
from lichen.core.errors import LichenError
from lichen.notebook.workspace import Workspace

Own = Callable[[], Workspace]


def shrunk(strength: float = 0.01) -> Pipeline:
    numbers = make_column_transformer((SimpleImputer(), make_column_selector("weight|hour")))
    return make_pipeline(numbers, LogisticRegression(C=strength))


def test_it_is_written_trained_and_put_to_the_gate(own: Own) -> None:
    project = own()
    tried = project.trial("late", shrunk())
    kept = tried.keep()
    text = (project.project.root / "models/late.py").read_text()
    assert "LogisticRegression(C=0.01)" in text
    assert '@model(target="late", metric="roc_auc", holdout="7 days", slices=["depot"])' in text
    assert "OneHotEncoder" not in text  # an import that nothing uses any more
    assert kept.version == 2
    assert len(kept.gate) == 1
    assert "champion" in kept.gate[0]
    assert "+                LogisticRegression(C=0.01)" in kept.diff or "C=0.01" in kept.diff
    again = lichen.open(project.project.root)  # someone else, from the files alone
    assert again.plan(now=depot.NOW) == ()
    told = again.show("models.late")
    assert told["version"] == 2
    assert told["read"]["sha256"] == tried.training_set.lineage.sha256
    assert again.model("late").metrics == tried.holdout().report.metrics
    assert again.model("late", 1).metrics != again.model("late").metrics


def test_the_definition_itself_is_kept_as_it_stands(own: Own) -> None:
    project = own()
    before = (project.project.root / "models/late.py").read_text()
    kept = project.trial("late").keep()
    assert (project.project.root / "models/late.py").read_text() == before
    assert (kept.version, kept.diff, kept.events) == (1, "", ())


def test_what_cannot_be_written_is_refused_with_what_to_do(own: Own) -> None:
    project = own()
    path = project.project.root / "models/late.py"
    before = path.read_text()
    tried = project.trial("late", shrunk())
    tried.estimator.steps.insert(0, ("own", FunctionTransformer(lambda frame: frame)))
    with pytest.raises(LichenError) as refused:
        tried.keep()
    assert "FunctionTransformer.func cannot be written down" in str(refused.value)
    assert "models/late.py" in str(refused.value)
    assert "paste" in str(refused.value)
    assert path.read_text() == before


def test_a_definition_that_moved_on_is_not_overwritten(own: Own) -> None:
    project = own()
    tried = project.trial("late", shrunk())
    path = project.project.root / "models/late.py"
    path.write_text(path.read_text().replace("LogisticRegression()", "LogisticRegression(C=3)"))
    with pytest.raises(LichenError, match="changed since this trial"):
        tried.keep()
    assert "C=3" in path.read_text()


def test_a_training_that_fails_puts_the_file_back(own: Own) -> None:
    project = own()
    path = project.project.root / "models/late.py"
    path.write_text(path.read_text() + '\nraise RuntimeError("not today")\n')
    before = path.read_text()
    tried = project.trial("late", shrunk())
    with pytest.raises(LichenError, match="not today"):
        tried.keep()
    assert path.read_text() == before
    assert project.model("late").version == 1
