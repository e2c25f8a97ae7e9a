"""All features joined onto the questions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from lichen.core.errors import FeaturesError
from lichen.core.sql import DIALECT, col, rel, tables_in
from lichen.stages.features.compiled import Compiled
from lichen.stages.features.latest import latest, latest_parts
from lichen.stages.features.windows import window_parts, windows


def answer(
    questions: exp.Query, features: Sequence[Compiled], *, lineage: bool = False
) -> exp.Select:
    """Return the questions with what was known at each: columns `{features}__{column}`.

    Questions hold `_q`, `_at`, the entities' columns and those that request features read. With
    `lineage`, `{features}___from` holds the rows that a latest answer came from.
    """
    asked = exp.select(*map(col, questions.named_selects)).from_("_questions")
    result = exp.select(*(col(name, "q") for name in questions.named_selects)).from_(
        rel("_questions", "q")
    )
    for index, each in enumerate(features):
        alias, name = f"f{index}", each.features.name.name
        found = _answered(asked, each)
        shown = [c for c in found.named_selects if c != "_q" and (lineage or c != "_from")]
        result = result.join(
            found.subquery(alias),
            on=exp.EQ(this=col("_q", "q"), expression=col("_q", alias)),
            join_type="left",
        ).select(*(exp.alias_(col(c, alias), f"{name}__{c}", quoted=True) for c in shown))
    return result.with_("_questions", as_=questions)


def parts(each: Compiled) -> dict[str, exp.Select]:
    """Return what an answer is made of that depends on the rows alone, by the names of `ready`."""
    if each.held is None:
        return {}
    entity = [name.lower() for name in each.features.entity]
    if each.features.shape == "window":
        return window_parts(each.held, entity, each.outputs, each.features.windows)
    return latest_parts(each.held, entity, _origins(each))


def _answered(asked: exp.Select, each: Compiled) -> exp.Select:
    """Return `_q` and the columns of one features definition (and `_from`, where one row did)."""
    features = each.features
    entity = [name.lower() for name in features.entity]
    if missing := [name for name in entity if name not in map(str.lower, asked.named_selects)]:
        raise FeaturesError(
            f"{features.name} is about {missing[0]!r}, which the outcome does not hold",
            where=features.where,
            allowed=asked.named_selects,
            given=missing[0],
        )
    if each.held is None:
        return _of_request(asked, each)
    if features.shape == "window":
        return windows(asked, each.held, entity, each.outputs, features.windows, each.ready)
    origins, max_age = _origins(each), features.max_age
    found = latest(asked, each.held, entity, origins=origins, max_age=max_age, ready=each.ready)
    outputs = (exp.alias_(output.this, output.alias, quoted=True) for output in each.outputs)
    return exp.select("_q", *outputs, "_from").from_(found.subquery("l"))


def _origins(each: Compiled) -> int:
    """Of how many stored rows a row of the definition is made."""
    return len(list(tables_in(each.features.select)))


def _of_request(asked: exp.Select, each: Compiled) -> exp.Select:
    """Evaluate expressions on the questions' own columns: FROM request."""
    columns = [name for name in asked.named_selects if not name.startswith("_")]
    schema: dict[str, object] = {"request": {name.lower(): "unknown" for name in columns}}
    tree = qualify(each.features.select.copy(), dialect=DIALECT, schema=schema)
    request = tree.args["from_"].this
    alias = request.alias_or_name
    request.replace(asked.subquery(alias))
    return tree.select(col("_q", alias))
