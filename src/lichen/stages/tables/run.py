"""Building: a table's new versions, judged by its contract before they are committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sqlglot import exp

from lichen.core.contract.spec import Contract, Rule, trusting_types
from lichen.core.derive import derive, shape_of
from lichen.core.findings import Finding, Severity
from lichen.core.fingerprint import Print
from lichen.core.sql import given, rel
from lichen.core.steps import Blocked, Build, Result
from lichen.core.versions import key_range, stored
from lichen.ports.engine import Relations, Scan
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import FIRST_ROW, NOW, Context
from lichen.stages.judge import among, judge
from lichen.stages.release import release
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import (
    Inputs,
    added,
    changes,
    news,
    numbered,
    overlapping,
    repeated,
    touched,
    whole,
)


def build(step: Build, table: Table, print_: Print, ctx: Context) -> Result:
    """Build a table: every version again, or only what its input gained since."""
    nodes = [i.node for i in step.inputs]
    relations = ctx.shelf.relations(nodes if step.replace else [*nodes, step.node])
    since = _since(step, ctx)
    firsts = _firsts(step, since, ctx)
    key = ("build", step.node, step.fingerprint, step.replace, firsts)
    query = ctx.prepared(
        (*key, *map(ctx.shelf.shape, nodes)), lambda: _versions(step, table, ctx, firsts=firsts)
    )
    touched = {} if firsts else _touched(step, since, relations, ctx)
    values = ctx.values(step, **since, **touched)
    staged = ctx.engine.write(query, relations, ctx.lake.stage(step.node), values)
    before = relations[step.node].files if step.rejudge and not step.replace else ()
    scan = Scan((*before, staged.path), staged.columns)
    repeats = _repeats(step, table, {**relations, "_staged_rows": scan}, ctx)
    everything = step.replace or step.rejudge
    judgement = judge(
        _promises(table), step.node, scan, ctx, everything=everything, copied=not step.replace
    )
    if judgement.blocks or repeats:
        staged.path.unlink()
        return Blocked(findings=(*repeats, *judgement.findings))
    records = ctx.shelf.records
    effect = Effect(
        staged=staged,
        judgement=judgement,
        freed=release(step, staged, judgement, ctx),
        moved=step.asked,
        seen={k: v for node in nodes for k, v in records[node].facts["leaves"].items()},
        replace=step.replace,
        rejudge=step.rejudge,
        facts={
            "epochs": {node: records[node].facts["epoch"] for node in nodes},
            "inputs": {node: records[node].sequence for node in nodes},
            "key": table.key,
        },
    )
    body = {
        "fingerprint": step.fingerprint,
        "rules": step.rules,
        "rows": print_.rows,
        "columns": dict(print_.columns),
        "definition": table.text,
    }
    return carry_out(step, effect, ctx, body=body)


def _promises(table: Table) -> Contract | None:
    """The contract as far as rows that were computed can break it.

    Their types are those of the SELECT. A key has one row at a time: `_repeats` sees to that.
    """
    if table.contract is None:
        return None
    contract = trusting_types(table.contract)
    rules = (among(r) if r.kind == "unique" else r for r in contract.rules if not _is_key(r, table))
    return dataclasses.replace(contract, rules=tuple(rules))


def _is_key(rule: Rule, table: Table) -> bool:
    columns = {column.lower() for column in rule.columns}
    return rule.kind == "unique" and columns >= {c.lower() for c in table.key} != set()


def _repeats(step: Build, table: Table, relations: Relations, ctx: Context) -> tuple[Finding, ...]:
    """A declared key that two rows have at the same time is a mistake."""
    if shape_of(table.select) == "aggregate":
        query = repeated(exp.select("*").from_(rel("_staged_rows")), FIRST_ROW)
    elif table.key and step.replace:
        inputs = _inputs(step, ctx)
        query = overlapping(derive(table.select, inputs, table.key, where=table.where))
    else:
        return ()
    ((count,),) = (row.values() for row in ctx.engine.rows(query, relations, ctx.values(step)))
    if not count:
        return ()
    return (
        Finding(
            node=str(table.name),
            rule="key",
            severity=Severity.block,
            message=f"{count:,} {'row repeats' if count == 1 else 'rows repeat'} the key "
            f"{', '.join(table.key)} at the same time",
            count=int(count),
            measured=float(count),
        ),
    )


def _versions(step: Build, table: Table, ctx: Context, *, firsts: bool) -> exp.Query:
    """The versions that replace the table, or those that it gains."""
    inputs = _inputs(step, ctx)
    users = [c.lower() for c in table.select.named_selects]
    if step.replace:
        made = whole(table, inputs, NOW)
    elif shape_of(table.select) == "aggregate":
        made = changes(table, inputs, stored(step.node, users), NOW)
    elif firsts:
        made = added(table, inputs, _SINCE)
    else:
        made = news(table, inputs, _SINCE, exp.select("*").from_(rel(step.node)))
    return numbered(made, users, FIRST_ROW)


_SINCE = given("since", "bigint")  # the last row of the input that the table has taken on


def _since(step: Build, ctx: Context) -> dict[str, int]:
    """Where the news of a table's one input begin."""
    if step.replace or len(step.inputs) != 1:
        return {}
    taken = ctx.shelf.records[step.node].facts["inputs"][step.inputs[0].node]
    return {"since": ((int(taken) + 1) << 32) - 1}


def _firsts(step: Build, since: Mapping[str, int], ctx: Context) -> bool:
    """Whether all news are of keys that the input did not hold before."""
    if not since:
        return False
    firsts_from = ctx.shelf.records[step.inputs[0].node].facts.get("firsts_from")
    return firsts_from is not None and since["since"] >= (int(firsts_from) << 32) - 1


def _touched(
    step: Build, since: Mapping[str, int], relations: Relations, ctx: Context
) -> dict[str, str]:
    """The range of the keys that the news are of."""
    if not since:
        return {}
    node = step.inputs[0].node
    query = ctx.prepared(
        ("ends", *ctx.shelf.shape(node)),
        lambda: key_range(touched(ctx.shelf.versions(node), _SINCE)),
    )
    return dict(ctx.engine.rows(query, relations, since)[0])


def _inputs(step: Build, ctx: Context) -> Inputs:
    return {each.node: ctx.shelf.versions(each.node) for each in step.inputs}
