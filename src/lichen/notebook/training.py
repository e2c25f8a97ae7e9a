"""The rows that a model learns from: how they are split, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.digest import Print
from lichen.core.errors import ModelError
from lichen.core.time import Instant, iso
from lichen.declared import Project
from lichen.notebook.markup import Html, facts, folded, grid, page
from lichen.notebook.relation import aligned
from lichen.ports.engine import Engine
from lichen.stages.context import Shelf
from lichen.stages.models import data
from lichen.stages.models.ask import Inquiry
from lichen.stages.models.data import Reading
from lichen.stages.models.labels import told_nodes
from lichen.stages.models.run import read_rows
from lichen.stages.models.split import Fold, Split, folds, split

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATION, LATE = "train", "validation", "late label"


@dataclass(frozen=True)
class Part:
    """Some rows of a training set, aligned by position.

    `X` has the columns `FEATURES__COLUMN`, `y` the labels, `key` the outcome's keys, `at` the
    moment of each question and `group` its day (both None for data without time), and
    `label_known_at` when each label became known.
    """

    rows: data.TrainingSet = field(repr=False)

    @property
    def X(self) -> pd.DataFrame:
        """Return the features."""
        return self.rows.frame

    @property
    def y(self) -> pd.Series[Any]:
        """Return the labels."""
        return self.rows.label

    @property
    def key(self) -> pd.Series[str]:
        """Return the keys of the outcome's rows."""
        return self.rows.key

    @property
    def at(self) -> pd.Series[Any] | None:
        """Return the moment of each question."""
        return self.rows.at

    @property
    def group(self) -> pd.Series[Any] | None:
        """Return which rows share their luck: the day of each question, in UTC."""
        return self.rows.group

    @property
    def label_known_at(self) -> pd.Series[Any] | None:
        """Return when each label became known."""
        return self.rows.label_known_at

    def pandas(self) -> pd.DataFrame:
        """Return everything in one frame: `_key`, `_at`, `_group`, features, `_label`, …"""
        before = {"_key": self.key, "_at": self.at, "_group": self.group}
        after = {"_label": self.y, "_label_known_at": self.label_known_at}
        frame = self.X.assign(**{n: v for n, v in (before | after).items() if v is not None})
        first = [name for name in before if name in frame.columns]
        return frame[[*first, *(c for c in frame.columns if c not in first)]]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        """Return how many rows there are, of when, and the mean label."""
        return f"{len(self):,} rows{_between(self.at)}, mean label {_mean(self.y)}"


@dataclass(frozen=True)
class Origin:
    """A stored node below a training set: which version was read, and what made it."""

    node: str
    version: int
    run: str
    now: str
    rows: int | None
    fingerprint: str | None


@dataclass(frozen=True)
class Lineage:
    """Where a training set comes from, so that it can be read again and compared.

    `definitions` are the fingerprints of the model, its outcome and its features; `nodes` the
    stored versions below them; `sha256` the digest of the keys of the training rows, which a
    training that reads the same rows records too.
    """

    model: str
    now: str
    publication: int
    definitions: Mapping[str, str]
    nodes: tuple[Origin, ...]
    rows: Mapping[str, int]
    sha256: str

    def __repr__(self) -> str:
        """Return it as text to read."""
        told = [f"training set of {self.model} at {self.now}, publication {self.publication}"]
        told.append(", ".join(f"{count:,} {part}" for part, count in self.rows.items()))
        told.append(f"keys of the training rows: sha256 {self.sha256[:16]}…\n")
        heads = ("definition", "fingerprint")
        told.append(aligned([heads, *((n, f[:16]) for n, f in self.definitions.items())]) + "\n")
        told.append(aligned([_ORIGIN, *(tuple(map(str, _told(o))) for o in self.nodes)]))
        return "\n".join(told)

    def _repr_html_(self) -> str:
        return page(f"lineage of the training set of {self.model}", *_lineage_parts(self))


