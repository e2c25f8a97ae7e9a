"""How a service does: its predictions joined with what turned out, day by day.

Every prediction counts, also where a key was asked about several times: each was an answer of its
own, at its own moment. A label is the last one known by `now`: the outcome's, or what the service
was told of the key or of the very prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlglot import exp

from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit
from lichen.core.time import Instant
from lichen.ports.engine import Engine
from lichen.ports.facts import Live, Observed
from lichen.ports.ledger import Record
from lichen.stages.context import Shelf
from lichen.stages.models.ask import Inquiry, relations_of
from lichen.stages.models.interval import Measured
from lichen.stages.models.labels import in_texts, later, told_back, told_by
from lichen.stages.outcomes.narrow import narrowed
from lichen.stages.outcomes.questions import questions
from lichen.stages.services.turned_out import kind_of, measured

if TYPE_CHECKING:
    import pandas as pd

LEAST = 100  # labelled predictions below which a live metric says nothing about a fall


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day of predictions (UTC): how many, how many with a label, and the metric over those."""

    day: str
    predictions: int
    labelled: int
    value: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a service did; the interval is from a bootstrap over days."""

    service: str
    metric: str
    predictions: int
    labelled: int
    measured: Measured
    days: tuple[Day, ...]


def live(
    inquiry: Inquiry, service: str, metric: str, shelf: Shelf, now: Instant, engine: Engine
) -> Report:
    """Return how the predictions of a service turned out, as far as that is known by `now`."""
    rows, kind = _rows(inquiry, service, shelf, now, engine), kind_of(inquiry, shelf)
    days = tuple(
        Day(
            day=str(day),
            predictions=len(part),
            labelled=int(part["label"].notna().sum()),
            value=measured(metric, part, kind, seed=inquiry.model.seed, replicates=0).value,
        )
        for day, part in rows.groupby("day", sort=True)
    )
    return Report(
        service=service,
        metric=metric,
        predictions=len(rows),
        labelled=int(rows["label"].notna().sum()),
        measured=measured(metric, rows, kind, seed=inquiry.model.seed),
        days=days,
    )


def observed(
    inquiry: Inquiry, trained: Record, shelf: Shelf, now: Instant, engine: Engine
) -> Observed:
    """Return how a model did since its training: what its retrain policy asks for, no more.

    The live metric is over the predictions of the newest version alone: how an older one does is
    no reason to train again what was trained since.
    """
    policy = inquiry.model.retrain
    labels = _new_labels(inquiry, trained.now, shelf, now, engine) if policy.labels else 0
    return Observed(labels, _live(inquiry, trained, shelf, now, engine) if policy.fall else None)


def _live(
    inquiry: Inquiry, trained: Record, shelf: Shelf, now: Instant, engine: Engine
) -> Live | None:
    import pandas as pd

    metric = str(trained.facts["metric"])
    services = [Name.parse(node).name for node in inquiry.feedback]
    each = [_rows(inquiry, service, shelf, now, engine) for service in services]
    found = [rows[rows["model_version"] == trained.sequence] for rows in each if len(rows)]
    if not found:
        return None
    rows = pd.concat(found)
    enough = int(rows["label"].notna().sum()) >= LEAST
    kind = kind_of(inquiry, shelf)
    value = measured(metric, rows, kind, seed=0, replicates=0).value if enough else None
    held_out = trained.facts["metrics"][metric]
    return Live(metric, value, held_out.get("low"), held_out.get("high"))


def _new_labels(
    inquiry: Inquiry, since: Instant, shelf: Shelf, now: Instant, engine: Engine
) -> int:
    """Return how many labels became known after `since`."""
    inputs = {node: shelf.versions(node) for node in inquiry.nodes}
    texts = in_texts(str(inquiry.model.name), inquiry.feedback, shelf)
    asked = questions(inquiry.outcome, inputs, lit(now))
    asking = told_back(asked, inquiry.feedback, shelf, now, texts=texts)
    known = exp.Not(this=exp.Is(this=col("_label"), expression=exp.null()))
    new = exp.GT(this=col("_label_known_at"), expression=lit(since))
    count = (
        exp.select(exp.alias_(exp.Count(this=exp.Star()), "n"))
        .from_(asking.subquery("asking"))
        .where(known, new)
    )
    return int(engine.rows(count, relations_of(inquiry, shelf))[0]["n"])


def _rows(
    inquiry: Inquiry, service: str, shelf: Shelf, now: Instant, engine: Engine
) -> pd.DataFrame:
    """Return each prediction made by `now`: `day`, `model_version`, `predicted`, `probabilities`
    (a JSON text, or None) and `label`."""
    node = str(Name(Kind.predictions, service))
    if node not in shelf.records:
        import pandas as pd

        names = ("day", "model_version", "predicted", "probabilities", "label")
        return pd.DataFrame({name: [] for name in names})
    relations = {**relations_of(inquiry, shelf), **shelf.relations([node])}
    frame: pd.DataFrame = engine.frame(_joined(inquiry, node, shelf, now), relations)
    return frame


def _joined(inquiry: Inquiry, node: str, shelf: Shelf, now: Instant) -> exp.Select:
    made = shelf.versions(node)
    keys = exp.select(col("key")).from_(made.subquery("asked"))
    inputs = {node: shelf.versions(node) for node in inquiry.nodes}
    cut = narrowed(inquiry.outcome, inputs, keys, keyed=shelf.keys())
    texts = in_texts(str(inquiry.model.name), inquiry.feedback, shelf)
    asked = questions(inquiry.outcome, cut, lit(now))
    asking = told_back(asked, inquiry.feedback, shelf, now, texts=texts)
    label: exp.Expr = exp.cast(col("_label", "l"), "varchar" if texts else "double")
    rows = (
        exp.select()
        .from_(made.subquery("p"))
        .join(asking.subquery("l"), on=col("key", "p").eq(col("_key", "l")), join_type="left")
        .where(exp.LTE(this=col("at", "p"), expression=lit(now)))
    )
    direct = told_by(inquiry.feedback, shelf, now, "prediction_id", texts=texts)
    if direct is not None:
        same = col("prediction_id", "p").eq(col("prediction_id", "d"))
        rows = rows.join(direct.subquery("d"), on=same, join_type="left")
        wins = later(col("known_at", "d"), col("_label_known_at", "l"))
        label = exp.case().when(wins, col("label", "d")).else_(label)
    predicted = exp.func("coalesce", col("probability", "p"), col("value", "p"))
    day = exp.func("strftime", col("at", "p"), exp.Literal.string("%Y-%m-%d"), dialect="duckdb")
    stored = {name for name, _ in shelf.records[node].facts["columns"]}
    by_class = col("probabilities", "p") if "probabilities" in stored else exp.null()
    return rows.select(
        exp.alias_(by_class, "probabilities"),
        exp.alias_(day, "day"),
        col("model_version", "p"),
        exp.alias_(predicted, "predicted"),
        exp.alias_(label, "label"),
    )
