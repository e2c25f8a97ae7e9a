"""Running a function that gives a table: its inputs as they are current now, its rows as promised.

What such a function does with rows is not known, so that only it can say when they became known:
it is given `_known_at` with each input row, and a `_known_at` that it gives is taken. Without one
its rows are known from this build on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from arro3.core import Table
from sqlglot import exp

from lichen.core.contract.types import MOMENT, is_number
from lichen.core.errors import TableError, Where
from lichen.core.findings import Finding, Severity
from lichen.core.pyrun import call
from lichen.core.sql import col, rel
from lichen.core.time import Instant, iso
from lichen.core.versions import columns_of, current
from lichen.ports.engine import Engine, Relations
from lichen.stages.context import NOW
from lichen.stages.tables.function import RETURNED, Function

KNOWN = "_known_at"


class Returned(NamedTuple):
    """What a function gave, as it is promised; whether it said when its rows became known."""

    rows: Table
    dated: bool


def returned(
    function: Function,
    inputs: Mapping[str, exp.Query],
    relations: Relations,
    engine: Engine,
    root: Path,
    now: Instant,
) -> Returned:
    """Return what the function gives at `now`: its columns in their types, and `_known_at`.

    `inputs` has the versions relation of each id in `function.inputs`. Raises TableError with a
    place in the user's code.
    """
    _refuse_missing(function)
    bound = {"now": iso(now)}
    given = [
        _GIVEN[frame](engine, _rows(inputs[name]), relations, bound)
        for name, frame in zip(function.inputs, function.frames, strict=True)
    ]
    found = call(
        function.path,
        function.name,
        root,
        given,
        what=function.name,
        error=TableError,
        hint="it is given one table for each argument, and returns one",
    )
    return _as_promised(function, _relation(found, function), engine, bound)


def undated(node: str, function: Function, rows: int) -> tuple[Finding, ...]:
    """Return the warning that features with as many new rows do not say when these were known."""
    if not function.events or not rows:
        return ()
    counted = f"{rows:,} {'row counts' if rows == 1 else 'rows count'}"
    return (
        Finding(
            node=node,
            rule="known_at",
            severity=Severity.warn,
            message=f"{counted} as known only from this run on, and no question about an earlier "
            f"time sees them: {function.name} returns no column {KNOWN}",
            count=rows,
            measured=float(rows),
        ),
    )


def _refuse_missing(function: Function) -> None:
    for library in {"pandas", "polars"} & set(function.frames):
        if find_spec(library) is None:
            raise TableError(
                f"{function.name} asks for a DataFrame of {library}, which is not installed",
                where=Where(function.path, function.line),
                hint=f"pip install 'lichen[{library}]', or leave the annotation away for Arrow",
            )


def _rows(versions: exp.Query) -> exp.Select:
    """Return the rows that are current now, in the order of their arrival."""
    shown = (*columns_of(versions), KNOWN)
    held = current(versions, NOW)
    return exp.select(*map(col, shown)).from_(held.subquery("h")).order_by(col("_row"))


def _polars(engine: Engine, *asked: Any) -> Any:
    return import_module("polars").DataFrame(engine.arrow(*asked))


_GIVEN: Mapping[str, Callable[..., Any]] = {
    "arrow": lambda engine, *asked: engine.arrow(*asked),
    "pandas": lambda engine, *asked: engine.frame(*asked),
    "polars": _polars,
}


def _relation(found: Any, function: Function) -> Any:
    """Return what a function gave as the engine reads it."""
    if type(found).__module__.partition(".")[0] == "pandas" and hasattr(found, "columns"):
        return found  # without pyarrow it speaks no Arrow, but the engine reads it
    if type(found).__module__.partition(".")[0] == "polars" and hasattr(found, "collect"):
        found = found.collect()  # a LazyFrame
    if not hasattr(found, "__arrow_c_stream__"):
        raise TableError(
            f"{function.name} returned {_a(found)}",
            where=Where(function.path, function.line),
            allowed=("an Arrow table", "a DataFrame of pandas or Polars"),
        )
    return Table.from_arrow(found)


def _a(found: Any) -> str:
    return "nothing" if found is None else f"a value of the type {type(found).__name__}"


def _as_promised(
    function: Function, found: Any, engine: Engine, bound: Mapping[str, str]
) -> Returned:
    relations = {RETURNED: found}
    there = {c.name: c.type for c in engine.columns(exp.select("*").from_(_GAVE), relations)}
    names = _promised(function, there, found)
    wanted = {names[name]: type_ for name, type_ in function.types.items()}
    known: exp.Expr = NOW
    if KNOWN in there:
        wanted[KNOWN] = MOMENT
        known = exp.cast(col(KNOWN), MOMENT, dialect="duckdb")
    _refuse_lossy(function, {n: (there[n], t) for n, t in wanted.items() if there[n] != t}, engine,
                  relations)  # fmt: skip
    shown = [
        exp.alias_(exp.cast(col(names[name]), type_, dialect="duckdb"), name, quoted=True)
        for name, type_ in function.types.items()
    ]
    query = exp.select(*shown, exp.alias_(known.copy(), KNOWN)).from_(_GAVE.copy())
    return Returned(Table.from_arrow(engine.arrow(query, relations, bound)), KNOWN in there)


_GAVE = rel(RETURNED)


def _promised(function: Function, there: Mapping[str, str], found: Any) -> dict[str, str]:
    """Return the columns that are promised, as they are spelled in what was given."""
    by_name = {name.lower(): name for name in there}
    where = Where(function.path, function.line)
    for name in function.types:
        if name.lower() not in by_name:
            index = [n for n in getattr(getattr(found, "index", None), "names", ()) if n]
            raise TableError(
                f"{function.name} returned no column {name!r}",
                where=where,
                allowed=[n for n in there if n != KNOWN],
                given=name,
                hint="it is in the index: return frame.reset_index()" if name in index else None,
            )
    promised = {name.lower() for name in function.types}
    for name in there:
        if name.lower() not in promised and name != KNOWN:
            raise TableError(
                f"{function.name} returned a column {name!r} that is not declared",
                where=where,
                allowed=function.types,
                given=name,
                hint="declare it, in the contract or in columns={…}, or leave it out",
            )
    return {name: by_name[name.lower()] for name in function.types}


def _refuse_lossy(
    function: Function,
    casts: Mapping[str, tuple[str, str]],
    engine: Engine,
    relations: Relations,
) -> None:
    """Raise TableError for the first column of which a value would be lost in its type."""
    if not casts:
        return
    counts = []
    for index, (name, (has, wants)) in enumerate(casts.items()):
        lost = _lost(name, has, wants)
        examples = exp.Filter(
            this=exp.AnyValue(this=exp.cast(col(name), "varchar")),
            expression=exp.Where(this=lost.copy()),
        )
        counts += [
            exp.alias_(exp.CountIf(this=lost), f"n{index}"),
            exp.alias_(examples, f"x{index}"),
        ]
    (told,) = engine.rows(exp.select(*counts).from_(_GAVE.copy()), relations)
    for index, (name, (has, wants)) in enumerate(casts.items()):
        if count := told[f"n{index}"]:
            raise TableError(
                f"{function.name} returned {name} as {has.lower()}, of which {count:,} "
                f"{'value is' if count == 1 else 'values are'} no {wants.lower()}, such as "
                f"{told[f'x{index}']!r}",
                where=Where(function.path, function.line),
                hint="change the type that is declared, or what is returned",
            )


def _lost(name: str, has: str, wants: str) -> exp.Expr:
    """Return whether a value does not survive the cast; DuckDB would make a 2 of 1.5."""
    value = col(name)
    cast = exp.TryCast(this=value, to=exp.DataType.build(wants, dialect="duckdb"), safe=True)
    gone: exp.Expr = cast.copy().is_(exp.null())
    if is_number(has) and is_number(wants) and wants not in ("FLOAT", "DOUBLE"):
        gone = exp.or_(gone, exp.NEQ(this=cast, expression=value.copy()))
    return exp.and_(exp.not_(value.copy().is_(exp.null())), exp.paren(gone))
