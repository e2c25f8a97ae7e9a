"""How what arrives differs in shape from what arrived before: seen, told, and dealt with by policy.

A contract says what rows promise; drift is what changes without anybody breaking a promise, or
before anybody knew that there was one to make. `evolve` lands it and tells, `freeze` blocks the
landing, `quarantine` holds the rows back that show it. Pure, but for `look`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlglot import exp

from lichen.core.contract.breaks import RAW
from lichen.core.contract.spec import DRIFT, Rule
from lichen.core.contract.types import INTEGERS, is_number
from lichen.core.findings import Finding, Severity
from lichen.core.sql import col, lit, rel
from lichen.ports.engine import Engine
from lichen.stages.sources.spec import Source

Policy = Literal["evolve", "freeze", "quarantine"]
Kind = Literal[
    "added", "removed", "renamed", "reordered", "widened", "narrowed", "type", "nullable",
    "unit", "values", "nested", "encoding",
]  # fmt: skip
ENOUGH = 20  # rows of which a share tells something
SHARE = 0.05  # of a column's values: fewer are bad rows, and the contract's rules speak of them
JUMP = 5.0  # how far the middle of a column's values moves when its unit changes
FEW = 40  # different values of a column that is an enumeration
_WIDER = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")
_GARBLED = "Ã[\u0080-\u00bf]|â€|\ufffd"  # UTF-8 that was read as Latin-1, and what replaces bytes


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one column: `values` are those of an enumeration."""

    filled: int = 0
    unfit: int = 0  # texts that are not of the column's type
    wider: int = 0  # those of them that are numbers
    middle: float | None = None
    values: list[str] | None = None
    structure: str | None = None
    garbled: int = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a landing; `more` are fields that the contract does not name.

    `header` are the columns in their order with their types, where the source has such a thing.
    """

    rows: int = 0
    columns: dict[str, Seen] = {}
    more: list[str] = []
    header: list[tuple[str, str]] = []
    broken: int = 0  # records that are no text in UTF-8


@dataclass(frozen=True)
class Drift:
    """One difference; `keeps` is true for the rows that do not show it, None where all do."""

    kind: Kind
    column: str
    message: str
    keeps: exp.Expr | None = None
    harmless: bool = False  # rows are read as ever: there is nothing to hold back


def look(
    source: Source, header: Sequence[tuple[str, str]], broken: int, relations: Any, engine: Engine
) -> Profile:
    """Return the profile of the rows in the relation `_told`."""
    contract = {column.name: column.type for column in source.contract.columns}
    outputs = [exp.alias_(exp.Count(this=exp.Star()), "rows")]
    for nth, (name, type_) in enumerate(contract.items()):
        measures = _measures(name, type_)
        outputs += [exp.alias_(tree, f"{what}_{nth}") for what, tree in measures.items()]
    (found,) = engine.rows(exp.select(*outputs).from_(rel("_told")), relations)
    keys = exp.Unnest(expressions=[exp.Anonymous(this="json_keys", expressions=[col(RAW)])])
    named = exp.select(exp.alias_(keys, "key")).distinct().from_(rel("_told"))
    more = {str(row["key"]) for row in engine.rows(named, relations)} - set(contract)
    few = {
        name: nth
        for nth, name in enumerate(contract)
        if 0 < (found.get(f"kinds_{nth}") or 0) <= FEW
    }
    values = _values(few, relations, engine)
    columns = {
        name: Seen(
            filled=int(found[f"filled_{nth}"]),
            unfit=int(found.get(f"unfit_{nth}") or 0),
            wider=int(found.get(f"wider_{nth}") or 0),
            middle=found.get(f"middle_{nth}"),
            values=values.get(name),
            structure=found.get(f"structure_{nth}"),
            garbled=int(found.get(f"garbled_{nth}") or 0),
        )
        for nth, name in enumerate(contract)
    }
    return Profile(
        rows=int(found["rows"]), columns=columns, more=sorted(more), header=list(header),
        broken=broken,
    )  # fmt: skip


def _measures(name: str, type_: str) -> dict[str, exp.Expr]:
    found: dict[str, exp.Expr] = {"filled": exp.Count(this=col(name))}
    text = _text_of(name)
    if type_ != "VARCHAR":
        unfit = exp.and_(col(name).is_(exp.null()), exp.not_(text.is_(exp.null())))
        found["unfit"] = exp.CountIf(this=unfit)
    if is_number(type_):
        number = exp.TryCast(this=text.copy(), to=exp.DataType.build("double"), safe=True)
        found["wider"] = exp.CountIf(this=exp.not_(number.is_(exp.null())))
        size = exp.Abs(this=exp.cast(col(name), "double"))
        positive = exp.Nullif(this=size, expression=lit(0))
        found["middle"] = exp.Anonymous(
            this="approx_quantile", expressions=[positive, exp.Literal.number("0.5")]
        )
    if type_ == "VARCHAR":
        found["kinds"] = exp.Anonymous(this="approx_count_distinct", expressions=[col(name)])
        garbled = exp.Anonymous(this="regexp_matches", expressions=[col(name), lit(_GARBLED)])
        found["garbled"] = exp.CountIf(this=garbled)
        opens = exp.Anonymous(this="starts_with", expressions=[col(name), lit("{")])
        valid = exp.Anonymous(this="json_valid", expressions=[col(name)])
        document = exp.case().when(exp.and_(opens, valid), exp.cast(col(name), "json"))
        structure = exp.Anonymous(this="json_group_structure", expressions=[document])
        found["structure"] = exp.cast(structure, "varchar")
    return found


def _values(few: Mapping[str, int], relations: Any, engine: Engine) -> dict[str, list[str]]:
    if not few:
        return {}
    lists = [
        exp.alias_(exp.ArrayAgg(this=exp.Distinct(expressions=[col(name)])), f"values_{nth}")
        for name, nth in few.items()
    ]
    (found,) = engine.rows(exp.select(*lists).from_(rel("_told")), relations)
    return {
        name: sorted(value for value in found[f"values_{nth}"] or () if value is not None)
        for name, nth in few.items()
    }


def _text_of(name: str) -> exp.Expr:
    """The text that a row had where a value should be."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return exp.Anonymous(this="json_extract_string", expressions=[col(RAW), lit(pointer)])


