"""Training: a pinned training set, a search without the holdout, a judged and saved model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlglot import exp

from lichen.core.errors import ModelError, placed
from lichen.core.pyrun import call
from lichen.core.sql import col
from lichen.core.steps import Done, Result, Train
from lichen.core.time import Instant, iso
from lichen.ports.durable import sync
from lichen.ports.engine import Engine
from lichen.ports.learner import Estimators, Learner, Samplers
from lichen.stages.context import Context, Shelf
from lichen.stages.models.ask import Inquiry, asked, relations_of
from lichen.stages.models.card import Report, card, encoded
from lichen.stages.models.data import Answers, TrainingSet, answers_of, digest
from lichen.stages.models.evaluate import slice_columns
from lichen.stages.models.labels import told_nodes
from lichen.stages.models.metric import Metric, choose
from lichen.stages.models.recipe import Auto
from lichen.stages.models.report import Subject, report
from lichen.stages.models.split import Split, split
from lichen.stages.models.train import Training, train_auto, train_own, train_plain
from lichen.stages.models.trained import Loader, Trained, load, save

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Learners:
    """What training may use: candidates by name, the sampler of settings, users' estimators."""

    candidates: Mapping[str, Learner]
    samplers: Samplers
    estimators: Estimators


def train(step: Train, inquiry: Inquiry, learners: Learners, ctx: Context) -> Result:
    """Train a new version of a model and judge it on the holdout; returns its facts.

    The search is handed the training rows only; the keys that it read and those of the holdout
    are recorded with their digests, so that the ledger can prove that they never met.
    """
    model, now = inquiry.model, ctx.now
    recipe = recipe_of(inquiry, ctx.root)
    ctx.progress("reading the training set")
    parts, answers = coded(split(training_rows(inquiry, ctx, now), model.holdout, now), inquiry)
    training, told = learned(inquiry, recipe, parts, answers, learners, now, ctx.progress)
    folder = model_folder(ctx.folder, model.name.name, step.sequence)
    sha256 = _store(folder, training.trained, told, parts, training)
    facts = _facts(step, inquiry, told, parts, sha256, ctx)
    ctx.intend(step, {"fingerprint": step.fingerprint}, facts, ())
    return Done(facts=facts)


def coded(parts: Split, inquiry: Inquiry) -> tuple[Split, Answers]:
    """Return both parts with labels as numbers, and what these mean.

    The names of the classes are those of all labelled rows: a class that only the holdout has is
    one that the model should have known.
    """
    import pandas as pd

    model, labels = inquiry.model, (parts.training.label, parts.holdout.label)
    with placed(model.where, "label"):
        answers = answers_of(pd.concat(labels, ignore_index=True), model.metric, model.positive)
    training, holdout = (part.coded(answers) for part in (parts.training, parts.holdout))
    return replace(parts, training=training, holdout=holdout), answers


def learned(
    inquiry: Inquiry,
    recipe: Any,
    parts: Split,
    answers: Answers,
    learners: Learners,
    now: Instant,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Training, Report]:
    """Return what a recipe learns from the training part, and its report on the part held out."""
    model = inquiry.model
    metric = choose(model.metric, answers.task)
    progress(f"searching on {len(parts.training):,} rows")
    training = _train(parts.training, recipe, metric, learners, answers, model.seed)
    linear, classes = learners.candidates["linear"], answers.classes
    plain = train_plain(parts.training, metric, linear, classes=classes, seed=model.seed)
    progress(f"judging on {len(parts.holdout):,} rows")
    sliced = slice_columns(parts.holdout, model.slices)
    subject = Subject(model.name.name, inquiry.outcome.name.name, now, model.seed)
    return training, report(subject, parts, training, plain, metric, sliced)


def training_rows(
    inquiry: Inquiry, ctx: Context, now: Instant, *, since: Instant | None = None
) -> TrainingSet:
    """Return the questions with what was known at each and the labels known by `now`.

    Rows that share a day share their luck: `group` is the day of the question (UTC). The last
    rows read are kept: the gate judges on the holdout of a training that has just ended.
    """
    pins = tuple(ctx.shelf.records[node].id for node in inquiry.nodes)
    told = tuple(ctx.shelf.records[n].id for n in inquiry.feedback if n in ctx.shelf.records)
    key = (str(inquiry.model.name), now, pins, told)
    if key in ctx.kept:
        rows: TrainingSet = ctx.kept[key]
        later = since is None or rows.at is None or rows.at >= since
        return rows if later is True else rows.rows(later.to_numpy(dtype=bool))
    read = read_rows(inquiry, ctx.shelf, ctx.engine, now, since=since)
    if since is None:
        ctx.kept.clear()
        ctx.kept[key] = read
    return read


