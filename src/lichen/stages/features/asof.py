"""The as-of join: each left row meets the newest right row that is not later."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lichen.core.sql import col, rel
from lichen.core.versions import ordered


def asof(
    left: exp.Query, right: exp.Query, by: Sequence[str], *, at: str, since: str
) -> exp.Select:
    """Return the left rows with the right row of the greatest `since` ≤ `at`, equal in `by`.

    Ties are inclusive; without such a row the right columns are NULL. Right rows must be unique
    in (by, since). This is DuckDB's native join; `portable` is the same in plain SQL.
    """
    ordered_by = exp.GTE(this=col(at, "l"), expression=col(since, "r"))
    native = exp.Join(
        this=right.subquery("r"), method="ASOF", side="LEFT", on=exp.and_(*_same(by), ordered_by)
    )
    joined = _columns(left, right, by).from_(left.subquery("l"))
    joined.append("joins", native)
    return joined


def portable(
    left: exp.Query, right: exp.Query, by: Sequence[str], *, at: str, since: str
) -> exp.Select:
    """Return the same as `asof` without the native join: a running maximum over all moments."""
    keys = [col(name) for name in by]
    asked = exp.select(*keys, exp.alias_(col(at), "_moment"), exp.alias_(exp.null(), "_hit"))
    told = exp.select(*keys, exp.alias_(col(since), "_moment"), exp.alias_(col(since), "_hit"))
    moments = exp.union(told.from_("_r"), asked.from_("_l"), distinct=False)
    newest = exp.Window(
        this=exp.Max(this=exp.Max(this=col("_hit"))), partition_by=keys, order=ordered("_moment")
    )
    seen = (
        exp.select(*keys, col("_moment"), exp.alias_(newest, "_hit"))
        .from_(moments.subquery("m"))
        .group_by(*keys, col("_moment"))
    )
    hit = exp.EQ(this=col("_hit", "s"), expression=col(since, "r"))
    asked_then = exp.EQ(this=col("_moment", "s"), expression=col(at, "l"))
    return (
        _columns(left, right, by)
        .from_(rel("_l", "l"))
        .join(seen.subquery("s"), on=exp.and_(*_same(by, "s"), asked_then), join_type="left")
        .join(rel("_r", "r"), on=exp.and_(*_same(by), hit), join_type="left")
        .with_("_l", as_=left)
        .with_("_r", as_=right)
    )


def _columns(left: exp.Query, right: exp.Query, by: Sequence[str]) -> exp.Select:
    added = [name for name in right.named_selects if name not in by]
    return exp.select(
        *(col(name, "l") for name in left.named_selects), *(col(name, "r") for name in added)
    )


def _same(by: Sequence[str], right: str = "r") -> list[exp.Expr]:
    return [exp.EQ(this=col(name, "l"), expression=col(name, right)) for name in by]
