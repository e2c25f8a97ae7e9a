"""Building: a table's new versions, judged by its contract before they are committed."""

from __future__ import annotations

import dataclasses

from sqlglot import exp

from lichen.core.contract.spec import Contract, trusting_types
from lichen.core.derive import derive, shape_of
from lichen.core.findings import Finding, Severity
from lichen.core.sql import rel
from lichen.core.steps import Blocked, Build, Result
from lichen.core.versions import stored
from lichen.ports.engine import Relations, Scan
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import Context
from lichen.stages.judge import judge
from lichen.stages.tables.spec import Table
from lichen.stages.tables.versions import Inputs, changes, news, numbered, overlapping, whole


def build(step: Build, table: Table, columns: dict[str, str], ctx: Context) -> Result:
    """Build a table: every version again, or only what its input gained since."""
    nodes = [i.node for i in step.inputs]
    inputs = {node: ctx.shelf.versions(node) for node in nodes}
    relations = ctx.shelf.relations(nodes)
    replace, made = _made(step, table, inputs, ctx)
    if not replace:
        relations.update(ctx.shelf.relations([step.node]))
    users = [c.lower() for c in table.select.named_selects]
    query = numbered(made, users, step.sequence)
    staged = ctx.engine.write(query, relations, ctx.lake.stage(step.node))
    scan = Scan((staged.path,), staged.columns)
    repeats = _repeats(table, inputs, relations, ctx) if step.replace else ()
    judgement = judge(_promises(table), step.node, scan, ctx, before=not replace)
    if judgement.blocks or repeats:
        staged.path.unlink()
        return Blocked(findings=(*repeats, *judgement.findings))
    records = ctx.shelf.records
    effect = Effect(
        staged=staged,
        judgement=judgement,
        leaves={k: v for node in nodes for k, v in records[node].facts["leaves"].items()},
        replace=replace,
        rejudged=replace,
        facts={
            "epochs": {node: records[node].facts["epoch"] for node in nodes},
            "inputs": {node: records[node].sequence for node in nodes},
        },
    )
    body = {"fingerprint": step.fingerprint, "columns": columns, "definition": table.text}
    return carry_out(step, effect, ctx, body=body)


def _promises(table: Table) -> Contract | None:
    """The contract as far as rows that were computed can break it.

    Their types are those of the SELECT. A key has many versions and one row at a time: that is
    what `_repeats` looks at.
    """
    if table.contract is None:
        return None
    contract = trusting_types(table.contract)
    rules = (
        r for r in contract.rules if not (r.kind == "unique" and set(r.columns) <= {*table.key})
    )
    return dataclasses.replace(contract, rules=tuple(rules))


def _repeats(
    table: Table, inputs: Inputs, relations: Relations, ctx: Context
) -> tuple[Finding, ...]:
    """A join that gives two rows with one declared key at the same time is a mistake."""
    if not table.key or table.row_wise() or shape_of(table.select) != "rows":
        return ()
    query = overlapping(derive(table.select, inputs, table.key, where=table.where))
    ((count,),) = (row.values() for row in ctx.engine.rows(query, relations))
    if not count:
        return ()
    return (
        Finding(
            node=str(table.name),
            rule="key",
            severity=Severity.block,
            message=f"{count:,} rows repeat the key {', '.join(table.key)} at the same time",
            count=int(count),
            measured=float(count),
        ),
    )


def _made(step: Build, table: Table, inputs: Inputs, ctx: Context) -> tuple[bool, exp.Select]:
    """Return whether the result replaces the table, and the query of its versions."""
    record = ctx.shelf.records.get(step.node)
    users = [c.lower() for c in table.select.named_selects]
    if record is not None and not step.replace:
        ((node, _),) = inputs.items()
        held = exp.select("*").from_(rel(step.node))
        return False, news(table, inputs, record.facts["inputs"][node], held)
    changed_definition = record is None or record.body["fingerprint"] != step.fingerprint
    if not changed_definition and shape_of(table.select) == "aggregate":
        return False, changes(table, inputs, stored(step.node, users), ctx.now)
    return True, whole(table, inputs, ctx.now)
