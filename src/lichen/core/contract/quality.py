"""Quality rules of the standard, read into rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sqlglot import exp

from lichen.core.contract.document import Quality, Scalar
from lichen.core.contract.place import SEVERITY, Place, own_keys
from lichen.core.contract.spec import OBJECT, TABLE_KINDS, Must, Rule, RuleKind
from lichen.core.contract.types import is_number
from lichen.core.errors import TableError, Where
from lichen.core.findings import Severity
from lichen.core.sql import parse_expression, parse_select

_WORDS = {
    "info": Severity.warn, "low": Severity.warn, "minor": Severity.warn,
    "warn": Severity.warn, "warning": Severity.warn,
    "error": None, "medium": None, "major": None, "high": None,
    "critical": Severity.block, "blocker": Severity.block, "block": Severity.block,
    "quarantine": Severity.quarantine,
}  # fmt: skip
_COLUMN_METRICS: dict[str, RuleKind] = {
    "nullValues": "not_null", "missingValues": "not_null",
    "invalidValues": "allowed", "duplicateValues": "unique",
}  # fmt: skip
_OBJECT_METRICS: dict[str, RuleKind] = {"duplicateValues": "unique", "rowCount": "row_count"}
_NONE = Must(low=0, high=0)
_RE2_LACKS = re.compile(r"\(\?(=|!|<=|<!)|\\[1-9]")


@dataclass(frozen=True)
class About:
    """What a rule is about: the object, the column if any, and the severity that it inherits."""

    object: str
    column: str | None
    type: str
    severity: Severity | None


def quality_rule(quality: Quality, about: About, place: Place) -> Rule | None:
    """Return the rule, or None for one that Lichen does not judge (a text, another tool's)."""
    if quality.type == "text" or (quality.type == "custom" and quality.engine != "lichen"):
        return None
    if quality.type == "custom":
        rule = _row_sql(quality, about, place)
    elif quality.type == "sql":
        rule = _table_sql(quality, about, place)
    else:
        rule = _metric(quality, about, place)
    rule = replace(rule, description=quality.description or "")
    return replace(rule, severity=_severity(quality, rule, about, place))


def default_severity(kind: RuleKind, *, tolerant: bool = False) -> Severity:
    """Return the severity of a rule that names none.

    >>> default_severity("range").value, default_severity("row_count").value
    ('quarantine', 'block')
    """
    if kind == "reference":
        return Severity.warn
    return Severity.block if kind in TABLE_KINDS or tolerant else Severity.quarantine


def pattern(text: str, where: Where) -> str:
    """Return a regular expression that all engines can run; raises TableError for another."""
    try:
        re.compile(text)
    except re.error as error:
        raise TableError(f"the pattern {text!r} does not read: {error}", where=where) from error
    if _RE2_LACKS.search(text):
        raise TableError(
            f"the pattern {text!r} looks around or back, which engines cannot do in one pass",
            where=where,
            hint="write a rule of your own: type custom, engine lichen",
        )
    return text


def literals(
    values: list[Scalar], about: About, where: Where
) -> tuple[str | int | float | bool, ...]:
    """Return values that can be compared with the column; raises TableError for others."""
    given = tuple(value for value in values if value is not None)
    for value in given:
        if isinstance(value, str) == (is_number(about.type) or about.type == "BOOLEAN"):
            hint = "drop the quotes" if isinstance(value, str) else "put the value in quotes"
            raise TableError(
                f"{value!r} cannot be a value of {about.column}, which is {about.type}",
                where=where,
                hint=hint,
            )
    return given


def _metric(quality: Quality, about: About, place: Place) -> Rule:
    metrics = _COLUMN_METRICS if about.column else _OBJECT_METRICS
    if quality.metric not in metrics:
        level = "a column" if about.column else "the whole table"
        what = f"{quality.metric} is no metric of {level}" if quality.metric else "no metric"
        raise TableError(what, where=place.where, allowed=metrics, given=quality.metric)
    if quality.unit not in (None, "rows", "percent"):
        raise TableError(
            f"unit: {quality.unit!r} is not allowed",
            where=place.at(".unit").where,
            allowed=("rows", "percent"),
            given=quality.unit,
        )
    must = _must(quality, place)
    kind = metrics[quality.metric]
    rule = Rule(
        _id(quality, about, kind), kind, Severity.warn, place.where, column=about.column,
        columns=(about.column,) if about.column else (),
        must=None if must == _NONE and kind != "row_count" else must,
        percent=quality.unit == "percent",
    )  # fmt: skip
    return _with_arguments(rule, quality, about, place)


def _with_arguments(rule: Rule, quality: Quality, about: About, place: Place) -> Rule:
    given, where = quality.arguments, place.at(".arguments").where
    if quality.metric == "invalidValues":
        if given is None or not (given.valid_values or given.pattern):
            raise TableError(
                "invalidValues must say what is valid",
                where=where,
                allowed=("validValues", "pattern"),
            )
        kind: RuleKind = "allowed" if given.valid_values else "pattern"
        return replace(
            rule,
            kind=kind,
            id=_id(quality, about, kind),
            values=literals(given.valid_values or [], about, where),
            pattern=pattern(given.pattern, where) if given.pattern else None,
        )
    if quality.metric == "missingValues" and given and given.missing_values:
        return replace(rule, values=literals(given.missing_values, about, where))
    if quality.metric == "duplicateValues" and not about.column:
        if not (given and given.properties):
            raise TableError(
                "duplicateValues of a table must say of which columns",
                where=where,
                allowed=("arguments: {properties: [a, b]}",),
            )
        columns = tuple(given.properties)
        return replace(rule, columns=columns, id=quality.name or f"{'_'.join(columns)}.unique")
    return rule


def _row_sql(quality: Quality, about: About, place: Place) -> Rule:
    place = place.at(".implementation")
    if not isinstance(quality.implementation, str):
        raise TableError(
            "a rule of the engine lichen is one SQL condition that every row must keep",
            where=place.where,
            allowed=("implementation: wind_gust >= wind_speed",),
        )
    tree = parse_expression(quality.implementation, place.file, line=place.where.line)
    refused = tree.find(exp.Query, exp.AggFunc, exp.Window)
    qualified = next((column for column in tree.find_all(exp.Column) if column.table), None)
    if refused or qualified:
        what = qualified.sql() if qualified else refused.sql() if refused else ""
        raise TableError(
            f"a row's condition cannot say {what!r}",
            where=place.where,
            hint="name columns alone; a query with mustBe… is a rule of type sql",
        )
    return Rule(
        _id(quality, about, "row_sql"), "row_sql", Severity.warn, place.where,
        column=about.column, sql=tree,
    )  # fmt: skip


def _table_sql(quality: Quality, about: About, place: Place) -> Rule:
    must = _must(quality, place)
    place = place.at(".query")
    if not quality.query:
        raise TableError("the key 'query' is missing", where=place.where)

    def replaced(match: re.Match[str]) -> str:
        if match[1] in ("object", "table"):
            return f'"{OBJECT}"'
        if match[1] in ("property", "column") and about.column:
            return str(exp.to_identifier(about.column, quoted=True).sql())
        raise TableError(
            f"nothing is known as {match[0]!r}",
            where=place.where,
            allowed=("{object}", "{property}") if about.column else ("{object}",),
        )

    text = re.sub(r"\$?\{(\w+)\}", replaced, quality.query)
    tree = parse_select(text, place.file, first_line=place.where.line)
    if len(tree.expressions) != 1 or (tree.find(exp.Star) and not tree.find(exp.AggFunc)):
        raise TableError("the query must give exactly one number", where=place.where)
    for table in tree.find_all(exp.Table):
        if table.name.lower() == about.object.lower() and not table.db:
            alias = table.alias or table.name
            table.replace(exp.to_table(OBJECT, quoted=True).as_(alias, table=True))
    return Rule(
        _id(quality, about, "table_sql"), "table_sql", Severity.warn, place.where,
        column=about.column, sql=tree, must=must,
    )  # fmt: skip


def _must(quality: Quality, place: Place) -> Must:
    exact = {"mustBe": quality.must_be, "mustNotBe": quality.must_not_be}
    between = {
        "mustBeBetween": quality.must_be_between,
        "mustNotBeBetween": quality.must_not_be_between,
    }
    ends = {
        "mustBeGreaterThan": quality.must_be_greater_than,
        "mustBeGreaterOrEqualTo": quality.must_be_greater_or_equal_to,
        "mustBeLessThan": quality.must_be_less_than,
        "mustBeLessOrEqualTo": quality.must_be_less_or_equal_to,
    }
    said = [name for name, value in {**exact, **between, **ends}.items() if value is not None]
    lows, highs = list(ends)[:2], list(ends)[2:]
    if len(said) == 1 and said[0] in exact:
        value = float(exact[said[0]] or 0)
        return Must(value, value, outside=said[0] == "mustNotBe")
    if len(said) == 1 and (pair := between.get(said[0])):
        # The standard makes mustBeBetween the same as mustBeGreaterThan with mustBeLessThan.
        return Must(*pair, low_open=True, high_open=True, outside=said[0] == "mustNotBeBetween")
    low = [name for name in said if name in lows]
    high = [name for name in said if name in highs]
    if not said or len(low) > 1 or len(high) > 1 or len(low) + len(high) != len(said):
        what = "these do not go together: " + ", ".join(said) if said else "no limit is given"
        raise TableError(what, where=place.where, allowed=(*exact, *between, *ends))
    return Must(
        ends[low[0]] if low else None,
        ends[high[0]] if high else None,
        low == lows[:1],
        high == highs[:1],
    )


def _severity(quality: Quality, rule: Rule, about: About, place: Place) -> Severity:
    default = default_severity(rule.kind, tolerant=not rule.judges_rows)
    said = own_keys(quality.custom_properties, place, (SEVERITY,)).severity
    if said is None and quality.severity is not None:
        word = quality.severity.lower()
        if word not in _WORDS:
            raise TableError(
                f"severity: {quality.severity!r} is not known",
                where=place.at(".severity").where,
                allowed=_WORDS,
                given=word,
            )
        said = _WORDS[word] or default
    if said is Severity.quarantine and not rule.judges_rows:
        raise TableError(
            f"{rule.id} judges the table, not a row: nothing can be quarantined",
            where=place.where,
            allowed=("warn", "block"),
        )
    return said or inherited(about.severity, rule, default)


def inherited(severity: Severity | None, rule: Rule, default: Severity) -> Severity:
    """Return what a rule takes over from its column or table: quarantine only if it can."""
    if severity is None or (severity is Severity.quarantine and not rule.judges_rows):
        return default
    return severity


def _id(quality: Quality, about: About, kind: RuleKind) -> str:
    name = quality.name or quality.id or kind
    return f"{about.column}.{name}" if about.column else name
