"""Row versions and the spans of time in which they hold: pure functions from tree to tree.

A *versions* relation is what Lichen stores: user columns, `_row`, `_key`, `_known_at`,
`_arrived_at`, `_deleted`. A *spans* relation says the same as intervals: a row holds from
`_known_at` until just before `_until` (NULL: to this day). Both are queries whose projections
are named, so that a tree alone tells its columns. A versions relation of which each key has but
one version says so (`once`): nothing ever replaces a row of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from sqlglot import exp

from lichen.core.sql import col, given, rel, tables_in

STORED = ("_row", "_key", "_known_at", "_arrived_at", "_deleted")
OWN = (*STORED, "_until", "_apart", "_from", "_file", "_line")
SEPARATOR, NOTHING = 31, 30  # between the parts of a composite key; in place of a NULL part


def columns_of(query: exp.Query) -> tuple[str, ...]:
    """Return the columns of a relation that are not Lichen's own.

    >>> columns_of(stored("tables.landed", ["flight", "delay"]))
    ('flight', 'delay')
    """
    return tuple(name for name in query.named_selects if name not in OWN)


def stored(name: str, columns: Iterable[str]) -> exp.Select:
    """Return the versions relation that is stored under `name` and has these user columns."""
    return exp.select(*map(col, (*columns, *STORED))).from_(rel(name))


def once(versions: exp.Select, apart: Sequence[exp.Expr] = ()) -> exp.Select:
    """Return a versions relation that says of itself that each key has but one version.

    `apart` are values that no two rows share, where such are known. Both must be certain.

    >>> is_once(once(stored("tables.landed", ["flight"])))
    True
    """
    said = versions.select(exp.alias_(exp.cast(exp.null(), "timestamptz"), "_until"))
    values = exp.Tuple(expressions=[part.copy() for part in apart])
    return said.select(exp.alias_(values, "_apart")) if apart else said


def is_once(versions: exp.Query) -> bool:
    """Return whether a versions relation says of itself that each key has but one version.

    >>> is_once(stored("tables.landed", ["flight"]))
    False
    """
    return "_until" in versions.named_selects


def apart(versions: exp.Query) -> Sequence[exp.Expr]:
    """Return the values that no two rows share, as far as the relation says so.

    >>> [part.sql() for part in apart(once(stored("tables.landed", ["flight"]), [col("flight")]))]
    ['"flight"']
    """
    said = (shown for shown in versions.selects if shown.alias_or_name == "_apart")
    return next((shown.unalias().expressions for shown in said), ())


def unsaid(versions: exp.Query) -> exp.Select:
    """Return a versions relation with the columns that are stored alone."""
    return exp.select(*map(col, (*columns_of(versions), *STORED))).from_(versions.subquery("v"))


def key_text(columns: Sequence[str]) -> exp.Expr:
    """Return the `_key` text of key columns; a NULL part differs from every text.

    >>> key_text(["a", "b"]).sql("duckdb").count("CHR(31)")
    1
    """
    return join_keys([exp.cast(col(name), "varchar") for name in columns])


def join_keys(parts: Sequence[exp.Expr]) -> exp.Expr:
    """Return one text that stands for several texts, NULLs included."""
    texts: list[exp.Expr] = [exp.func("coalesce", part, exp.func("chr", NOTHING)) for part in parts]
    return reduce(_beside, texts)


def _beside(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return reduce(
        lambda a, b: exp.DPipe(this=a, expression=b, safe=True),
        (left, exp.func("chr", SEPARATOR), right),
    )


def spans(versions: exp.Query, known: exp.Expr | None = None) -> exp.Select:
    """Return each version with the moment from which another one of its key replaces it.

    Versions replace one another in the order (`_known_at`, `_row`). With `known`, an expression
    over the columns, a version takes effect at that later moment instead (never, where NULL).
    """
    if is_once(versions):
        return _held_for_good(versions, known)
    after = exp.WindowSpec(
        kind="ROWS", start="1", start_side="FOLLOWING", end="UNBOUNDED", end_side="FOLLOWING"
    )
    until = exp.Window(
        this=exp.Min(this=col("_start")),
        partition_by=[col("_key")],
        order=ordered("_known_at", "_row"),
        spec=after,
    )
    users = columns_of(versions)
    carried = [*users, "_key", "_arrived_at", "_deleted", "_row"]
    carried += ["_from"] if "_from" in versions.named_selects else []
    started = (
        exp.select(
            *map(col, carried), col("_known_at"), exp.alias_(known or col("_known_at"), "_start")
        )
        .from_(versions.subquery("v"))
        .where(present("_known_at"))
    )
    replaced = exp.select(*map(col, carried), col("_start"), exp.alias_(until, "_until")).from_(
        started.subquery("s")
    )
    return (
        exp.select(
            *map(col, users),
            col("_key"),
            exp.alias_(col("_start"), "_known_at"),
            col("_until"),
            col("_arrived_at"),
            _origin(versions),
            col("_row"),
        )
        .from_(replaced.subquery("r"))
        .where(
            exp.Not(this=col("_deleted")), present("_start"), before(col("_start"), col("_until"))
        )
    )


def _held_for_good(versions: exp.Query, known: exp.Expr | None) -> exp.Select:
    """Return the spans of versions of which none follows another: no key needs to be sorted."""
    started = exp.select(
        *map(col, (*columns_of(versions), "_key")),
        exp.alias_(known or col("_known_at"), "_known_at"),
        *map(col, ("_until", "_arrived_at")),
        _origin(versions),
        col("_row"),
    ).from_(versions.subquery("v"))
    started = started.where(exp.Not(this=col("_deleted")), present("_known_at"))
    if known is None:
        return started
    shown = exp.select(*map(col, started.named_selects)).from_(started.subquery("s"))
    return shown.where(present("_known_at"))


def of_keys(versions: exp.Query, keys: exp.Query, within: exp.Expr | None = None) -> exp.Select:
    """Return the versions of some keys, by way of their row ids.

    Row ids grow with every commit, so an engine knows where they lie and reads little else.
    `within` is true of every row that is meant, and tells the engine where it need not look.
    """
    rows = exp.select(col("_row")).from_(versions.subquery("k")).where(col("_key").isin(query=keys))
    rows = rows.where(within) if within is not None else rows
    found = exp.select(*map(col, versions.named_selects)).from_(versions.subquery("v"))
    return found.where(col("_row").isin(query=rows))


def key_range(rows: exp.Query) -> exp.Select:
    """Return the least and the greatest key of rows, to be bound for `WITHIN`."""
    ends = {"lowest": exp.Min, "highest": exp.Max}
    return exp.select(
        *(exp.alias_(end(this=col("_key")), name) for name, end in ends.items())
    ).from_(rows.subquery("r"))


# An engine that knows the range of the keys in a stretch of rows passes over most of them.
WITHIN = exp.Between(
    this=col("_key"), low=given("lowest", "varchar"), high=given("highest", "varchar")
)


def current(versions: exp.Query, at: exp.Expr) -> exp.Select:
    """Return the rows that are current at one moment, known by then."""
    held = spans(versions)
    return exp.select(*map(col, held.named_selects)).from_(held.subquery("h")).where(holds(at))


def as_versions(held: exp.Query) -> exp.Select:
    """Return spans as versions; an end that no span of the same key meets becomes a deletion.

    `_row` is the offset in the order of time: whoever stores the rows adds the sequence. A
    deletion repeats the values that it ends. Spans of one key must not overlap.
    """
    users = columns_of(held)
    following = exp.Window(
        this=exp.Lead(this=col("_known_at")),
        partition_by=[col("_key")],
        order=ordered("_known_at"),
    )
    met = exp.select(*map(col, held.named_selects), exp.alias_(following, "_next")).from_(
        held.subquery("h")
    )
    rest = (*users, "_key", "_arrived_at", "_from")
    starts = exp.select(*map(col, rest), col("_known_at"), flag("_deleted", value=False)).from_(
        "_m"
    )
    ends = (
        exp.select(
            *map(col, rest), exp.alias_(col("_until"), "_known_at"), flag("_deleted", value=True)
        )
        .from_("_m")
        .where(before(col("_until"), col("_next")), present("_until"))
    )
    row = exp.Window(this=exp.RowNumber(), order=ordered("_known_at", "_key", "_deleted"))
    return (
        exp.select(
            *map(col, (*users, "_key", "_known_at", "_arrived_at", "_deleted", "_from")),
            exp.alias_(exp.Sub(this=row, expression=exp.Literal.number(1)), "_row"),
        )
        .from_(exp.union(starts.from_("_m"), ends, distinct=False).subquery("u"))
        .with_("_m", as_=met)
    )


def at_moment(select: exp.Query, inputs: Mapping[str, exp.Query], at: exp.Expr) -> exp.Query:
    """Return an ordinary query with every relation cut to its rows that are current at `at`."""
    tree = select.copy()
    for table in list(tables_in(tree)):
        versions = inputs[written(table)]
        rows = exp.select(*map(col, columns_of(versions))).from_(
            current(versions, at).subquery("c")
        )
        table.replace(rows.subquery(table.alias_or_name))
    return tree


def written(table: exp.Table) -> str:
    """Return a relation's name as written in FROM, lower-cased: the key of `inputs`."""
    return ".".join(part.name for part in table.parts).lower()


