"""The contract's types imposed on source text, without losing what did not cast.

DuckDB casts '1.5' to the integer 2; here a text is an integer only if it has no fraction.
A row of which some text did not cast gets its texts in `_raw` as one JSON object by column: the
column itself is then NULL, and the `COLUMN.type` rule finds the row. All other rows have NULL
there, so the column costs next to nothing to store, and nothing that arrived is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from lichen.core.contract.breaks import RAW, lit_text
from lichen.core.contract.fit import fit, same
from lichen.core.contract.spec import Contract, Property
from lichen.core.sql import col

_IN = "_in"


def impose(
    contract: Contract,
    rows: exp.Query,
    *,
    keep: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
) -> exp.Select:
    """Return the contract's columns cast to their types, the columns in `keep`, and `_raw`.

    `types` are the types that columns already have (DuckDB's spelling); others are text.
    """
    given = {name.lower(): type_ for name, type_ in (types or {}).items()}
    has = {p.name: given.get(p.name.lower(), "VARCHAR") for p in contract.columns}
    values = {p.name: _cast(p, has[p.name]) for p in contract.columns}
    outputs = [_as(values[p.name], p.name) for p in contract.columns]
    texts = {
        p.name: _given(p, has[p.name]) for p in contract.columns if not same(has[p.name], p.type)
    }
    lost = [
        exp.and_(exp.not_(text.copy().is_(exp.null())), values[name].copy().is_(exp.null()))
        for name, text in texts.items()
        if has[name] != "VARCHAR" or _property(contract, name).type != "VARCHAR"
    ]
    kept = [_as(col(name, _IN), name) for name in keep]
    raw = _as(_raw(texts, lost), RAW)
    return exp.select(*outputs, *kept, raw).from_(rows.copy().subquery(exp.to_identifier(_IN)))


def _cast(column: Property, has: str) -> exp.Expr:
    return fit(_given(column, has), column.type, has)


def _given(column: Property, has: str) -> exp.Expr:
    value: exp.Expr = col(column.name, _IN)
    if column.type == "VARCHAR" and has.endswith((")", "]")) and not has.startswith("DECIMAL"):
        return exp.cast(exp.Anonymous(this="to_json", expressions=[value]), "text")  # nested
    if has != "VARCHAR":
        return value
    if column.type != "VARCHAR":
        value = exp.Nullif(this=exp.Trim(this=value), expression=lit_text(""))
    for text in column.missing:
        value = exp.Nullif(this=value, expression=lit_text(text))
    return value


def _raw(texts: Mapping[str, exp.Expr], lost: Sequence[exp.Expr]) -> exp.Expr:
    if not lost:
        return exp.cast(exp.null(), "text")
    fields = [
        exp.PropertyEQ(
            this=exp.to_identifier(name, quoted=True), expression=exp.cast(text.copy(), "text")
        )
        for name, text in texts.items()
    ]
    record = exp.Anonymous(this="to_json", expressions=[exp.Struct(expressions=fields)])
    return exp.case().when(exp.or_(*lost), exp.cast(record, "text"))


def _property(contract: Contract, name: str) -> Property:
    return next(p for p in contract.columns if p.name == name)


def _as(tree: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(tree, exp.to_identifier(name, quoted=True))