def drifts(before: Profile | None, now: Profile, source: Source) -> tuple[Drift, ...]:
    """Return how a landing differs from what arrived before it; the first differs from nothing."""
    if before is None or not before.rows or not now.rows:
        return ()
    found = [*_columns(before, now, source), *_header(before, now)]
    for column in source.contract.columns:
        was, is_ = before.columns.get(column.name, Seen()), now.columns[column.name]
        found += _values_of(column.name, column.type, was, is_, before, now)
    if now.broken and not before.broken:
        what = f"{now.broken:,} records are no text in UTF-8"
        found.append(Drift("encoding", "", what, harmless=True))  # they are held back as they are
    return tuple(found)


def _columns(before: Profile, now: Profile, source: Source) -> Iterator[Drift]:
    added = [name for name in now.more if name not in before.more]
    removed = [c.name for c in source.contract.columns if _gone(c.name, before, now)]
    for old in list(removed):
        near = difflib.get_close_matches(old, added, 1, 0.6) or (
            added if len(added) == len(removed) == 1 else []
        )
        if near:
            what = f"{old!r} is no longer there, and {near[0]!r} is new: it seems to be renamed"
            yield Drift("renamed", old, what)
            removed.remove(old)
            added.remove(near[0])
    for name in added:
        keeps = _not_there(name)
        yield Drift(
            "added", name, f"the column {name!r} is new; the contract does not name it", keeps
        )
    for name in removed:
        yield Drift("removed", name, f"the column {name!r} is no longer there")


def _gone(name: str, before: Profile, now: Profile) -> bool:
    if now.header:
        return name.lower() not in {column.lower() for column, _ in now.header}
    was, is_ = before.columns.get(name, Seen()), now.columns[name]
    often = was.filled >= before.rows / 2
    return now.rows >= ENOUGH and often and not (is_.filled or is_.unfit)


def _not_there(name: str) -> exp.Expr:
    return _text_of(name).is_(exp.null())


def _header(before: Profile, now: Profile) -> Iterator[Drift]:
    was, is_ = dict(before.header), dict(now.header)
    shared = [name for name, _ in before.header if name in is_]
    if shared != [name for name, _ in now.header if name in was]:
        what = "the columns come in another order; they are read by their names"
        yield Drift("reordered", "", what, harmless=True)
    for name in shared:
        if was[name] == is_[name]:
            continue
        what = f"{name!r} was {was[name]} and is {is_[name]}"
        both = [_WIDER.index(t) for t in (was[name], is_[name]) if t in _WIDER]
        if len(both) == 2 and both[1] < both[0]:
            yield Drift("narrowed", name, what, harmless=True)
        elif len(both) == 2:
            yield Drift("widened", name, what, _fits(name))
        elif {was[name].split("(")[0], is_[name].split("(")[0]} & {"STRUCT"}:
            yield Drift("nested", name, what)
        else:
            yield Drift("type", name, what)


def _fits(name: str) -> exp.Expr:
    return _text_of(name).is_(exp.null())


