"""What services were told came true, joined with what the outcome says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit
from lichen.core.time import Instant
from lichen.stages.context import Shelf


def told_nodes(feedback: Sequence[str], shelf: Shelf) -> list[str]:
    """Return the nodes that `told_back` reads: feedback, and the predictions that it may name."""
    told = [node for node in feedback if node in shelf.records]
    named = (str(Name(Kind.predictions, Name.parse(node).name)) for node in told)
    return [*told, *(node for node in named if node in shelf.records)]


def in_texts(model: str, feedback: Sequence[str], shelf: Shelf) -> bool:
    """Return whether labels are texts: by the classes of the trained model, or by what was told."""
    trained = shelf.records.get(model)
    classes = trained.facts.get("classes", ()) if trained is not None else ()
    told = (shelf.records[node].facts.get("texts") for node in feedback if node in shelf.records)
    return any(isinstance(name, str) for name in classes) or any(told)


def told_back(
    asking: exp.Select, feedback: Sequence[str], shelf: Shelf, now: Instant, *, texts: bool = False
) -> exp.Select:
    """Return questions whose labels are the outcome's together with the feedback of services: of
    those known by `now` the last known wins. `texts` says that labels are texts."""
    told = told_by(feedback, shelf, now, "key", texts=texts)
    if told is None:
        return asking
    wins = later(col("known_at", "b"), col("_label_known_at", "a"))
    kept = [c for c in asking.named_selects if c not in ("_label", "_label_known_at")]
    # A label that came back as a number or a text makes the outcome's own one of that type.
    own = exp.cast(col("_label", "a"), "varchar" if texts else "double")
    back = exp.case().when(wins, col("label", "b")).else_(own)
    since = exp.case().when(wins.copy(), col("known_at", "b")).else_(col("_label_known_at", "a"))
    return (
        exp.select(
            *(col(c, "a") for c in kept),
            exp.alias_(back, "_label"),
            exp.alias_(since, "_label_known_at"),
        )
        .from_(asking.subquery("a"))
        .join(
            told.subquery("b"),
            on=col("_key", "a").eq(col("key", "b")),
            join_type="left",
        )
    )


def told_by(
    feedback: Sequence[str], shelf: Shelf, now: Instant, by: str, *, texts: bool = False
) -> exp.Select | None:
    """Return the last feedback known by `now` for each key or prediction_id (`by`): `label` and
    `known_at`; None where there is none.

    What was told of a prediction counts for the key that the prediction was about.
    """
    each = [_told(node, shelf, now, texts=texts) for node in feedback if node in shelf.records]
    if not each:
        return None
    every: exp.Query = each[0] if len(each) == 1 else exp.union(*each, distinct=False)
    newest = exp.Window(
        this=exp.RowNumber(),
        partition_by=[col(by)],
        order=exp.Order(
            expressions=[exp.Ordered(this=col(c), desc=True) for c in ("known_at", "_row")]
        ),
    )
    ranked = exp.select(exp.Star(), exp.alias_(newest, "_nth")).from_(every.subquery("e"))
    there = exp.Not(this=exp.Is(this=col(by), expression=exp.null()))
    return (
        exp.select(col(by), col("label"), col("known_at"))
        .from_(ranked.where(there).subquery("r"))
        .where(col("_nth").eq(lit(1)))
    )


def later(ours: exp.Expr, theirs: exp.Expr) -> exp.Expr:
    """Return whether a moment is there and not before another one, which may be missing."""
    return exp.and_(
        exp.Not(this=exp.Is(this=ours, expression=exp.null())),
        exp.or_(
            exp.Is(this=theirs, expression=exp.null()),
            exp.GTE(this=ours.copy(), expression=theirs.copy()),
        ),
    )


def _told(node: str, shelf: Shelf, now: Instant, *, texts: bool) -> exp.Select:
    predictions = str(Name(Kind.predictions, Name.parse(node).name))
    by_now = exp.LTE(this=col("known_at", "f"), expression=lit(now))
    shown = [col(name, "f") for name in ("prediction_id", "known_at", "_row")]
    label: exp.Expr = col("label", "f")
    if texts:
        stored = {name for name, _ in shelf.records[node].facts["columns"]}
        label = col("answer", "f") if "answer" in stored else exp.cast(exp.null(), "varchar")
    rows = (
        exp.select(exp.alias_(label, "label"), *shown)
        .from_(shelf.versions(node).subquery("f"))
        .where(by_now)
    )
    if predictions not in shelf.records:
        return rows.select(col("key", "f"))
    named = exp.select("prediction_id", "key").from_(shelf.versions(predictions).subquery("v"))
    key = exp.func("coalesce", col("key", "f"), col("key", "p"))
    return rows.select(exp.alias_(key, "key")).join(
        named.subquery("p"),
        on=col("prediction_id", "f").eq(col("prediction_id", "p")),
        join_type="left",
    )
