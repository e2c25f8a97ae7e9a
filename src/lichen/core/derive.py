"""A user's SELECT over versions: what it would have returned, at every moment at once.

Each relation in FROM becomes its spans, with user columns named `alias.column`. A join meets
spans that hold at the same time; a left join adds the stretches of time in which no match held.
WHERE and the projections then work on rows as they always do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.schema import MappingSchema

from lichen.core.errors import TableError, Where
from lichen.core.sql import DIALECT, col, rel, tables_in
from lichen.core.versions import (
    before,
    columns_of,
    is_once,
    join_keys,
    key_text,
    ordered,
    present,
    spans,
    written,
)

ALLOWED = ("inner join … on", "left join … on", "using (…)", "where", "expressions of one row")
# Aggregates that sqlglot does not know as such, in DuckDB's spelling.
AGGREGATES = frozenset(
    {"entropy", "favg", "fsum", "geomean", "histogram", "mad", "mean", "product", "sem", "sumkahan"}
)
_CLAUSES = frozenset({"expressions", "from_", "joins", "where", "order", "laterals"})
_NAMED = frozenset({"this", "db", "catalog", "alias"})
_CHANGING = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Rand, exp.Uuid)
_CHANGING_NAMES = frozenset({"now", "get_current_timestamp", "nextval", "transaction_timestamp"})


def is_aggregate(node: exp.Expr) -> bool:
    """Return whether a node calls an aggregate function."""
    known = isinstance(node, exp.AggFunc)
    return known or (isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATES)


def shape_of(select: exp.Query) -> Literal["rows", "aggregate"]:
    """Return whether a SELECT reads its input row by row or needs all rows of a moment.

    One that holds another SELECT counts as the latter: what the inner one needs is not looked into.

    >>> import sqlglot
    >>> shape_of(sqlglot.parse_one("select a + 1 as b from t where a > 2"))
    'rows'
    >>> shape_of(sqlglot.parse_one("select max(a) as b from t"))
    'aggregate'
    """
    clauses = ("group", "having", "distinct", "limit", "offset", "qualify")
    if not isinstance(select, exp.Select) or any(select.args.get(name) for name in clauses):
        return "aggregate"
    if is_nested(select):
        return "aggregate"
    needs_all = any(is_aggregate(n) or isinstance(n, exp.Window) for n in select.walk())
    return "aggregate" if needs_all else "rows"


def derive(
    select: exp.Select,
    inputs: Mapping[str, exp.Query],
    key: Sequence[str] = (),
    *,
    where: Where | None = None,
) -> exp.Select:
    """Return the spans of a row-wise SELECT's result.

    `inputs` holds a versions relation for each name in FROM (lower-cased as written). At each
    moment the result equals the SELECT over the rows current at that moment. `key` names output
    columns that are unique at each moment; without it a row is identified by the keys of the rows
    that it was made of. Column names come out in lower case. Raises TableError for what is not
    row by row.
    """
    tree = qualified(select, inputs, where=where)
    held, *others = _sides(tree, inputs)
    for join, side in zip(tree.args.get("joins") or (), others, strict=True):
        match = _left_join if join.side == "LEFT" else _inner_join
        held = match(held, side, _flat(join.args["on"]))
    return _projected(tree, held, key, where)


def lasts(select: exp.Select, inputs: Mapping[str, exp.Query]) -> bool:
    """Return whether no row of a row-wise SELECT ever ends: none of its inputs' rows do.

    >>> import sqlglot
    >>> from lichen.core.versions import once, stored
    >>> lasts(sqlglot.parse_one("select a from t"), {"t": once(stored("t", ["a"]))})
    True
    """
    joins = select.args.get("joins") or ()
    # A row that stands alone in a left join ends where a match begins.
    inner = not any(join.side for join in joins)
    return inner and all(is_once(inputs[written(table)]) for table in tables_in(select))


def qualified(
    select: exp.Select, inputs: Mapping[str, exp.Query], *, where: Where | None = None
) -> exp.Select:
    """Return a SELECT whose columns all name their relation, stars and USING written out."""
    _refuse_what_mixes_rows(select, where)
    tree = select.copy()
    for table in list(tree.find_all(exp.Table)):
        name = written(table)
        if name not in inputs:
            raise TableError(
                f"nothing is called {name!r}", where=where, allowed=sorted(inputs), given=name
            )
        table.replace(rel(name, table.alias_or_name))
    schema: dict[str, object] = {
        name: {column.lower(): "unknown" for column in columns_of(query)}
        for name, query in inputs.items()
    }
    from sqlglot.optimizer.qualify import qualify  # slow to load, and not every plan needs it

    try:
        tree = qualify(
            tree, dialect=DIALECT, schema=MappingSchema(schema, dialect=DIALECT, normalize=False)
        )
    except OptimizeError as error:
        raise _unresolved(error, inputs, where) from error
    if twice := {name for name in tree.named_selects if tree.named_selects.count(name) > 1}:
        raise TableError(
            f"the column {min(twice)!r} comes out twice",
            where=where,
            hint="name one of them with AS, or leave it out with EXCLUDE",
        )
    return tree


def resolved(tree: exp.Select) -> Callable[[exp.Expr], exp.Expr]:
    """Return what reads declared expressions: a name means an output column of the qualified tree
    before it means an input's."""
    named = dict(zip(tree.named_selects, tree.selects, strict=True))

    def column(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in named:
            return exp.paren(named[node.name.lower()].unalias().copy())
        return node

    return lambda expression: expression.copy().transform(column)


def _sides(tree: exp.Select, inputs: Mapping[str, exp.Query]) -> list[exp.Select]:
    """Return the spans of each relation in FROM order, with the columns that the tree reads."""
    read: dict[str, dict[str, None]] = {}
    for column in tree.find_all(exp.Column):
        read.setdefault(column.table, {})[column.name] = None
    tables = [tree.args["from_"].this, *(join.this for join in tree.args.get("joins") or ())]
    return [_side(inputs[table.name], table.alias, read.get(table.alias, ())) for table in tables]


def _side(versions: exp.Query, alias: str, read: Iterable[str]) -> exp.Select:
    users = [exp.alias_(col(name), f"{alias}.{name}", quoted=True) for name in read]
    own = map(col, ("_key", "_known_at", "_until", "_arrived_at", "_from"))
    return exp.select(*users, *own).from_(spans(versions).subquery("v"))


def _inner_join(left: exp.Select, right: exp.Select, on: exp.Expr) -> exp.Select:
    """Return the pairs that match, each for the time in which both sides hold."""
    matched = _matched(on, columns_of(left), columns_of(right))
    return matched.with_("_l", as_=left).with_("_r", as_=right)


def _left_join(left: exp.Select, right: exp.Select, on: exp.Expr) -> exp.Select:
    """Return the pairs that match, and each left row alone for the time in which none does.

    How many matches hold is a step function of time: +1 where one starts, −1 where one ends; the
    left row stands alone where it is zero.
    """
    users, others = columns_of(left), columns_of(right)
    matched = _matched(on, users, others).select(
        exp.alias_(col("_key", "l"), "_left"), exp.alias_(col("_known_at", "l"), "_since")
    )
    pieces = exp.select(*map(col, (*users, *others, *_PIECE))).from_("_m")
    return (
        exp.select(*map(col, (*users, *others, *_PIECE)))
        .from_(exp.union(pieces, _gaps(users, others), distinct=False).subquery("u"))
        .with_("_l", as_=left)
        .with_("_r", as_=right)
        .with_("_m", as_=matched)
        .with_("_steps", as_=_matches_over_time())
    )


_PIECE = ("_key", "_known_at", "_until", "_arrived_at", "_from")


def _matched(on: exp.Expr, users: Iterable[str], others: Iterable[str]) -> exp.Select:
    def both(function: str, name: str) -> exp.Expr:
        return exp.alias_(exp.func(function, col(name, "l"), col(name, "r")), name)

    together = exp.and_(
        before(col("_known_at", "l"), col("_until", "r")),
        before(col("_known_at", "r"), col("_until", "l")),
    )
    return (
        exp.select(
            *(col(name, "l") for name in users),
            *(col(name, "r") for name in others),
            exp.alias_(join_keys([col("_key", "l"), col("_key", "r")]), "_key"),
            both("greatest", "_known_at"),
            both("least", "_until"),  # least and greatest pass over NULL, which means never here
            both("greatest", "_arrived_at"),
            exp.alias_(exp.func("list_concat", col("_from", "l"), col("_from", "r")), "_from"),
        )
        .from_(rel("_l", "l"))
        .join(rel("_r", "r"), on=exp.and_(on, together))
    )


def _matches_over_time() -> exp.Select:
    """Return for each left row the moments at which the number of its matches may change."""

    def edges(source: str, key: str, since: str, at: str, delta: int) -> exp.Select:
        named = {"_left": col(key), "_since": col(since), "_at": col(at), "_d": exp.convert(delta)}
        return exp.select(*(exp.alias_(e, name) for name, e in named.items())).from_(source)

    ends = edges("_m", "_left", "_since", "_until", -1).where(present("_until"))
    starts = edges("_m", "_left", "_since", "_known_at", 1)
    opening = edges("_l", "_key", "_known_at", "_known_at", 0)
    every = exp.union(exp.union(opening, starts, distinct=False), ends, distinct=False)
    row = [col("_left"), col("_since")]

    def over(function: exp.Expr) -> exp.Expr:
        return exp.Window(this=function, partition_by=row, order=ordered("_at"))

    total = exp.Sum(this=exp.Sum(this=col("_d")))
    return (
        exp.select(
            *row,
            col("_at"),
            exp.alias_(over(exp.Lead(this=col("_at"))), "_next"),
            exp.alias_(over(total), "_open"),
        )
        .from_(every.subquery("e"))
        .group_by(*row, col("_at"))
    )


def _gaps(users: Iterable[str], others: Iterable[str]) -> exp.Select:
    nobody = exp.array(exp.cast(exp.null(), "bigint"))
    alone = exp.and_(
        exp.EQ(this=col("_open", "s"), expression=exp.convert(0)),
        before(col("_at", "s"), col("_until", "l")),
    )
    same = exp.and_(
        exp.EQ(this=col("_key", "l"), expression=col("_left", "s")),
        exp.EQ(this=col("_known_at", "l"), expression=col("_since", "s")),
    )
    return (
        exp.select(
            *(col(name, "l") for name in users),
            *(exp.alias_(exp.null(), name, quoted=True) for name in others),
            exp.alias_(join_keys([col("_key", "l"), exp.null()]), "_key"),
            exp.alias_(col("_at", "s"), "_known_at"),
            exp.alias_(exp.func("coalesce", col("_next", "s"), col("_until", "l")), "_until"),
            col("_arrived_at", "l"),
            exp.alias_(exp.func("list_concat", col("_from", "l"), nobody), "_from"),
        )
        .from_(rel("_l", "l"))
        .join(rel("_steps", "s"), on=same)
        .where(alone)
    )


def _projected(
    tree: exp.Select, held: exp.Select, key: Sequence[str], where: Where | None
) -> exp.Select:
    names = tree.named_selects
    if unknown := [name for name in key if name.lower() not in names]:
        raise TableError(
            f"the key {unknown[0]!r} is not a column of the SELECT",
            where=where,
            allowed=names,
            given=unknown[0],
        )
    own = ("_known_at", "_until", "_arrived_at", "_from")
    rows = exp.select(*map(_flat, tree.selects), col("_key"), *map(col, own)).from_(
        held.subquery("h")
    )
    if condition := tree.args.get("where"):
        rows = rows.where(_flat(condition.this))
    if not key:
        return rows
    text = exp.alias_(key_text([name.lower() for name in key]), "_key")
    return exp.select(*map(col, names), text, *map(col, own)).from_(rows.subquery("p"))


def _flat(tree: exp.Expr) -> exp.Expr:
    """Return an expression over `alias.column` names instead of columns of several relations."""
    return tree.transform(
        lambda node: col(f"{node.table}.{node.name}") if isinstance(node, exp.Column) else node
    )


def _refuse_what_mixes_rows(select: exp.Select, where: Where | None) -> None:
    if not select.args.get("from_"):
        raise TableError("this SELECT reads nothing", where=where, hint="add a FROM")
    reasons = (*_whole(select), *map(_relation, _relations(select)), *map(_node, select.walk()))
    if what := next(filter(None, (*map(_join, select.args.get("joins") or ()), *reasons)), None):
        raise TableError(
            f"{what} cannot be followed over time, row by row", where=where, allowed=ALLOWED
        )


def _whole(select: exp.Select) -> Iterable[str]:
    if is_nested(select):
        yield "a subquery"
    elif shape_of(select) == "aggregate":
        yield "a SELECT that aggregates"
    for clause in sorted(name for name, value in select.args.items() if value):
        if clause not in _CLAUSES:
            yield f"the clause {clause.rstrip('_')!r}"


def is_nested(select: exp.Select) -> bool:
    """Return whether a SELECT holds another one: under WITH, in FROM, or in an expression."""
    return bool(select.args.get("with_")) or sum(1 for _ in select.find_all(exp.Query)) > 1


def _relations(select: exp.Select) -> Iterable[exp.Expr]:
    yield select.args["from_"].this
    yield from (join.this for join in select.args.get("joins") or ())
    yield from select.args.get("laterals") or ()


def _join(join: exp.Join) -> str | None:
    kind = " ".join(word for word in (join.method, join.side, join.kind) if word)
    if kind not in {"", "INNER", "LEFT", "LEFT OUTER"}:
        return f"a {kind.lower()} join"
    return None if join.args.get("on") or join.args.get("using") else "a join without condition"


def _relation(relation: exp.Expr) -> str | None:
    extra = {name for name, value in relation.args.items() if value} - _NAMED
    plain = isinstance(relation, exp.Table) and isinstance(relation.this, exp.Identifier)
    return None if plain and not extra else f"reading {relation.sql(dialect=DIALECT)}"


def _node(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Explode | exp.Unnest):
        return "unnest"
    by_name = isinstance(node, exp.Anonymous) and node.name.lower() in _CHANGING_NAMES
    if by_name or isinstance(node, _CHANGING):
        return f"{node.sql(dialect=DIALECT)}, whose value changes by itself,"
    return None


def _unresolved(
    error: OptimizeError, inputs: Mapping[str, exp.Query], where: Where | None
) -> TableError:
    """Return the error for a column that no input holds (or that several do)."""
    text = str(error).split(" Line:")[0].rstrip(".")
    name = text.split("'")[1] if text.count("'") >= 2 else None
    columns = sorted({column for query in inputs.values() for column in columns_of(query)})
    if name in columns:
        return TableError(
            f"the column {name!r} is held by several inputs", where=where, hint="write input.column"
        )
    if "could not be resolved" not in text:
        return TableError(f"this SELECT does not resolve: {text}", where=where)
    return TableError(f"there is no column {name!r}", where=where, allowed=columns, given=name)