@dataclass(frozen=True)
class TrainingSet:
    """The rows that a model learns from, as a training at `now` would read them.

    `X` and `y` are all training rows. `train` and `validation` are parts of them: validation is
    the last fold on which `auto` compares its candidates, and `train` what was known before it.
    The rows that judge a new version are `holdout`; nothing else here reads them.
    """

    inquiry: Inquiry = field(repr=False)
    now: Instant
    lineage: Lineage = field(repr=False)
    parts: Split = field(repr=False)

    @property
    def X(self) -> pd.DataFrame:
        """Return the features of all training rows."""
        return self.parts.training.frame

    @property
    def y(self) -> pd.Series[Any]:
        """Return the labels of all training rows."""
        return self.parts.training.label

    @property
    def rows(self) -> Part:
        """Return all training rows."""
        return Part(self.parts.training)

    @property
    def train(self) -> Part:
        """Return the rows that a trial is fitted on."""
        return Part(self.inner.training)

    @property
    def validation(self) -> Part:
        """Return the rows that a trial is judged on."""
        return Part(self.inner.holdout)

    @property
    def holdout(self) -> Part:
        """Return the rows that judge a new version. What is chosen by looking at them is not
        judged by them any more."""
        return Part(self.parts.holdout)

    @cached_property
    def inner(self) -> Split:
        """Return the training rows as a split of their own, into train and validation."""
        return inner_split(self.parts)

    @cached_property
    def split(self) -> pd.Series[str]:
        """Return the mark of each training row: train, validation, or late label.

        A label that became known only after validation begins is in neither.
        """
        import pandas as pd

        marks = np.full(len(self.rows), LATE, dtype=object)
        fold = last_fold(self.parts.training)
        marks[fold.fit], marks[fold.judge] = TRAIN, VALIDATION
        return pd.Series(marks, name="_split")

    def pandas(self) -> pd.DataFrame:
        """Return all training rows in one frame, each with its mark in `_split`."""
        return self.rows.pandas().assign(_split=self.split)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        """Return the parts as text."""
        title = f"training set of {self.inquiry.model.name} at {iso(self.now)}"
        return f"{title}: {len(self.X.columns)} features\n" + aligned(
            [(name, repr(part)) for name, part in self._told.items()]
        )

    def _repr_html_(self) -> str:
        heads = ("part", "rows", "questions", "mean label")
        parts = [
            (name, len(part), _between(part.at).strip(", "), _mean(part.y))
            for name, part in self._told.items()
        ]
        left = {"no known label": self.parts.unlabelled, "label known too late": self.parts.late}
        types = [(name, str(dtype)) for name, dtype in self.X.dtypes.items()]
        return page(
            f"training set of {self.inquiry.model.name} at {iso(self.now)}",
            grid(heads, parts),
            facts({f"left out: {why}": count for why, count in left.items() if count}),
            folded(f"{len(types)} features", grid(("column", "type"), types)),
            folded("lineage", *_lineage_parts(self.lineage)),
        )

    @property
    def _told(self) -> dict[str, Part]:
        return {TRAIN: self.train, VALIDATION: self.validation, "holdout": self.holdout}


def read_training_set(
    project: Project,
    inquiry: Inquiry,
    shelf: Shelf,
    engine: Engine,
    now: Instant,
    publication: int,
) -> TrainingSet:
    """Read the rows that a training at `now` reads, and split them in the same way."""
    parts = split(read_rows(inquiry, shelf, engine, now), inquiry.model.holdout, now)
    lineage = _lineage(project, inquiry, shelf, parts, (now, publication))
    return TrainingSet(inquiry, now, lineage, parts)


def inner_split(parts: Split) -> Split:
    """Return the training rows split once more, into what comes before validation and that."""
    rows = parts.training
    fold = last_fold(rows)
    judged = rows.rows(fold.judge)
    begin = None if judged.at is None else judged.at.min().to_pydatetime()
    left = len(rows) - len(fold.fit) - len(fold.judge)
    return Split(rows.rows(fold.fit), judged, begin, parts.unlabelled, left)


def last_fold(rows: data.TrainingSet) -> Fold:
    """Return the last fold on which candidates are compared. Raises ModelError without any."""
    found = folds(rows, rows.numbers())
    if not found:
        raise ModelError(
            f"{len(rows)} training rows are too few for a validation part of both answers",
            hint="wait for more labels, or choose a shorter holdout",
        )
    return found[-1]


def _lineage(
    project: Project,
    inquiry: Inquiry,
    shelf: Shelf,
    parts: Split,
    when: tuple[Instant, int],
) -> Lineage:
    model, (now, publication) = inquiry.model, when
    named = (model.name, inquiry.outcome.name, *(f.name for f in inquiry.features))
    prints: Mapping[Any, Print] = project.prints
    nodes = (*inquiry.nodes, *told_nodes(inquiry.feedback, shelf))
    counts = {"training": len(parts.training), "holdout": len(parts.holdout)}
    return Lineage(
        model=str(model.name),
        now=iso(now),
        publication=publication,
        definitions={str(name): prints[name].whole() for name in named},
        nodes=tuple(_origin(node, shelf) for node in nodes),
        rows=counts | {"left out": parts.unlabelled + parts.late},
        sha256=Reading.of(parts.training.key).digest,
    )


def _origin(node: str, shelf: Shelf) -> Origin:
    record = shelf.records[node]
    return Origin(
        node=node,
        version=record.sequence,
        run=record.run,
        now=iso(record.now),
        rows=record.facts.get("rows"),
        fingerprint=record.body.get("fingerprint"),
    )


_ORIGIN = ("node", "version", "run", "now", "rows", "fingerprint")


def _told(origin: Origin) -> tuple[object, ...]:
    rows = origin.rows if origin.rows is not None else ""
    print_ = (origin.fingerprint or "")[:16]
    return (origin.node, origin.version, origin.run, origin.now, rows, print_)


def _lineage_parts(lineage: Lineage) -> tuple[Html, ...]:
    about = {
        "publication": lineage.publication,
        "now": lineage.now,
        "keys of the training rows": f"sha256 {lineage.sha256}",
    }
    return (
        facts(about),
        grid(("definition", "fingerprint"), lineage.definitions.items()),
        grid(_ORIGIN, map(_told, lineage.nodes)),
    )


def _between(at: pd.Series[Any] | None) -> str:
    if at is None or not len(at):
        return ""
    return f", {at.min():%Y-%m-%d %H:%M} to {at.max():%Y-%m-%d %H:%M}"


def _mean(label: pd.Series[Any]) -> str:
    known = label.dropna()
    if not len(known):
        return "–"
    if known.map(lambda value: isinstance(value, str)).any():
        shares = known.value_counts(normalize=True)
        return f"{shares.index[0]} ({shares.iloc[0]:.0%})"
    return f"{float(known.astype('float64').mean()):.4g}"