def read_rows(
    inquiry: Inquiry, shelf: Shelf, engine: Engine, now: Instant, *, since: Instant | None = None
) -> TrainingSet:
    """Return the rows of `training_rows` from a shelf, read anew."""
    query = asked(inquiry, shelf, now, since=since)
    own = ("_key", "_at", "_label", "_label_known_at")
    beside = [c for c in query.named_selects if c in inquiry.model.slices]
    kept = [c for c in query.named_selects if c in (*own, *beside) or _is_answer(c)]
    # In one order whatever the engine's threads do, so that the same rows give the same model.
    rows = exp.select(*map(col, kept)).from_(query.subquery("asked")).order_by("_at", "_key")
    frame = engine.frame(rows, relations_of(inquiry, shelf))
    return as_training_set(frame, beside, timed=inquiry.outcome.predict_at is not None)


def _is_answer(column: str) -> bool:
    return "__" in column and not column.startswith("_")


def as_training_set(frame: pd.DataFrame, beside: Sequence[str], *, timed: bool) -> TrainingSet:
    """Return a frame of `asked` as a training set; `beside` are columns that no model is shown."""
    columns = [c for c in frame.columns if _is_answer(str(c)) and c not in beside]
    at = frame["_at"] if timed else None
    return TrainingSet(
        frame=frame[columns],
        label=frame["_label"],
        key=frame["_key"],
        at=at,
        group=at.dt.strftime("%Y-%m-%d") if at is not None else None,
        label_known_at=frame["_label_known_at"] if timed else None,
        beside=frame[[*beside]] if beside else None,
    )


def model_folder(folder: Path, model: str, version: int) -> Path:
    """Return where a version of a model of this target is kept."""
    return folder / "models" / model / str(version)


def load_version(
    folder: Path, model: str, version: int, learners: Learners, sha256: str
) -> Trained:
    """Return a stored version of a model; raises ModelError where a file is not what it was."""
    loaders: dict[str, Loader] = {**learners.candidates, "own": learners.estimators}
    return load(model_folder(folder, model, version), loaders, sha256=sha256)


def recipe_of(inquiry: Inquiry, root: Path) -> Any:
    """Import the model's file and call its function with the names of its features."""
    return call(
        inquiry.model.path,
        inquiry.model.function,
        root,
        [features.name.name for features in inquiry.features],
        what="the model's function",
        error=ModelError,
        hint="it is called with the names of its features, and returns auto(…) or a "
        "scikit-learn estimator",
    )


def _train(
    rows: TrainingSet,
    recipe: Any,
    metric: Metric,
    learners: Learners,
    answers: Answers,
    seed: int,
) -> Training:
    classes = answers.classes
    if not isinstance(recipe, Auto):
        return train_own(rows, recipe, metric, learners.estimators, classes=classes)
    candidates, samplers = learners.candidates, learners.samplers
    return train_auto(rows, recipe, metric, candidates, samplers, classes=classes, seed=seed)


def _store(folder: Path, trained: Trained, told: Report, parts: Split, training: Training) -> str:
    """Write everything beside the final place, make it durable, then give it its name."""
    draft = folder.with_name(f".{folder.name}.draft")
    for old in (draft, folder):  # what a run that died here left; no record speaks of it
        if old.exists():
            shutil.rmtree(old)
    sha256 = save(trained, draft)
    (draft / "report.json").write_bytes(encoded(told))
    (draft / "card.md").write_text(card(told), "utf-8")
    keys = {"search": training.reading.keys, "holdout": tuple(map(str, parts.holdout.key))}
    (draft / "keys.json").write_bytes(msgspec.json.encode(keys))
    for path in (*draft.iterdir(), draft):
        sync(path)
    draft.rename(folder)
    sync(folder.parent)
    return sha256


def _facts(
    step: Train, inquiry: Inquiry, told: Report, parts: Split, sha256: str, ctx: Context
) -> dict[str, Any]:
    records = ctx.shelf.records
    told_back = told_nodes(inquiry.feedback, ctx.shelf)
    held_out = tuple(map(str, parts.holdout.key))
    facts = dict(msgspec.to_builtins(told))
    facts |= {
        "version": step.sequence,
        "now": iso(ctx.now),
        "sha256": sha256,
        "columns": [],
        "seen": _seen(inquiry, ctx),
        "snapshot": {node: records[node].id for node in (*inquiry.nodes, *told_back)},
        "read": {"rows": told.read_rows, "sha256": told.read_digest},
        "held_out": {"rows": len(held_out), "sha256": digest(held_out)},
        "holdout_begins": iso(parts.cutoff) if parts.cutoff else None,
        "holdout_days": _days(inquiry.model.holdout),
    }
    return facts


def _seen(inquiry: Inquiry, ctx: Context) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in inquiry.nodes:
        found |= ctx.shelf.records[node].facts["leaves"]
    return found


def _days(holdout: timedelta | float) -> float | None:
    return holdout.total_seconds() / 86400 if isinstance(holdout, timedelta) else None
