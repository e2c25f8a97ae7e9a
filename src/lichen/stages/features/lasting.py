"""The newest event that was known, where no row ever ends: one as-of on the event time.

The newest event that has happened answers a question if it was known by then: nothing outshines
it, and nothing takes it back. Only where it came late, or where several rows tell of its moment,
a second look at the entity's rows says what was known: the as-of of `latest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.versions import columns_of
from lichen.stages.features.asof import asof
from lichen.stages.features.latest import ranked


@dataclass(frozen=True)
class Lasting:
    """One features definition of which no row ever ends.

    `held`, `origins` and `max_age` are what `latest` takes; `_until` is NULL throughout. `apart`
    says that no two rows of an entity have the same event time. `name` tells its columns from
    those of others.
    """

    name: str
    held: exp.Select
    entity: tuple[str, ...]
    origins: int = 1
    max_age: timedelta | None = None
    apart: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Return what a question finds."""
        return tuple(n for n in (*columns_of(self.held), "_from") if n not in self.entity)


def newest(questions: exp.Select, each: Lasting) -> exp.Select:
    """Return the questions with the newest event that has happened by then, known or not.

    Of several rows of its moment it is any one. Columns are named `name.column`.
    """
    names = (*each.columns, "_known_at")
    found = (exp.alias_(col(n), f"{each.name}.{n}", quoted=True) for n in names)
    rows = exp.select(*map(col, each.entity), *found).from_(each.held.subquery("h"))
    return asof(questions, rows, each.entity, at="_at", since=f"{each.name}._event_time")


def second_look(each: Lasting, unsure: str) -> exp.Select:
    """Return `_q` and the columns that answer it, for the questions named `unsure`."""
    asked = exp.select("_q", *map(col, each.entity), "_at").from_(unsure)
    entities = exp.select(*map(col, each.entity)).from_(unsure)
    same = exp.and_(*(col(name, "h").eq(col(name, "u")) for name in each.entity))
    some = (
        exp.select(*(col(name, "h") for name in each.held.named_selects))
        .from_(each.held.subquery("h"))
        .join(entities.subquery("u"), on=same, join_type="semi", copy=False)
    )
    rows = ranked(some, each.entity, each.origins)
    kept = (
        exp.select(*map(col, (*each.entity, *each.columns, "_enter")))
        .from_(rows.subquery("r", copy=False))
        .where(col("_kept"), copy=False)
    )
    found = asof(asked, kept, each.entity, at="_at", since="_enter")
    return exp.select("_q", *map(col, each.columns)).from_(found.subquery("f", copy=False))


def unsure(each: Lasting, near: str) -> exp.Select:
    """Return the questions in `near` that something else than the newest event may answer."""
    late = exp.GT(this=col(f"{each.name}._known_at", "n"), expression=col("_at", "n"))
    asked = exp.select(*(col(name, "n") for name in ("_q", *each.entity, "_at")))
    asked = asked.from_(rel(near, "n"), copy=False)
    if each.apart:
        return asked.where(late, copy=False)
    event = col(f"{each.name}._event_time", "n").eq(col("_event_time", "t"))
    same = exp.and_(*(col(name, "n").eq(col(name, "t")) for name in each.entity), event)
    tied = exp.not_(col("_event_time", "t").is_(exp.null()))
    several = _tied(each).subquery("t", copy=False)
    return asked.join(several, on=same, join_type="left", copy=False).where(
        exp.or_(late, tied), copy=False
    )


def answers(each: Lasting, near: str, second: str) -> dict[str, exp.Expr]:
    """Return each column as an expression over the newest event and the second look."""
    plain = exp.Is(this=col("_q", second), expression=exp.null())

    def found(name: str) -> exp.Expr:
        first = exp.case().when(plain, col(f"{each.name}.{name}", near))
        return first.else_(col(name, second))

    if each.max_age is None:
        return {name: found(name) for name in each.columns}
    limit = exp.Add(this=found("_event_time"), expression=lit(each.max_age))
    young = exp.LTE(this=col("_at", near), expression=limit)
    return {name: exp.case().when(young, found(name)) for name in each.columns}


def _tied(each: Lasting) -> exp.Select:
    """Return the moments at which several events of one entity happened."""
    moment = (*map(col, each.entity), col("_event_time"))
    several = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.convert(1))
    return exp.select(*moment).from_(each.held.subquery("h")).group_by(*moment).having(several)
