"""SQL that gives a text, or a value of another type, a contract's type: all of it, or NULL.

A nested type is told as JSON. DuckDB's own cast from JSON makes NULL of a field that does not fit,
and 2 of 1.5; here one such field, or another kind of JSON than the type asks for, is no value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sqlglot import exp

from lichen.core.contract.types import INTEGERS, kind_of
from lichen.core.sql import lit

_NESTED = (exp.DType.STRUCT, exp.DType.LIST, exp.DType.ARRAY)


def fit(value: exp.Expr, type_: str, has: str = "VARCHAR") -> exp.Expr:
    """Return a value that `has` a type as one of another type, or NULL where it does not fit.

    >>> fit(exp.column("x"), "BOOLEAN").sql("duckdb")
    'TRY_CAST(x AS BOOLEAN)'
    """
    if same(has, type_):
        return value
    kind = kind_of(type_)
    if kind.this in _NESTED:
        json = exp.TryCast(this=_told(value, has), to=exp.DataType.build("json"), safe=True)
        return exp.case().when(exp.not_(_lost(json, kind)), _built(json, kind))
    cast = exp.TryCast(this=value, to=kind.copy(), safe=True)
    if type_ not in INTEGERS or has in INTEGERS:
        return cast
    number = exp.TryCast(this=value.copy(), to=exp.DataType.build("double"), safe=True)
    whole = number.copy().eq(exp.Floor(this=number))
    return exp.case().when(whole, cast)


def same(one: str, other: str) -> bool:
    """Return whether two spellings are of the same type.

    >>> same('STRUCT(a DECIMAL(4,2))', 'STRUCT("a" DECIMAL(4, 2))'), same("BIGINT", "INTEGER")
    (True, False)
    """
    return one == other or _plain(one) == _plain(other)


@cache
def _plain(type_: str) -> str:
    return kind_of(type_).sql("duckdb", identify=True)


def _told(value: exp.Expr, has: str) -> exp.Expr:
    """Return a value as JSON's text. Within it all is text, so that no digit gets lost."""
    kind = kind_of(has)
    if kind.this not in _NESTED:
        return value if has == "VARCHAR" else exp.cast(value, "text")
    texts = exp.cast(value, _of_texts(kind))
    return exp.cast(exp.Anonymous(this="to_json", expressions=[texts]), "text")


def _of_texts(kind: exp.DataType) -> exp.DataType:
    found = kind.copy()
    for inner in list(found.find_all(exp.DataType)):
        if inner.this not in _NESTED:
            inner.replace(exp.DataType.build("text"))
    return found


def _built(json: exp.Expr, kind: exp.DataType, depth: int = 0) -> exp.Expr:
    """Return what JSON holds as a value; what fits nowhere is NULL in it."""
    if kind.this == exp.DType.STRUCT:
        fields = [
            exp.PropertyEQ(
                this=exp.to_identifier(field.name, quoted=True),
                expression=_built(_field(json, field), field.args["kind"], depth),
            )
            for field in kind.expressions
        ]
        return exp.case().when(_is(json, "OBJECT"), exp.Struct(expressions=fields))
    if kind.this in _NESTED:
        each = _each(json, lambda item: _built(item, kind.expressions[0], depth + 1), depth)
        return exp.case().when(_is(json, "ARRAY"), each)
    return fit(_leaf(json, kind), _spelled(kind))


def _lost(json: exp.Expr, kind: exp.DataType, depth: int = 0) -> exp.Expr:
    """Return whether JSON holds something that does not fit; NULL and what is missing do."""
    if kind.this == exp.DType.STRUCT:
        lost = [_lost(_field(json, f), f.args["kind"], depth) for f in kind.expressions]
        return _unless(json, "OBJECT", exp.or_(*lost))
    if kind.this in _NESTED:
        each = _each(json, lambda item: _lost(item, kind.expressions[0], depth + 1), depth)
        some = exp.Anonymous(this="list_bool_or", expressions=[each])
        return _unless(json, "ARRAY", exp.func("coalesce", some, exp.false()))
    if kind.this in (exp.DType.TEXT, exp.DType.VARCHAR):
        return exp.false()
    text = _leaf(json, kind)
    value = fit(text.copy(), _spelled(kind))
    return exp.and_(exp.not_(text.is_(exp.null())), value.is_(exp.null()))


def _unless(json: exp.Expr, wanted: str, lost: exp.Expr) -> exp.Expr:
    nothing = exp.func("coalesce", _type(json), lit("NULL")).eq(lit("NULL"))
    return exp.case().when(nothing, exp.false()).when(_is(json, wanted), lost).else_(exp.true())


def _each(json: exp.Expr, what: Callable[[exp.Expr], exp.Expr], depth: int) -> exp.Expr:
    name = exp.to_identifier(f"_item{depth}", quoted=True)
    items = exp.cast(json.copy(), "json[]", dialect="duckdb")
    change = exp.Lambda(this=what(exp.column(name.copy())), expressions=[name])
    return exp.Anonymous(this="list_transform", expressions=[items, change])


def _field(json: exp.Expr, field: exp.Expr) -> exp.Expr:
    pointer = "/" + field.name.replace("~", "~0").replace("/", "~1")
    return exp.Anonymous(this="json_extract", expressions=[json.copy(), lit(pointer)])


def _leaf(json: exp.Expr, kind: exp.DataType) -> exp.Expr:
    text = exp.Anonymous(this="json_extract_string", expressions=[json.copy(), lit("$")])
    if kind.this in (exp.DType.TEXT, exp.DType.VARCHAR):
        return text
    return exp.Nullif(this=exp.Trim(this=text), expression=exp.Literal.string(""))


def _is(json: exp.Expr, wanted: str) -> exp.Expr:
    return _type(json).eq(lit(wanted))


def _type(json: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="json_type", expressions=[json.copy()])


def _spelled(kind: exp.DataType) -> str:
    """Return a leaf's type as contracts spell it."""
    spelled = kind.sql("duckdb")
    return {"TEXT": "VARCHAR", "INT": "INTEGER"}.get(spelled, spelled)
