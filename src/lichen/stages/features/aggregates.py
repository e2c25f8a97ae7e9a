"""Which aggregates follow from running totals, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from lichen.core.derive import is_aggregate


def is_call(node: exp.Expr) -> bool:
    """Return whether a node is an aggregate call together with its FILTER or ordering."""
    if isinstance(node, exp.Filter | exp.WithinGroup | exp.IgnoreNulls):
        return is_aggregate(node.this) or is_call(node.this)
    return is_aggregate(node)


@dataclass(frozen=True)
class Additive:
    """An aggregate as a formula over totals, each a sum over the rows in the window.

    Adding a row adds to the totals and its leaving subtracts, so one running total serves every
    window. Sums of integers and decimals are exact; sums of doubles carry a rounding error in
    the order of 1e-16 of the largest running total. Variances are taken about the mean of all
    rows, so that large values with a small spread keep their digits.
    """

    totals: tuple[tuple[str, exp.Expr], ...]
    formula: Callable[..., exp.Expr]


def additive(call: exp.Expr) -> Additive | None:
    """Return the totals from which an aggregate follows; None if it needs the rows themselves."""
    condition, plain = None, call
    if isinstance(call, exp.Filter):
        condition, plain = call.expression.this, call.this
    argument = _argument(plain)
    if argument is None:
        return None
    value = argument
    if condition is not None:
        value = exp.case().when(condition.copy(), argument.copy())
    totals, formula = _FORMULAS[type(plain)]
    return Additive(tuple((kind, value) for kind in totals), formula)


def _argument(call: exp.Expr) -> exp.Expr | None:
    """Return the one argument of an additive aggregate: count(*) counts ones."""
    if type(call) not in _FORMULAS or call.args.get("expressions"):
        return None
    value = call.this
    if isinstance(call, exp.Count) and (value is None or isinstance(value, exp.Star)):
        return exp.convert(1)
    if isinstance(call, exp.CountIf):
        return exp.case().when(value.copy(), exp.convert(1))
    simple = isinstance(value, exp.Expr) and not isinstance(value, exp.Distinct | exp.Order)
    return value if simple else None


def _count(n: exp.Expr) -> exp.Expr:
    return exp.func("coalesce", n, exp.convert(0))


def _sum(n: exp.Expr, s: exp.Expr) -> exp.Expr:
    return _given(n, 0, s)


def _mean(n: exp.Expr, s: exp.Expr) -> exp.Expr:
    return _given(n, 0, _ratio(s, n))


def _variance(degrees: int) -> Callable[[exp.Expr, exp.Expr, exp.Expr], exp.Expr]:
    def formula(n: exp.Expr, d: exp.Expr, q: exp.Expr) -> exp.Expr:
        spread = exp.Sub(this=q, expression=_ratio(exp.Mul(this=d, expression=d.copy()), n))
        never_below = exp.func("greatest", exp.paren(spread), exp.convert(0))
        freedom = exp.paren(exp.Sub(this=n.copy(), expression=exp.convert(degrees)))
        return _given(n, degrees, _ratio(never_below, freedom))

    return formula


def _root(inner: Callable[..., exp.Expr]) -> Callable[..., exp.Expr]:
    return lambda *totals: exp.func("sqrt", inner(*totals))


def _given(n: exp.Expr, more_than: int, value: exp.Expr) -> exp.Expr:
    return exp.case().when(exp.GT(this=n.copy(), expression=exp.convert(more_than)), value)


def _ratio(above: exp.Expr, below: exp.Expr) -> exp.Expr:
    return exp.Div(this=exp.cast(above, "double"), expression=below.copy(), typed=False, safe=True)


# Totals by name: `n` counts values, `s` sums them, `d` and `q` sum their distances from the mean
# of all rows, and the squares of those.
_SPREAD = ("n", "d", "q")
_FORMULAS: Mapping[type[exp.Expr], tuple[tuple[str, ...], Callable[..., exp.Expr]]] = {
    exp.Count: (("n",), _count),
    exp.CountIf: (("n",), _count),
    exp.Sum: (("n", "s"), _sum),
    exp.Avg: (("n", "s"), _mean),
    exp.Variance: (_SPREAD, _variance(1)),
    exp.VariancePop: (_SPREAD, _variance(0)),
    exp.Stddev: (_SPREAD, _root(_variance(1))),
    exp.StddevSamp: (_SPREAD, _root(_variance(1))),
    exp.StddevPop: (_SPREAD, _root(_variance(0))),
}
