"""Building: a table's new versions, judged by its contract before they are committed."""

from __future__ import annotations

from sqlglot import exp

from lichen.core.digest import Print
from lichen.core.sql import col, rel
from lichen.core.steps import Blocked, Build, Result
from lichen.core.versions import WITHIN, stored
from lichen.ports.engine import Scan
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import FIRST_ROW, NOW, Context
from lichen.stages.judge import judge
from lichen.stages.release import release
from lichen.stages.tables.follow import gained
from lichen.stages.tables.function import RETURNED
from lichen.stages.tables.news import News, key_ends, news
from lichen.stages.tables.once import once
from lichen.stages.tables.promises import promises
from lichen.stages.tables.python import Returned, returned, undated
from lichen.stages.tables.repeats import repeats, told_by
from lichen.stages.tables.shared import same_keys, without_key
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import (
    Inputs,
    added,
    changes,
    numbered,
    whole,
)


def build(step: Build, table: Table, print_: Print, ctx: Context) -> Result:
    """Build a table: every version again, or only what its input gained since."""
    nodes = [i.node for i in step.inputs]
    relations = ctx.shelf.relations(nodes if step.replace else [*nodes, step.node])
    new = news(step, table, ctx)
    key = ("build", step.node, step.fingerprint, step.replace, told_by(table, ctx.shelf))
    query = ctx.prepared(
        (*key, *new.shape, *map(ctx.shelf.shape, nodes)), lambda: _versions(step, table, new, ctx)
    )
    values = ctx.values(step, **new.bound, **key_ends(new, step, relations, ctx))
    given = _given(step, table, ctx)
    read = {**relations, **({RETURNED: given.rows} if given else {})}
    staged = ctx.engine.write(query, read, ctx.lake.stage(step.node), values)
    before = relations[step.node].files if step.rejudge and not step.replace else ()
    scan = Scan((*before, staged.path), staged.columns)
    to_compare = {**read, "_staged_rows": scan}
    at_once = repeats(step, table, _inputs(step, ctx), new, to_compare, ctx)
    everything = step.replace or step.rejudge
    judgement = judge(
        promises(table), step.node, scan, ctx, everything=everything, copied=not step.replace
    )
    if judgement.blocks or at_once:
        staged.path.unlink()
        return Blocked(findings=(*at_once, *judgement.findings))
    if table.function is not None and given is not None and not given.dated:
        judgement = judgement.adding(undated(step.node, table.function, staged.rows))
    records = ctx.shelf.records
    freed = release(step, staged, judgement, ctx)
    effect = Effect(
        staged=staged,
        judgement=judgement,
        freed=freed,
        moved=step.asked and (step.replace or staged.rows > 0),
        seen={k: v for node in nodes for k, v in records[node].facts["leaves"].items()},
        replace=step.replace,
        rejudge=step.rejudge,
        facts={
            "epochs": {node: records[node].facts["epoch"] for node in nodes},
            "inputs": {node: records[node].sequence for node in nodes},
            "key": table.key,
            "once": None if freed.rows is not None else _once(step, table, ctx),
        },
    )
    body = {
        "fingerprint": step.fingerprint,
        "rules": step.rules,
        "rows": print_.rows,
        "columns": dict(print_.columns),
        "definition": table.text,
        "function": table.function.name if table.function else None,
    }
    return carry_out(step, effect, ctx, body=body)


def _versions(step: Build, table: Table, new: News, ctx: Context) -> exp.Query:
    """The versions that replace the table, or those that it gains."""
    inputs = _inputs(step, ctx)
    users = [c.lower() for c in table.select.named_selects]
    if step.replace:
        made = whole(table, inputs, NOW)
    elif table.at_once():
        made = changes(table, inputs, stored(step.node, users), NOW)
    elif new.firsts:
        made = added(table, inputs, new.rows[step.inputs[0].node])
    else:
        held = exp.select(*map(col, users)).from_(rel(step.node))
        held = held.select(*map(col, ("_row", "_key", "_known_at", "_deleted", "_from")))
        within = WITHIN if len(inputs) == 1 else None  # its keys are told before it is read
        if within is not None and same_keys(table, told_by(table, ctx.shelf)):
            lacking = [without_key(table)] if table.key else []
            held = held.where(exp.or_(within.copy(), *lacking))
        made = gained(table, inputs, new.rows, held, NOW, within)
    return numbered(made, users, FIRST_ROW)


def _once(step: Build, table: Table, ctx: Context) -> list[str] | None:
    """The columns that no two rows share, if any; None where a key may have several versions."""
    records = ctx.shelf.records
    if step.asked and not step.replace:
        return None  # rows that were there may have been built anew
    if len(step.inputs) != 1 or (not step.replace and records[step.node].facts.get("once") is None):
        return None
    apart = once(table, records[step.inputs[0].node].facts.get("once"))
    return None if apart is None else list(apart)


def _given(step: Build, table: Table, ctx: Context) -> Returned | None:
    """What the table's function gives now, if there is one."""
    if table.function is None:
        return None
    relations = ctx.shelf.relations([each.node for each in step.inputs])
    inputs = _inputs(step, ctx)
    return returned(table.function, inputs, relations, ctx.engine, ctx.root, ctx.now)


def _inputs(step: Build, ctx: Context) -> Inputs:
    return {each.node: ctx.shelf.versions(each.node) for each in step.inputs}
