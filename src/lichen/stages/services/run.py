"""Promotion through the gate, and draining a service's logs into tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table
from sqlglot import exp

from lichen.core.errors import ModelError, ServiceError, Where
from lichen.core.names import Name
from lichen.core.sql import col, lit, rel
from lichen.core.steps import Blocked, Done, Drain, Promote, Result
from lichen.core.time import instant
from lichen.ports.lake import Column
from lichen.ports.ledger import Record
from lichen.stages.commit import Effect, carry_out
from lichen.stages.context import Context
from lichen.stages.judge import NOTHING_FOUND
from lichen.stages.models.ask import Inquiry
from lichen.stages.models.bout import Bout, Said, bout
from lichen.stages.models.data import TrainingSet
from lichen.stages.models.gate import Decision, Ground, Verdict, gate
from lichen.stages.models.metric import choose
from lichen.stages.models.run import Learners, load_version, training_rows
from lichen.stages.models.split import split
from lichen.stages.services.tables import LINES, columns_of


def promote(step: Promote, inquiry: Inquiry, learners: Learners, ctx: Context) -> Result:
    """Put a model version to the gate: both models are scored on the challenger's holdout.

    The challenger replaces the champion only if it is not worse by more than the margin. Where
    the comparison itself would be wrong the step is blocked and the champion stays.
    """
    challenger = ctx.shelf.records[step.model].facts
    before = ctx.shelf.records.get(step.node)
    served = before is not None and before.facts["model"] == step.model
    serving = dict(before.facts["serving"]) if before is not None and served else None
    bout = _bout(inquiry, challenger, serving, learners, ctx)
    verdict = _judge(step, inquiry, bout)
    if verdict.finding is not None:
        return Blocked(findings=(verdict.finding,))
    won = verdict.decision is Decision.promoted
    facts = {
        "model": step.model,
        "considered": step.version,
        "serving": _told(challenger) if won else serving,
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "challenger": verdict.challenger,
        "champion": verdict.champion,
        "difference": msgspec.to_builtins(verdict.difference),
        "holdout_rows": len(bout.ground),
        "columns": [],
    }
    ctx.intend(step, {}, facts, ())
    return Done(facts=facts)


def drain(step: Drain, ctx: Context) -> Result:
    """Land the new lines of a service's log, each line once; the cursor is part of the intent."""
    kind = Name.parse(step.node).kind
    lines = [line for entry in step.log for line in _lines(ctx.folder, entry, LINES[kind])]
    types = columns_of(kind)
    columns: dict[str, Any] = {
        name: Array([_text(getattr(line, name)) for line in lines], DataType.utf8())
        for name in types
    }
    query: exp.Query = _numbered(types, step.sequence, ctx)
    given: dict[str, Any] = {"_log": Table.from_pydict(columns)}
    before = ctx.shelf.records.get(step.node)
    grown = before is not None and not set(types) <= {n for n, _ in before.facts["columns"]}
    if grown:  # by an earlier version, whose lines had fewer columns
        given |= ctx.shelf.relations([step.node])
        query = _with_earlier(query, step.node, given[step.node].columns)
    staged = ctx.engine.write(query, given, ctx.lake.stage(step.node))
    cursor = dict(before.facts["cursor"]) if before is not None else {}
    cursor |= {path: end for path, _, end in step.log}
    effect = Effect(
        staged=staged,
        judgement=NOTHING_FOUND,
        seen={step.node: step.sequence},
        replace=grown,
        facts={"cursor": cursor, "texts": _in_texts(lines, before)},
    )
    return carry_out(step, effect, ctx, body={"cursor": cursor})


def _in_texts(lines: Sequence[Any], before: Record | None) -> bool:
    """Whether a class was ever named by a text: then all labels are read as texts."""
    earlier = before is not None and bool(before.facts.get("texts"))
    return earlier or any(isinstance(line.answer, str) for line in lines)


def _with_earlier(news: exp.Query, node: str, columns: Sequence[Column]) -> exp.Query:
    """Return the stored rows, with nothing in the columns that they lack, before the new ones."""
    there = {column.name for column in columns}
    shown = [
        col(name) if name in there else exp.alias_(exp.null(), name, quoted=True)
        for name in news.named_selects
    ]
    return exp.union(exp.select(*shown).from_(rel(node)), news, distinct=False)


