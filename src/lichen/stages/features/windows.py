"""Aggregates over a window that ends at the question, over the rows known by then.

A row is in the window from `_enter` = greatest(event time, known time) until `_leave` =
least(event time + W, `_until`). So an additive aggregate is a running total of what enters
minus what leaves, read at the moment of the question: exact for every lag, correction and
retraction. The other aggregates join each question with the rows that are in its window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.time import short
from lichen.core.versions import before, ordered
from lichen.stages.features.aggregates import additive, is_call
from lichen.stages.features.asof import asof

Ready = Mapping[str, exp.Query]  # parts that are made already, by their names
NOTHING_READY: Ready = {}


def windows(
    questions: exp.Query,
    held: exp.Query,
    entity: Sequence[str],
    outputs: Sequence[exp.Alias],
    lengths: Sequence[timedelta],
    ready: Ready = NOTHING_READY,
) -> exp.Select:
    """Return for each question (`_q`, entity columns, `_at`) the outputs over each window.

    Columns are named `output_length`, such as `delay_2h`. A window without rows gives what SQL
    gives for an empty set. `ready` may hold what `window_parts` makes.
    """
    asked = exp.select("_q", *map(col, entity), "_at").from_(questions.subquery("q"))
    result = exp.select(col("_q", "q")).from_(rel("_asked", "q"))
    rows = exp.select(*map(col, held.named_selects)).from_("_rows")
    for length in lengths:
        name = short(length)
        answers = _answers(rows, entity, outputs, length, ready)
        result = result.join(
            answers.subquery(f"w{name}"),
            on=exp.EQ(this=col("_q", "q"), expression=col("_q", f"w{name}")),
        ).select(*(col(f"{output.alias}_{name}", f"w{name}") for output in outputs))
    result = result.with_("_asked", as_=asked)
    return result if ready else result.with_("_rows", as_=held)


def window_parts(
    held: exp.Query,
    entity: Sequence[str],
    outputs: Sequence[exp.Alias],
    lengths: Sequence[timedelta],
) -> dict[str, exp.Select]:
    """Return what `windows` makes of the rows alone, whatever is asked."""
    parts: dict[str, exp.Select] = {}
    for length in lengths:
        sums, rest = _kinds(outputs)
        if sums:
            totals, counted, _ = _columns(sums)
            running = _running(entity, totals, counted)
            shown = exp.select(*map(col, running.named_selects)).from_(running.subquery("t"))
            parts[f"totals_{short(length)}"] = shown.with_("_lives", as_=_lives(held, length))
        if rest:
            parts[f"lives_{short(length)}"] = _lives(held, length)
    return parts


def _kinds(
    outputs: Sequence[exp.Alias],
) -> tuple[dict[str, exp.Expr], dict[str, exp.Expr]]:
    """Return the aggregates that follow from totals, and the others, by their texts."""
    calls = {node.sql(): node for output in outputs for node in _calls(output)}
    sums = {text: call for text, call in calls.items() if additive(call)}
    return sums, {text: call for text, call in calls.items() if text not in sums}


def _answers(
    held: exp.Query,
    entity: Sequence[str],
    outputs: Sequence[exp.Alias],
    length: timedelta,
    ready: Ready,
) -> exp.Select:
    """Return the outputs over one window."""
    sums, rest = _kinds(outputs)
    answered: dict[str, exp.Expr] = {}
    result = exp.select(col("_q", "a")).from_(rel("_asked", "a"))
    if sums:
        totals, formulas = _totals(entity, sums, ready.get(f"totals_{short(length)}"))
        answered |= formulas
        result = result.join(totals.subquery("t"), on=_equal("_q", "a", "t"))
    if rest:
        ranged, columns = _ranged(entity, rest, length)
        answered |= columns
        result = result.join(ranged.subquery("g"), on=_equal("_q", "a", "g"))

    def filled(node: exp.Expr) -> exp.Expr:
        if is_call(node):
            return exp.paren(answered[node.sql()].copy())
        return col(node.name.lower(), "a") if isinstance(node, exp.Column) else node

    named = (
        exp.alias_(o.this.transform(filled), f"{o.alias}_{short(length)}", quoted=True)
        for o in outputs
    )
    lives = ready.get(f"lives_{short(length)}") if ready else _lives(held, length)
    result = result.select(*named)
    return result if lives is None else result.with_("_lives", as_=lives)


def _calls(output: exp.Expr) -> list[exp.Expr]:
    """Return the outermost aggregate calls of an output."""
    return [node for node in output.walk(prune=is_call) if is_call(node)]


def _lives(held: exp.Query, length: timedelta) -> exp.Select:
    """Return each row with the time that it spends in the window; rows that never enter are out."""
    enter = exp.func("greatest", col("_event_time"), col("_known_at"))
    passed = exp.Add(this=col("_event_time"), expression=lit(length))
    leave = exp.func("least", passed, col("_until"))  # least passes over NULL: never ended
    lived = exp.select(
        *map(col, held.named_selects), exp.alias_(enter, "_enter"), exp.alias_(leave, "_leave")
    ).from_(held.subquery("h"))
    return (
        exp.select(*map(col, lived.named_selects))
        .from_(lived.subquery("v"))
        .where(exp.LT(this=col("_enter"), expression=col("_leave")))
    )


def _totals(
    entity: Sequence[str], calls: Mapping[str, exp.Expr], ready: exp.Query | None
) -> tuple[exp.Select, dict[str, exp.Expr]]:
    """Return the totals at each question, and each aggregate as a formula over them."""
    values, counted, formulas = _columns(calls)
    asked = exp.select("_q", *map(col, entity), "_at").from_("_asked")
    running = ready or _running(entity, values, counted)
    found = asof(asked, running, entity, at="_at", since="_moment")
    return exp.select("_q", *values).from_(found.subquery("f")), formulas


def _columns(
    calls: Mapping[str, exp.Expr],
) -> tuple[dict[str, exp.Expr], set[str], dict[str, exp.Expr]]:
    """Return the totals by column, which of them count, and the aggregates as formulas."""
    totals: dict[tuple[str, str], exp.Expr] = {}
    formulas: dict[str, exp.Expr] = {}
    for text, call in calls.items():
        parts = additive(call)
        if parts is None:
            continue
        columns = []
        for kind, value in parts.totals:
            totals.setdefault((kind, value.sql()), _summed(kind, value))
            columns.append(col(f"_t{list(totals).index((kind, value.sql()))}", "t"))
        formulas[text] = parts.formula(*columns)
    values = {f"_t{i}": value for i, value in enumerate(totals.values())}
    counted = {f"_t{i}" for i, (kind, _) in enumerate(totals) if kind == "n"}
    return values, counted, formulas


def _summed(kind: str, value: exp.Expr) -> exp.Expr:
    """Return what a total sums for one row."""
    if kind in ("n", "s"):
        return value.copy()
    # A rounded mean keeps the sums of integers exact, so that an even window has no variance.
    mean = exp.func("round", exp.Window(this=exp.Avg(this=value.copy())))
    distance = exp.paren(exp.Sub(this=exp.cast(value.copy(), "double"), expression=mean))
    return exp.Mul(this=distance, expression=distance.copy()) if kind == "q" else distance


def _running(
    entity: Sequence[str], values: Mapping[str, exp.Expr], counted: set[str]
) -> exp.Select:
    """Return the totals of each entity from each moment on: what entered minus what left."""
    keys = [col(name) for name in entity]
    valued = exp.select(
        *keys, "_enter", "_leave", *(exp.alias_(v, name) for name, v in values.items())
    ).from_("_lives")

    def edge(moment: str, sign: int) -> exp.Select:
        return exp.select(
            *keys,
            exp.alias_(col(moment), "_moment"),
            exp.alias_(exp.convert(sign), "_sign"),
            *values,
        ).from_("_valued")

    def total(name: str) -> exp.Expr:
        kind = exp.Count if name in counted else exp.Sum
        change = exp.func("coalesce", kind(this=col(name)), exp.convert(0))
        signed = exp.case().when(_equals("_sign", 1), change).else_(exp.Neg(this=change.copy()))
        window = exp.Window(this=exp.Sum(this=signed), partition_by=keys, order=ordered("_moment"))
        return exp.alias_(window, name)

    # What enters and what leaves at one moment are peers, so that both see the whole of it.
    return (
        exp.select(*keys, "_moment", *map(total, values))
        .from_(exp.union(edge("_enter", 1), edge("_leave", -1), distinct=False).subquery("e"))
        .group_by(*keys, col("_moment"), col("_sign"))
        .with_("_valued", as_=valued)
    )


def _ranged(
    entity: Sequence[str], calls: Mapping[str, exp.Expr], length: timedelta
) -> tuple[exp.Select, dict[str, exp.Expr]]:
    """Return aggregates over the rows in each question's window, and the columns that hold them.

    A row is in the window for at most W: cut into stretches of W, time tells the two stretches
    in which a question can see it, so that the join compares near neighbours only.
    """
    stretch = exp.Add(this=_stretch(col("_enter"), length), expression=col("_more"))
    near = (
        exp.select("*", exp.alias_(stretch, "_stretch"))
        .from_("_lives")
        .join(exp.values([(0,), (1,)], alias="twice", columns=["_more"]), join_type="cross")
    )
    inside = exp.and_(
        *(_equal(name, "a", "r") for name in entity),
        exp.EQ(this=_stretch(col("_at", "a"), length), expression=col("_stretch", "r")),
        exp.LTE(this=col("_enter", "r"), expression=col("_at", "a")),
        before(col("_at", "a"), col("_leave", "r")),
    )
    columns = {text: col(f"_g{i}", "g") for i, text in enumerate(calls)}
    named = (exp.alias_(_over_present(c), columns[text].name) for text, c in calls.items())
    ranged = (
        exp.select(col("_q", "a"), *named)
        .from_(rel("_asked", "a"))
        .join(near.subquery("r"), on=inside, join_type="left")
        .group_by(col("_q", "a"))
    )
    return ranged, dict(columns)


def _over_present(call: exp.Expr) -> exp.Expr:
    """Return an aggregate that passes over the empty row of a question without rows."""
    there = exp.Not(this=exp.Is(this=col("_enter", "r"), expression=exp.null()))
    if isinstance(call, exp.Filter):
        both = exp.and_(there, call.expression.this.copy())
        return exp.Filter(this=call.this.copy(), expression=exp.Where(this=both))
    return exp.Filter(this=call.copy(), expression=exp.Where(this=there))


def _stretch(moment: exp.Expr, length: timedelta) -> exp.Expr:
    seconds = exp.func("epoch", moment, dialect="duckdb")
    ratio = exp.Div(
        this=seconds, expression=exp.convert(length.total_seconds()), typed=False, safe=True
    )
    return exp.cast(exp.func("floor", ratio), "bigint")


def _equal(name: str, left: str, right: str) -> exp.Expr:
    return exp.EQ(this=col(name, left), expression=col(name, right))


def _equals(name: str, value: int) -> exp.Expr:
    return exp.EQ(this=col(name), expression=exp.convert(value))
