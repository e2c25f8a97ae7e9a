"""What breaks a row rule, as SQL over the judged rows; and the reason in words.

Conditions are never NULL where a rule holds: they stand in CASE WHEN, which takes NULL for false,
so a missing value breaks nothing but not_null.
"""

from __future__ import annotations

from sqlglot import exp

from lichen.core.contract.spec import DRIFT, Contract, Rule
from lichen.core.contract.types import MOMENT
from lichen.core.sql import col, lit
from lichen.core.time import instant

RAW = "_raw"  # the texts of a row of which one did not cast, as JSON by column
_LONGEST = 80  # characters of a value that a reason repeats


def breaks(rule: Rule, contract: Contract, position: int) -> exp.Expr:
    """Return the condition under which a judged row breaks a row rule.

    `position` is the rule's place in the contract: it names the columns that `scan` adds for
    references and repeated keys.
    """
    column = col(rule.column or "")
    match rule.kind:
        case "type":
            return exp.and_(column.is_(exp.null()), exp.not_(raw(rule).is_(exp.null())))
        case "not_null":
            return _missing(column, rule, contract)
        case "range":
            return _outside(column, rule, contract.type_of(rule.column or "") or "")
        case "length":
            return _outside(exp.Length(this=column), rule, "BIGINT")
        case "allowed" | "pattern":
            return _invalid(column, rule)
        case "reference":
            given = (exp.not_(col(name).is_(exp.null())) for name in rule.columns)
            return exp.and_(*given, col(marker(position)).is_(exp.null()))
        case "unique" if rule.sql is None:
            return exp.GT(this=col(marker(position)), expression=lit(1))
        case _:
            return exp.not_(exp.paren((rule.sql or exp.true()).copy()))


def marker(position: int) -> str:
    """Return the name of the column that a rule adds to the judged rows."""
    return f"_rule{position}"


def raw(rule: Rule) -> exp.Expr:
    """Return the text that did not cast to the rule's column."""
    path = exp.JSONPath(expressions=[exp.JSONPathRoot(), exp.JSONPathKey(this=rule.column or "")])
    return exp.JSONExtractScalar(this=col(RAW), expression=path)


def reason(rule: Rule, contract: Contract) -> exp.Expr:
    """Return SQL that says for a row which column broke, its value and what was allowed."""
    name, column = rule.column or ", ".join(rule.columns), col(rule.column or "")
    match rule.kind:
        case "type":
            type_ = contract.type_of(name)
            return _said(f"{name} is '", _short(raw(rule)), f"', which is no {type_}")
        case "not_null":
            given = exp.Coalesce(this=_short(column), expressions=[lit("empty")])
            return _said(f"{name} is ", given, ", but a value is required")
        case "length":
            text = _said(f"{name} is '", _short(column), "', with ")
            return _said(text, _text(exp.Length(this=column)), f" characters, not {allowed(rule)}")
        case "reference" | "unique":
            values = _values(tuple(name for name in rule.columns if not name.startswith("_")))
            return _said(values, f": {allowed(rule)}")
        case "row_sql" if rule.id.startswith(DRIFT):
            return lit(rule.description)
        case "row_sql":
            read = sorted({c.name for c in (rule.sql or exp.null()).find_all(exp.Column)})
            return _said(_values(tuple(read)), f": breaks {allowed(rule)}")
        case _:
            return _said(f"{name} is ", _short(column), f", not {allowed(rule)}")


def allowed(rule: Rule) -> str:
    """Return in words what a row rule allows."""
    match rule.kind:
        case "range" | "length":
            low, high = "more than" if rule.low_open else "at least", "at most"
            high = "less than" if rule.high_open else high
            ends = ((low, rule.low), (high, rule.high))
            return " and ".join(f"{word} {end}" for word, end in ends if end is not None)
        case "allowed" | "pattern":
            some = [", ".join(str(value) for value in rule.values)] if rule.values else []
            return " and ".join(some + ([f"like {rule.pattern}"] if rule.pattern else []))
        case "reference" if rule.refers_to:
            return f"not in {rule.refers_to.name}.{', '.join(rule.refers_to.columns)}"
        case "unique":
            return "an earlier row has the same"
        case "row_sql" if rule.sql is not None:
            return rule.sql.sql(dialect="duckdb")
        case _:
            return "a value"


def _missing(column: exp.Expr, rule: Rule, contract: Contract) -> exp.Expr:
    sides: list[exp.Expr] = [column.is_(exp.null())]
    if any(other.kind == "type" and other.column == rule.column for other in contract.rules):
        # A text that did not cast is no missing value: the type rule speaks of it.
        sides[0] = exp.and_(sides[0], raw(rule).is_(exp.null()))
    if rule.values:
        sides.append(column.copy().isin(*rule.values))
    return exp.or_(*sides)


def _outside(value: exp.Expr, rule: Rule, type_: str) -> exp.Expr:
    below, above = (exp.LTE if rule.low_open else exp.LT), (exp.GTE if rule.high_open else exp.GT)
    sides: list[exp.Expr] = [
        side(this=value.copy(), expression=_end(end, type_))
        for side, end in ((below, rule.low), (above, rule.high))
        if end is not None
    ]
    if type_ in ("FLOAT", "DOUBLE"):
        sides.append(exp.IsNan(this=value.copy()))  # NaN sorts above all numbers
    return exp.or_(*sides)


def _end(end: float | str, type_: str) -> exp.Expr:
    if isinstance(end, str):
        return lit(instant(end)) if type_ == MOMENT else exp.cast(exp.Literal.string(end), type_)
    return lit(end)


def _invalid(column: exp.Expr, rule: Rule) -> exp.Expr:
    sides: list[exp.Expr] = [exp.not_(column.copy().isin(*rule.values))] if rule.values else []
    if rule.pattern is not None:
        like = exp.RegexpLike(this=_text(column), expression=lit_text(rule.pattern))
        sides.append(exp.not_(like))
    return exp.or_(*sides)


def lit_text(text: str) -> exp.Expr:
    """Return a text literal."""
    return exp.Literal.string(text)


def _values(columns: tuple[str, ...]) -> exp.Expr:
    parts: list[str | exp.Expr] = []
    for index, name in enumerate(columns):
        given = exp.Coalesce(this=_short(col(name)), expressions=[lit_text("empty")])
        parts += [f"{', ' if index else ''}{name} ", given]
    return _said(*parts)


def _said(*parts: str | exp.Expr) -> exp.Expr:
    trees = [lit_text(part) if isinstance(part, str) else part for part in parts]
    return exp.Concat(expressions=trees, safe=True, coalesce=False)


def _text(value: exp.Expr) -> exp.Expr:
    return exp.cast(value.copy(), "text")


def _short(value: exp.Expr) -> exp.Expr:
    return exp.Left(this=_text(value), expression=lit(_LONGEST))
