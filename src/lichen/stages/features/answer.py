"""All features joined onto the questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from lichen.core.errors import FeaturesError
from lichen.core.sql import DIALECT, col, rel, tables_in
from lichen.stages.features.compiled import Compiled
from lichen.stages.features.lasting import Lasting, answers, newest, second_look, unsure
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
    lasting = [_lasting(f"f{i}", each) for i, each in enumerate(features) if each.lasting]
    result = exp.select(*(col(name, "q") for name in questions.named_selects)).from_(
        rel("_newest" if lasting else "_questions", "q")
    )
    for index, each in enumerate(features):
        alias, name = f"f{index}", each.features.name.name
        found, columns = _answered(asked, each, alias)
        result.join(
            found.subquery(alias, copy=False),
            on=exp.EQ(this=col("_q", "q"), expression=col("_q", alias)),
            join_type="left",
            copy=False,
        )
        for column, value in columns.items():
            if lineage or column != "_from":
                shown = exp.alias_(value, f"{name}__{column}", quoted=True)
                result.select(shown, copy=False)
    result.with_("_questions", as_=questions, copy=False)
    if lasting:
        result.with_("_newest", as_=reduce(newest, lasting, asked), copy=False)
    for one in lasting:
        result.with_(f"_unsure_{one.name}", as_=unsure(one, "_newest"), copy=False)
    return result


def parts(each: Compiled) -> dict[str, exp.Select]:
    """Return what an answer is made of that depends on the rows alone, by the names of `ready`."""
    if each.held is None:
        return {}
    entity = [name.lower() for name in each.features.entity]
    if each.features.shape == "window":
        return window_parts(each.held, entity, each.outputs, each.features.windows)
    return latest_parts(each.held, entity, _origins(each))


def _answered(
    asked: exp.Select, each: Compiled, alias: str
) -> tuple[exp.Select, dict[str, exp.Expr]]:
    """Return a relation by `_q`, and over it each column of one features definition.

    `_from` is among them where one row is the answer.
    """
    features = each.features
    if each.held is None:
        return _joined(_of_request(asked, each), alias)
    entity = _entity(each, asked)
    if features.shape == "window":
        found = windows(asked, each.held, entity, each.outputs, features.windows, each.ready)
        return _joined(found, alias)
    if each.lasting:
        mine = _lasting(alias, each)
        found, columns = second_look(mine, f"_unsure_{alias}"), answers(mine, "q", alias)
    else:
        origins, max_age = _origins(each), features.max_age
        found = latest(asked, each.held, entity, origins=origins, max_age=max_age, ready=each.ready)
        _, columns = _joined(found, alias)
    shown = {output.alias: columns[output.this.name] for output in each.outputs}
    return found, {**shown, "_from": columns["_from"]}


def _joined(found: exp.Select, alias: str) -> tuple[exp.Select, dict[str, exp.Expr]]:
    return found, {name: col(name, alias) for name in found.named_selects if name != "_q"}


def _lasting(name: str, each: Compiled) -> Lasting:
    assert each.held is not None
    entity = tuple(name.lower() for name in each.features.entity)
    origins, max_age = _origins(each), each.features.max_age
    return Lasting(name, each.held, entity, origins, max_age, each.apart)


def _entity(each: Compiled, asked: exp.Select) -> list[str]:
    """Return the columns that say whom a question is about."""
    features = each.features
    entity = [name.lower() for name in features.entity]
    if missing := [name for name in entity if name not in map(str.lower, asked.named_selects)]:
        raise FeaturesError(
            f"{features.name} is about {missing[0]!r}, which the outcome does not hold",
            where=features.where,
            allowed=asked.named_selects,
            given=missing[0],
        )
    return entity


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
