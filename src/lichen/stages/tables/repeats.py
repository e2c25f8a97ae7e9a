"""Whether rows that a build is about to commit share a declared key with others at one time."""

from __future__ import annotations

from sqlglot import exp

from lichen.core.derive import derive
from lichen.core.findings import Finding, Severity
from lichen.core.sql import rel
from lichen.core.steps import Build
from lichen.core.versions import key_range
from lichen.ports.engine import Relations
from lichen.stages.context import FIRST_ROW, Context, Shelf
from lichen.stages.tables.news import News
from lichen.stages.tables.shared import (
    DRIVERS,
    KEYS,
    driver,
    drivers,
    joined_keys,
    keeps_keys,
    sharing,
    staged_keys,
)
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import Inputs, overlapping, repeated


def repeats(
    step: Build,
    table: Table,
    inputs: Inputs,
    new: News,
    relations: Relations,
    ctx: Context,
) -> tuple[Finding, ...]:
    """Return the finding that two rows have a declared key at the same time, if some do.

    The staged rows are read as `_staged_rows`. Where rows are appended the finding is that of a
    full build, though only what may share a key with them is read.
    """
    if table.at_once():
        query = repeated(exp.select("*").from_(rel("_staged_rows")), FIRST_ROW)
    elif table.key and step.replace:
        query = overlapping(derive(table.select, inputs, table.key, where=table.where))
    elif table.key:
        return _finding(table, _appended(step, table, inputs, new, relations, ctx))
    else:
        return ()
    ((count,),) = (row.values() for row in ctx.engine.rows(query, relations, ctx.values(step)))
    return _finding(table, int(count or 0))


def _appended(
    step: Build,
    table: Table,
    inputs: Inputs,
    new: News,
    relations: Relations,
    ctx: Context,
) -> int:
    """Count the rows that share a key with another: first which keys went on, then of which
    drivers rows with these keys are made, and only these are derived and compared."""
    kept = keeps_keys(table, told_by(table, ctx.shelf))
    shapes = (
        kept,
        step.node,
        step.fingerprint,
        *new.shape,
        *(ctx.shelf.shape(each) for each in inputs),
    )
    bound = ctx.values(step, **new.bound)
    went_on = ctx.prepared(
        (KEYS, *shapes),
        lambda: (
            staged_keys(table, FIRST_ROW, kept=kept)
            if len(inputs) == 1
            else joined_keys(table, inputs, new.rows, step.node)
        ),
    )
    keys = ctx.engine.arrow(went_on, relations, bound)
    if not keys.num_rows:
        return 0
    read = {**relations, KEYS: keys}
    bound |= _ends(KEYS, ("least", "greatest"), read, ctx)
    makers = ctx.prepared((DRIVERS, *shapes), lambda: drivers(table, inputs, step.node))
    read[DRIVERS] = ctx.engine.arrow(makers, read, bound)
    bound |= _ends(DRIVERS, ("lowest", "highest"), read, ctx)
    query = ctx.prepared(("sharing", *shapes), lambda: sharing(table, inputs))
    ((count,),) = (row.values() for row in ctx.engine.rows(query, read, bound))
    return int(count)


def _ends(
    name: str, ends: tuple[str, str], relations: Relations, ctx: Context
) -> dict[str, str | int | float | None]:
    """The least and the greatest key of a relation, under the names by which they are bound."""
    query = ctx.prepared(("ends", name), lambda: key_range(exp.select("*").from_(rel(name))))
    (row,) = ctx.engine.rows(query, relations)
    return dict(zip(ends, (row["lowest"], row["highest"]), strict=True))


def told_by(table: Table, shelf: Shelf) -> tuple[str, ...]:
    """Return the columns by which the first relation in FROM tells its rows apart, if it says."""
    if table.at_once():
        return ()
    facts = shelf.records[driver(table)].facts
    return tuple(facts.get("told_by") or facts.get("key") or ())


def _finding(table: Table, count: int) -> tuple[Finding, ...]:
    if not count:
        return ()
    return (
        Finding(
            node=str(table.name),
            rule="key",
            severity=Severity.block,
            message=f"{count:,} {'row repeats' if count == 1 else 'rows repeat'} the key "
            f"{', '.join(table.key)} at the same time",
            count=count,
            measured=float(count),
        ),
    )