def _ground(inquiry: Inquiry, challenger: dict[str, Any], ctx: Context) -> TrainingSet:
    """The newest holdout: what is later than the challenger's training and known by now."""
    begins = challenger["holdout_begins"]
    since = instant(begins) if begins else None
    rows = training_rows(inquiry, ctx, ctx.now, since=since)
    if since is None:
        return split(rows, inquiry.model.holdout, ctx.now).holdout
    known = rows.label_known_at
    labelled = rows.label.notna() & (known <= ctx.now if known is not None else True)
    return rows.rows(labelled.to_numpy(dtype=bool))


def _bout(
    inquiry: Inquiry,
    challenger: dict[str, Any],
    serving: dict[str, Any] | None,
    learners: Learners,
    ctx: Context,
) -> Bout:
    """Ask both models about the newest holdout."""
    ground = _ground(inquiry, challenger, ctx)
    name = inquiry.model.name.name

    def asked(told: dict[str, Any]) -> Said:
        trained = load_version(ctx.folder, name, told["version"], learners, told["sha256"])
        begins = told["holdout_begins"]
        cutoff = instant(begins) if begins else None
        said = trained.predict(ground.frame)
        return Said(str(told["version"]), cutoff, said, trained.task, trained.classes)

    ours, theirs, note = asked(challenger), None, ""
    if serving is not None:
        try:
            theirs = asked(serving)
        except ModelError as error:
            note = f"; version {serving['version']} can no longer be asked: {error.what}"
    return bout(ground, ours, theirs, note)


def _judge(step: Promote, inquiry: Inquiry, on: Bout) -> Verdict:
    model, ground = inquiry.model, on.ground
    begin = ground.at.min().to_pydatetime() if ground.at is not None else None
    group = None if ground.group is None else ground.group.to_numpy()
    verdict = gate(
        step.node,
        on.challenger,
        on.champion,
        Ground(ground.numbers(), group, begin),
        choose(model.metric, on.task),
        margin=model.margin,
        seed=model.seed,
    )
    return dataclasses.replace(verdict, reason=verdict.reason + on.note)


def _told(challenger: dict[str, Any]) -> dict[str, Any]:
    return {key: challenger[key] for key in ("version", "sha256", "holdout_begins", "now")}


def _lines(folder: Path, entry: tuple[str, int, int], type_: type[Any]) -> Iterator[Any]:
    path, start, end = entry
    with (folder / path).open("rb") as file:
        file.seek(start)
        for number, line in enumerate(file.read(end - start).splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=type_)
            except msgspec.DecodeError as error:
                raise ServiceError(
                    f"line {number} after byte {start} of the log does not read: {error}",
                    where=Where(folder / path),
                    hint="the log is only ever appended to by `lichen serve`",
                ) from error


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _numbered(types: dict[str, str], sequence: int, ctx: Context) -> exp.Select:
    id_ = "prediction_id" if "probability" in types else "key"
    known = "at" if "at" in types else "known_at"
    number = exp.Window(this=exp.RowNumber())
    first = exp.cast(lit((sequence << 32) - 1), "bigint")
    key: exp.Expr = col(id_)
    if id_ == "key":
        key = exp.func("coalesce", col("key"), col("prediction_id"))
    cast = [
        exp.alias_(exp.cast(col(name), type_, dialect="duckdb"), name, quoted=True)
        for name, type_ in types.items()
    ]
    return exp.select(
        exp.alias_(exp.Add(this=first, expression=number), "_row"),
        exp.alias_(key, "_key"),
        exp.alias_(exp.cast(col(known), "timestamptz"), "_known_at"),
        exp.alias_(lit(ctx.now), "_arrived_at"),
        exp.alias_(exp.false(), "_deleted"),
        exp.alias_(exp.cast(exp.null(), "bigint[]", dialect="duckdb"), "_from"),
        *cast,
    ).from_(rel("_log"))
