"""How the values of a column lie, on two sides, and how far the sides are apart. Pure."""

from __future__ import annotations

from sqlglot import exp

from lichen.core.sql import col, lit

NUMBERS = ("INT", "DOUBLE", "FLOAT", "REAL", "DECIMAL", "NUMERIC")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SIDE = "_side"  # false on the left, true on the right


def kind_of(type_: str) -> str:
    """Return what may be asked of a type: number, time, truth or text.

    >>> kind_of("BIGINT"), kind_of("TIMESTAMP WITH TIME ZONE"), kind_of("VARCHAR")
    ('number', 'time', 'text')
    """
    if any(part in type_.upper() for part in NUMBERS) and "[" not in type_:
        return "number"
    if type_.upper().startswith(("TIMESTAMP", "DATE")):
        return "time"
    return "truth" if type_.upper() == "BOOLEAN" else "text"


def summary(rows: exp.Query, name: str, kind: str) -> exp.Select:
    """Return one row: `n`, `nulls`, `distinct`, and by kind `least`, `greatest`, `mean`,
    `quantiles`."""
    value = col(name)
    query = exp.select(
        exp.alias_(exp.Count(this=exp.Star()), "n"),
        exp.alias_(
            exp.Sub(this=exp.Count(this=exp.Star()), expression=exp.Count(this=value)), "nulls"
        ),
        exp.alias_(exp.Count(this=exp.Distinct(expressions=[value.copy()])), "distinct"),
    ).from_(rows.subquery("r"))
    if kind != "truth":
        ends = {"least": exp.Min, "greatest": exp.Max}
        query = query.select(*(exp.alias_(f(this=value.copy()), n) for n, f in ends.items()))
    if kind in ("number", "truth"):
        query = query.select(exp.alias_(exp.Avg(this=as_number(name, kind)), "mean"))
    if kind == "number":
        wanted = exp.array(*map(lit, QUANTILES))
        quantiles = exp.func("quantile_cont", as_number(name, kind), wanted, dialect="duckdb")
        query = query.select(exp.alias_(quantiles, "quantiles"))
    return query


def as_number(name: str, kind: str) -> exp.Expr:
    """Return a column's value as a number; a time as its seconds, a truth value as 0 or 1."""
    value: exp.Expr = col(name)
    if kind == "time":
        value = exp.func("epoch", exp.cast(value, "timestamptz"), dialect="duckdb")
    if kind == "truth":
        value = exp.cast(value, "int")
    return exp.cast(value, "double")


def distance(both: exp.Query, name: str, kind: str) -> exp.Select:
    """Return how far the sides are apart, from 0 (alike) to 1: `distance`.

    For numbers and times it is the greatest gap between the two rising shares (Kolmogorov and
    Smirnov), for others half the sum of the gaps between the shares of each value. Missing values
    are left out. NULL where a side has none.
    """
    ordered = kind in ("number", "time")
    value = as_number(name, kind) if ordered else exp.cast(col(name), "varchar")
    counts = (
        exp.select(exp.alias_(value, "v"), *(_count(side) for side in ("l", "r")))
        .from_(both.subquery("b"))
        .where(exp.not_(col(name).is_(exp.null())))
        .group_by("v")
    )
    totals = [_over(exp.Sum(this=col(side)), f"{side}_all") for side in ("l", "r")]
    running = exp.Order(expressions=[exp.Ordered(this=col("v"))])
    sums = [
        _over(exp.Sum(this=col(side)), f"{side}_share", running if ordered else None)
        if ordered
        else exp.alias_(col(side), f"{side}_share")
        for side in ("l", "r")
    ]
    shares = exp.select(*totals, *sums).from_(counts.subquery("c"))
    left, right = (
        exp.Div(
            this=exp.cast(col(f"{side}_share"), "double"),
            expression=exp.func("nullif", col(f"{side}_all"), lit(0)),
        )
        for side in ("l", "r")
    )
    gap = exp.Abs(this=exp.Sub(this=left, expression=right))
    found: exp.Expr = exp.Max(this=gap)
    if not ordered:
        found = exp.Div(this=exp.Sum(this=gap), expression=lit(2.0))
    return exp.select(exp.alias_(found, "distance")).from_(shares.subquery("s"))


def top(rows: exp.Query, name: str, most: int) -> exp.Select:
    """Return the most frequent values with how many rows have each: `value`, `n`."""
    return (
        exp.select(
            exp.alias_(exp.cast(col(name), "varchar"), "value"),
            exp.alias_(exp.Count(this=exp.Star()), "n"),
        )
        .from_(rows.subquery("r"))
        .where(exp.not_(col(name).is_(exp.null())))
        .group_by("value")
        .order_by(exp.Ordered(this=col("n"), desc=True), col("value"))
        .limit(most)
    )


def _count(side: str) -> exp.Expr:
    there: exp.Expr = col(SIDE) if side == "r" else exp.not_(col(SIDE))
    return exp.alias_(
        exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=there)), side
    )


def _over(function: exp.Expr, name: str, order: exp.Order | None = None) -> exp.Expr:
    order = order.copy() if order is not None else None
    return exp.alias_(exp.Window(this=function, order=order), name)
