"""Which rows of its inputs a table takes on: those it has not, and those that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from lichen.core.sql import col, given
from lichen.core.steps import Build
from lichen.core.time import Span, iso
from lichen.core.versions import key_range
from lichen.ports.engine import Relations
from lichen.stages.context import Context
from lichen.stages.tables.follow import keys_of
from lichen.stages.tables.spec import Table


@dataclass(frozen=True)
class News:
    """What is new of a table's inputs.

    `rows` holds, for each input that has news, a condition that is true of them, and `bound` the
    values that the conditions name. `firsts` says that no earlier row is of the key of any.
    """

    rows: Mapping[str, exp.Expr] = field(default_factory=dict)
    bound: Mapping[str, int | str] = field(default_factory=dict)
    firsts: bool = False

    @property
    def shape(self) -> tuple[object, ...]:
        """Return all that the trees depend on which are made with it."""
        return (*sorted(self.bound), self.firsts)


def news(step: Build, table: Table, ctx: Context) -> News:
    """Return what is new since a table was built: rows that its inputs gained, unless they are
    static, and rows of the time that the step is asked to compute again."""
    if step.replace or table.at_once():
        return News()
    taken = ctx.shelf.records[step.node].facts["inputs"]
    rows: dict[str, exp.Expr] = {}
    bound: dict[str, int | str] = _ends(step.span)
    for place, each in enumerate(step.inputs):
        name = f"since_{place}"
        bound[name] = ((int(taken[each.node]) + 1) << 32) - 1
        conditions = [_between(step.span)] if step.span is not None else []
        if each.node not in table.static:
            conditions.append(exp.GT(this=col("_row"), expression=given(name, "bigint")))
        if conditions:
            rows[each.node] = exp.or_(*conditions)
    return News(rows, bound, _firsts(step, bound, ctx))


def key_ends(news: News, step: Build, relations: Relations, ctx: Context) -> dict[str, str]:
    """Return the range of the keys that news are of, where a table has one input, to be bound."""
    if len(step.inputs) != 1 or not news.rows or news.firsts:
        return {}
    ((node, meant),) = news.rows.items()
    query = ctx.prepared(
        ("ends", *ctx.shelf.shape(node), *news.shape),
        lambda: key_range(keys_of(ctx.shelf.versions(node), meant)),
    )
    return dict(ctx.engine.rows(query, relations, news.bound)[0])


def _firsts(step: Build, bound: Mapping[str, int | str], ctx: Context) -> bool:
    if len(step.inputs) != 1 or step.span is not None:
        return False
    firsts_from = ctx.shelf.records[step.inputs[0].node].facts.get("firsts_from")
    return firsts_from is not None and int(bound["since_0"]) >= (int(firsts_from) << 32) - 1


def _ends(span: Span | None) -> dict[str, int | str]:
    ends = {"begin": span.begin, "end": span.end} if span is not None else {}
    return {name: iso(moment) for name, moment in ends.items() if moment is not None}


def _between(span: Span) -> exp.Expr:
    """Whether a row became known in a stretch of time."""
    known = col("_known_at")
    after = exp.GTE(this=known.copy(), expression=given("begin", "timestamptz"))
    before = exp.LT(this=known.copy(), expression=given("end", "timestamptz"))
    return exp.and_(*([after] if span.begin else []), *([before] if span.end else []))