def _values_of(
    name: str, type_: str, was: Seen, is_: Seen, before: Profile, now: Profile
) -> Iterator[Drift]:
    told = is_.filled + is_.unfit
    if is_.unfit > max(was.unfit, SHARE * told):
        share = f"{is_.unfit / told:.0%} of the values"
        if type_ in INTEGERS and is_.wider > is_.unfit / 2:
            yield Drift(
                "widened", name, f"{name}: {share} are numbers, but no {type_}", _fits(name)
            )
        else:
            yield Drift("type", name, f"{name}: {share} are no {type_}", _fits(name))
    nulls, none = now.rows - told, before.rows - was.filled - was.unfit == 0
    if none and before.rows >= ENOUGH and now.rows > nulls > SHARE * now.rows:
        what = f"{name} was always filled, and {nulls / now.rows:.0%} of the rows lack it"
        yield Drift("nullable", name, what, exp.not_(col(name).is_(exp.null())))
    if _jumps(was, is_):
        what = (
            f"the middle of {name} went from {was.middle:,.6g} to {is_.middle:,.6g}: another unit?"
        )
        yield Drift("unit", name, what, col(name).is_(exp.null()))
    new = sorted(set(is_.values or ()) - set(was.values or ()))
    if was.values and new and was.filled >= 5 * len(was.values):
        some = ", ".join(map(repr, new[:3])) + (", …" if len(new) > 3 else "")
        keeps = exp.or_(col(name).is_(exp.null()), exp.not_(col(name).isin(*map(lit, new))))
        yield Drift("values", name, f"{name} has values that it never had: {some}", keeps)
    elif was.values and is_.values is None and is_.filled:
        yield Drift("values", name, f"{name} had {len(was.values)} values, and now has many")
    if was.structure and is_.structure and was.structure != is_.structure:
        what = f"the documents in {name} have another structure: {is_.structure}"
        yield Drift("nested", name, what)
    if is_.garbled > SHARE * is_.filled and not was.garbled:
        garbled = exp.Anonymous(this="regexp_matches", expressions=[col(name), lit(_GARBLED)])
        keeps = exp.or_(col(name).is_(exp.null()), exp.not_(garbled))
        yield Drift("encoding", name, f"{name}: texts were read in another encoding", keeps)


def _jumps(was: Seen, is_: Seen) -> bool:
    if min(was.filled, is_.filled) < ENOUGH or not was.middle or not is_.middle:
        return False
    return not 1 / JUMP < is_.middle / was.middle < JUMP


def after(before: Profile | None, now: Profile, held: Sequence[object]) -> Profile:
    """Return what later landings are compared with: what was held back teaches nothing."""
    if before is None:
        return now
    if held:
        return before
    columns = dict(now.columns)
    for name, was in before.columns.items():
        is_ = columns.get(name, Seen())
        known = sorted({*(was.values or ()), *(is_.values or ())})
        many = (was.values is None and was.filled > 0) or (is_.values is None and is_.filled > 0)
        columns[name] = msgspec.structs.replace(
            is_,
            filled=was.filled + is_.filled,
            unfit=was.unfit + is_.unfit,
            middle=is_.middle if is_.filled >= ENOUGH else was.middle,
            values=None if many or len(known) > FEW else known,
            structure=is_.structure or was.structure,
            garbled=was.garbled + is_.garbled,
        )
    return Profile(
        rows=before.rows + now.rows,
        columns=columns,
        more=sorted({*before.more, *now.more}),
        header=now.header or before.header,
        broken=before.broken + now.broken,
    )


def findings(found: Sequence[Drift], policy: Policy, node: str, rows: int) -> list[Finding]:
    """Return what is told of drift: it blocks where it must not land, else it warns."""
    severity = Severity.block if policy == "freeze" else Severity.warn
    told = [d for d in found if policy != "quarantine" or d.harmless]
    return [
        Finding(
            node=node,
            rule=_rule_id(drift),
            severity=severity,
            message=drift.message + (_NEXT if policy == "freeze" else ""),
            count=rows,
            measured=float(rows),
        )
        for drift in told
    ]


_NEXT = "; nothing landed: change the contract, or say on_drift: evolve"


def rules(found: Sequence[Drift], source: Source) -> tuple[Rule, ...]:
    """Return rules that hold back the rows which show drift."""
    return tuple(
        Rule(
            _rule_id(drift),
            "row_sql",
            Severity.quarantine,
            source.where,
            column=None,
            sql=drift.keeps if drift.keeps is not None else exp.false(),
            description=drift.message,
        )
        for drift in found
        if not drift.harmless
    )


def _rule_id(drift: Drift) -> str:
    return f"{DRIFT}{drift.kind}" + (f".{drift.column}" if drift.column else "")
