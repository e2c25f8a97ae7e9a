"""Fewer rows for the same answer: an outcome's inputs cut to some of its keys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from lichen.core.derive import qualified
from lichen.core.sql import col, given
from lichen.core.versions import of_keys
from lichen.stages.outcomes.spec import Outcome

NOT_KEYED: Mapping[str, Sequence[str]] = {}
ENDS = given("lowest", "varchar"), given("highest", "varchar")


def narrowed(
    outcome: Outcome,
    inputs: Mapping[str, exp.Query],
    keys: exp.Query,
    *,
    keyed: Mapping[str, Sequence[str]] = NOT_KEYED,
    ends: tuple[exp.Expr, exp.Expr] | None = None,
) -> dict[str, exp.Query]:
    """Return the inputs without rows that no outcome of these keys can be made of.

    `keys` has one column of texts, all within `ends`. An input is cut where a column of it equals
    the outcome's key, by the SELECT list or through a join; a row's whole history is kept, since
    a correction may have moved it to another key, unless the column is the input's own key too
    (`keyed`).
    """
    cut: dict[str, exp.Query] = dict(inputs)
    if len(outcome.key) != 1:
        return cut
    tree = qualified(outcome.select, inputs, where=outcome.where)
    tables = [tree.args["from_"].this, *(j.this for j in tree.args.get("joins") or ())]
    names = [table.name for table in tables]
    same = _same_as_key(tree, outcome.key[0].lower())
    for table in tables:
        column = next((c.name for c in same if c.table == table.alias_or_name), None)
        if column is None or names.count(table.name) > 1:
            continue
        versions = inputs[table.name]
        said = exp.cast(col(column), "varchar")
        told: exp.Expr = said.isin(query=keys.copy())
        if ends:
            told = exp.and_(told, exp.Between(this=said.copy(), low=ends[0], high=ends[1]))
        if [name.lower() for name in keyed.get(table.name, ())] == [column.lower()]:
            shown = exp.select(*map(col, versions.named_selects))
            cut[table.name] = shown.from_(versions.subquery("v")).where(told)
            continue
        meant = exp.select(col("_key")).from_(versions.subquery("i")).where(told)
        cut[table.name] = of_keys(versions, meant)
    return cut


def _same_as_key(tree: exp.Select, key: str) -> list[exp.Column]:
    """Return the columns that equal the output column `key` in every row of the result."""
    shown = next(p.unalias() for p in tree.selects if p.alias_or_name == key)
    if not isinstance(shown, exp.Column):
        return []
    found = [shown]
    equal = [
        (on.left, on.right)
        for join in tree.args.get("joins") or ()
        for on in _conjuncts(join.args.get("on"))
        if isinstance(on, exp.EQ) and isinstance(on.left, exp.Column)
        if isinstance(on.right, exp.Column)
    ]
    for _ in equal:
        for left, right in equal:
            if left in found and right not in found:
                found.append(right)
            elif right in found and left not in found:
                found.append(left)
    return found


def _conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    if condition is None:
        return []
    bare = condition.unnest()
    return list(bare.flatten()) if isinstance(bare, exp.And) else [bare]
