"""Whether a table holds one version of each key: it does where its input does, row by row. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lichen.stages.tables.spec import Table


def once(table: Table, apart: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the columns that no two rows of a table share; None if a key may have two versions.

    `apart` says the same of its only input. A declared key must hold these columns: else two
    rows of the input may be one of the table.
    """
    if apart is None or table.at_once() or table.select.args.get("joins"):
        return None
    kept = handed_on(table.select, apart)
    if table.key and not (kept and set(kept) <= {name.lower() for name in table.key}):
        return None
    return kept


def handed_on(select: exp.Select, columns: Sequence[str]) -> tuple[str, ...]:
    """Return what columns of the only input are called in a SELECT; none where one is not there.

    >>> from sqlglot import parse_one
    >>> handed_on(parse_one("select a as b, upper(c) as c from t"), ["a"])
    ('b',)
    >>> handed_on(parse_one("select a as b, upper(c) as c from t"), ["a", "c"])
    ()
    """
    alias = select.args["from_"].this.alias_or_name.lower()
    names: dict[str, str] = {}
    for shown in select.expressions:
        value = shown.unalias()
        plain = isinstance(value, exp.Column) and value.table.lower() in ("", alias)
        if shown.is_star:
            names |= _of_star(shown, columns)
        elif plain:
            names[value.name.lower()] = shown.alias_or_name.lower()
    found = [names.get(name.lower()) for name in columns]
    return tuple(name for name in found if name) if all(found) else ()


def _of_star(shown: exp.Expr, columns: Sequence[str]) -> dict[str, str]:
    """Return the names that a star hands on: all, or none where it says EXCLUDE or REPLACE."""
    star = shown.find(exp.Star)
    whole = star is not None and not any(star.args.values())
    return {name.lower(): name.lower() for name in columns} if whole else {}