def holds(at: exp.Expr) -> exp.Expr:
    """Return whether a span holds at a moment: its start belongs to it, its end does not."""
    return exp.and_(exp.LTE(this=col("_known_at"), expression=at), before(at, col("_until")))


def before(moment: exp.Expr, end: exp.Expr) -> exp.Expr:
    """Return whether a moment lies before an end, of which NULL means never."""
    return exp.paren(
        exp.or_(exp.Is(this=end.copy(), expression=exp.null()), exp.LT(this=moment, expression=end))
    )


def present(name: str) -> exp.Expr:
    """Return whether a column is not NULL."""
    return exp.Not(this=exp.Is(this=col(name), expression=exp.null()))


def _origin(versions: exp.Query) -> exp.Expr:
    """Rows under derivation keep where they came from; a stored row is an origin of its own."""
    if "_from" in versions.named_selects:
        return col("_from")
    return exp.alias_(exp.array(col("_row")), "_from")


def flag(name: str, *, value: bool) -> exp.Expr:
    """Return a constant truth value as a named column."""
    return exp.alias_(exp.convert(value), name)


def ordered(*names: str) -> exp.Order:
    """Return ORDER BY these columns, ascending."""
    return exp.Order(expressions=[exp.Ordered(this=col(name), nulls_first=False) for name in names])
