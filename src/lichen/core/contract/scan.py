"""All rules of a contract in one SELECT, the rows that break them, and what to tell a person.

The scan reads the staged rows once. Repeated keys need no list of rows: their number is
count(key) − count(distinct key); only the verdicts, compiled for the rare case that some are
repeated, number the rows of each key. Keys with an integer are counted beside the scan, as bits:
neighbours share one word, so that numbers which lie close together take a fraction of the memory
and the time. References join a list of the distinct values.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from typing import Any

from sqlglot import exp

from lichen.core.contract.breaks import allowed, breaks, lit_text, marker, reason
from lichen.core.contract.spec import DRIFT, OBJECT, TABLE_KINDS, Contract, Rule, relation_name
from lichen.core.errors import TableError
from lichen.core.findings import Finding, Severity
from lichen.core.sql import col, lit
from lichen.core.time import Instant

ROWS = "_rows"  # the scan's column with the number of judged rows
_JUDGED = "_judged"
_SUMS = "_sums"
_TABLE = "_table"
_NEIGHBOURS = 32  # numbers that share a word of bits: a power of two


def compile_scan(
    contract: Contract,
    rows: exp.Query,
    *,
    whole: exp.Query,
    refs: Mapping[str, exp.Query],
    now: exp.Expr | Instant,
    integers: Collection[str] = (),
) -> exp.Select:
    """Return a SELECT with one row: `_rows`, and under each rule's id what was measured.

    That is the number of rows that break a row rule, the seconds since the newest row for
    freshness, the number of rows for row_count and the query's number for table_sql. `rows` have
    `_row`, `_deleted` and, for type rules, the `_raw` that `impose` makes; `whole` are the current
    rows, deleted ones left out; `refs` has a relation for each of `names_read(contract)`;
    `integers` are columns that `rows` hold as BIGINT or a smaller integer.
    """
    moment = now if isinstance(now, exp.Expr) else lit(now)
    row_rules = [(i, r) for i, r in enumerate(contract.rules) if r.kind not in TABLE_KINDS]
    numbers = {i: _number(rule, integers) for i, rule in row_rules}
    counts = [_as(_count(rule, contract, i), rule.id) for i, rule in row_rules if not numbers[i]]
    sums = exp.select(_as(_star_count(), ROWS), *counts).from_(_name(_JUDGED))
    totals = [
        _as(_star_count() if rule.kind == "row_count" else _age(rule, moment), rule.id)
        for rule in contract.rules
        if rule.kind in ("row_count", "freshness")
    ]
    queries = [_as(_query(rule, refs), rule.id) for rule in contract.rules if rule.sql is not None
               and rule.kind == "table_sql"]  # fmt: skip
    scan = exp.select(_all_of(_SUMS), *queries).from_(_name(_SUMS))
    scan = scan.with_(_id(_JUDGED), as_=_judged(contract, rows, refs), copy=False)
    scan = scan.with_(_id(_SUMS), as_=sums, copy=False)
    for position, rule in row_rules:
        if number := numbers[position]:
            scan = _beside(scan, f"_bits{position}", _repeated(rule, number, rows))
    if totals or queries:
        scan = scan.with_(_id(OBJECT), as_=whole.copy(), copy=False)
    if totals:
        scan = _beside(scan, _TABLE, exp.select(*totals).from_(_name(OBJECT)))
    return scan


def _beside(scan: exp.Select, name: str, row: exp.Select) -> exp.Select:
    """Add the columns of a query with one row."""
    scan = scan.with_(_id(name), as_=row, copy=False)
    scan = scan.select(_all_of(name), copy=False)
    return scan.join(_name(name), join_type="cross", copy=False)


def compile_verdicts(
    contract: Contract,
    rows: exp.Query,
    *,
    refs: Mapping[str, exp.Query],
    only: Container[str] | None = None,
) -> exp.Select:
    """Return a SELECT of (`_row`, `rule`, `reason`), one row per row and quarantine rule broken.

    `only` holds the ids of the rules to look at, such as those that the scan found broken.
    """
    looked = [
        (position, rule)
        for position, rule in enumerate(contract.rules)
        if rule.severity is Severity.quarantine and rule.judges_rows
        if only is None or rule.id in only
    ]
    if not looked:
        return _no_verdicts()
    broken = [breaks(rule, contract, position) for position, rule in looked]
    faults = [
        exp.case().when(condition.copy(), _fault(rule, contract))
        for condition, (_, rule) in zip(broken, looked, strict=True)
    ]
    each = exp.select(col("_row"), _as(exp.Explode(this=exp.Array(expressions=faults)), "_fault"))
    each = each.from_(_name(_JUDGED)).where(exp.or_(*broken))
    names = ("rule", "reason")
    parts = [_as(exp.Dot(this=col("_fault"), expression=_id(name)), name) for name in names]
    judged = _judged(contract, rows, refs, only={position for position, _ in looked})
    verdicts = exp.select(col("_row"), *parts).from_(each.subquery(_id("_each")))
    return verdicts.where(_present("_fault")).with_(_id(_JUDGED), as_=judged)


def findings(contract: Contract, node: str, result_row: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what the scan's row says about each broken rule, in the order of the contract."""
    found = []
    total = int(result_row[ROWS])
    for rule in contract.rules:
        measured = result_row[rule.id]
        if rule.kind == "freshness":
            finding = _freshness(rule, measured)
        elif rule.kind in TABLE_KINDS:
            finding = _table_rule(rule, measured)
        else:
            finding = _row_rule(rule, int(measured or 0), total)
        if finding is not None:
            message, count, value = finding
            found.append(
                Finding(
                    node=node,
                    rule=rule.id,
                    severity=rule.severity,
                    message=message,
                    count=count,
                    measured=value,
                )
            )
    return tuple(found)


def _fault(rule: Rule, contract: Contract) -> exp.Expr:
    named = (("rule", lit_text(rule.id)), ("reason", reason(rule, contract)))
    return exp.Struct(
        expressions=[exp.PropertyEQ(this=_id(name), expression=tree) for name, tree in named]
    )


def _no_verdicts() -> exp.Select:
    types = {"_row": "bigint", "rule": "text", "reason": "text"}
    nothing = [_as(exp.cast(exp.null(), type_), name) for name, type_ in types.items()]
    return exp.select(*nothing).where(exp.false())


def _judged(
    contract: Contract,
    rows: exp.Query,
    refs: Mapping[str, exp.Query],
    *,
    only: Container[int] | None = None,
) -> exp.Select:
    """Return the rows that are not deleted, with what references (and, for verdicts, keys) need."""
    staged = "_staged"
    judged = exp.select(_all_of(staged))
    judged = judged.from_(rows.copy().subquery(_id(staged)))
    for position, rule in enumerate(contract.rules):
        if only is not None and position not in only:
            continue
        if rule.kind == "unique" and rule.sql is None and only is not None:
            judged = judged.select(_as(_repeat(rule), marker(position)), copy=False)
        if rule.refers_to is not None:
            _join(judged, rule, position, staged, _relation(rule.refers_to.name, rule, refs))
    return judged.where(_undeleted(staged), copy=False)


def _join(judged: exp.Select, rule: Rule, position: int, staged: str, relation: exp.Query) -> None:
    if rule.refers_to is None:
        return
    name, columns = marker(position), rule.refers_to.columns
    keys = [_as(col(column), f"{name}_{i}") for i, column in enumerate(columns)]
    known = exp.select(*keys).from_(relation.copy().subquery(_id("_ref"))).distinct()
    here = known.subquery(_id(f"{name}_known"))
    pairs = [
        col(column, staged).eq(col(f"{name}_{i}", f"{name}_known"))
        for i, column in enumerate(rule.columns)
    ]
    judged.join(here, on=exp.and_(*pairs), join_type="left", copy=False)
    judged.select(_as(col(f"{name}_0", f"{name}_known"), name), copy=False)


def _repeat(rule: Rule) -> exp.Expr:
    # A NULL in the key makes it no key: such rows are not numbered at all.
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[col(column, "_staged") for column in rule.columns],
        order=exp.Order(expressions=[exp.Ordered(this=col("_row", "_staged"))]),
    )
    return exp.case().when(_all_there(rule.columns, "_staged"), number)


def _count(rule: Rule, contract: Contract, position: int) -> exp.Expr:
    if rule.kind != "unique" or rule.sql is not None:
        return exp.Count(this=exp.case().when(breaks(rule, contract, position), lit(1)))
    key: exp.Expr
    if len(rule.columns) == 1:
        key = col(rule.columns[0])
    else:
        fields = [exp.PropertyEQ(this=_id(f"k{i}"), expression=col(column))
                  for i, column in enumerate(rule.columns)]  # fmt: skip
        key = exp.case().when(_all_there(rule.columns), exp.Struct(expressions=fields))
    distinct = exp.Count(this=exp.Distinct(expressions=[key.copy()]))
    return exp.Sub(this=exp.Count(this=key), expression=distinct)


def _number(rule: Rule, integers: Collection[str]) -> str | None:
    """Return the integer column of a key, None where it has none."""
    if rule.kind != "unique" or rule.sql is not None:
        return None
    known = {name.lower() for name in integers}
    return next((column for column in rule.columns if column.lower() in known), None)


def _repeated(rule: Rule, number: str, rows: exp.Query) -> exp.Select:
    """Return how many rows repeat an earlier one's key: rows less the bits that they set.

    A group has a bit for each of its 32 neighbours; none of them makes the BIGINT negative.
    """
    value = exp.cast(col(number), "bigint")
    place = exp.BitwiseAnd(this=value.copy(), expression=lit(_NEIGHBOURS - 1))
    bit = exp.BitwiseLeftShift(this=exp.cast(lit(1), "bigint"), expression=exp.paren(place))
    word = exp.BitwiseRightShift(this=value, expression=lit(_NEIGHBOURS.bit_length() - 1))
    others = [col(column) for column in rule.columns if column != number]
    words = (
        exp.select(_as(_star_count(), "_n"), _as(exp.BitwiseOrAgg(this=bit), "_set"))
        .from_(rows.copy().subquery(_id("_staged")))
        .where(_undeleted("_staged"), _all_there(rule.columns))
        .group_by(*others, word)
    )
    again = exp.Sub(this=col("_n"), expression=exp.BitwiseCount(this=col("_set")))
    total = exp.Coalesce(this=exp.Sum(this=again), expressions=[lit(0)])
    return exp.select(_as(exp.cast(total, "bigint"), rule.id)).from_(words.subquery(_id("_words")))


def _undeleted(table: str) -> exp.Expr:
    return exp.not_(exp.Coalesce(this=col("_deleted", table), expressions=[exp.false()]))


def _all_there(columns: tuple[str, ...], table: str | None = None) -> exp.Expr:
    return exp.and_(*(_present(column, table) for column in columns))


def _present(column: str, table: str | None = None) -> exp.Expr:
    return exp.not_(col(column, table).is_(exp.null()))


def _age(rule: Rule, now: exp.Expr) -> exp.Expr:
    newest = exp.cast(exp.Max(this=col(rule.column or "")), "timestamptz")
    micros = exp.Sub(this=_micros(now.copy()), expression=_micros(newest))
    return exp.Div(this=exp.Paren(this=micros), expression=lit(1_000_000.0))


def _query(rule: Rule, refs: Mapping[str, exp.Query]) -> exp.Expr:
    query = (rule.sql or exp.select(exp.null())).copy()
    inner = {cte.alias_or_name for cte in query.find_all(exp.CTE)} | {OBJECT}
    for table in list(query.find_all(exp.Table)):
        name = relation_name(table)
        if name not in inner:
            relation = _relation(name, rule, refs).copy()
            table.replace(relation.subquery(_id(table.alias_or_name)))
    return exp.cast(exp.paren(query), "double")


def _relation(name: str, rule: Rule, refs: Mapping[str, exp.Query]) -> exp.Query:
    if name not in refs:
        raise TableError(
            f"{rule.id} reads {name!r}, which is no table or source",
            where=rule.where,
            allowed=sorted(refs),
            given=name,
        )
    return refs[name]


def _row_rule(rule: Rule, count: int, total: int) -> tuple[str, int, float] | None:
    measured = (100 * count / total if total else 0.0) if rule.percent else float(count)
    if rule.must.holds(measured) if rule.must else not count:
        return None
    share = f" ({measured:.2g}%)" if rule.percent else ""
    limit = f"; must be {rule.must.text('%' if rule.percent else '')}" if rule.must else ""
    names = rule.column or ", ".join(rule.columns)
    return f"{count:,} of {total:,} rows{share}: {_breach(rule, names)}{limit}", count, measured


def _breach(rule: Rule, names: str) -> str:
    match rule.kind:
        case "type":
            return f"{names} does not read as its type"
        case "not_null":
            return f"{names} is missing"
        case "unique":
            return f"{names} repeats an earlier row's"
        case "reference":
            return f"{names} is {allowed(rule)}"
        case "length":
            return f"the length of {names} is not {allowed(rule)}"
        case "row_sql" if rule.id.startswith(DRIFT):
            return rule.description
        case "row_sql":
            return f"breaks {allowed(rule)}"
        case _:
            return f"{names} is not {allowed(rule)}"


def _freshness(rule: Rule, age: float | None) -> tuple[str, int, float | None] | None:
    limit = rule.within.total_seconds() if rule.within else 0.0
    if age is None:
        return f"{rule.column} has no value; it must be at most {_span(limit)} old", 1, None
    if age <= limit:
        return None
    return f"the newest {rule.column} is {_span(age)} old; allowed is {_span(limit)}", 1, age


def _table_rule(rule: Rule, value: float | None) -> tuple[str, int, float | None] | None:
    allowed_ = rule.must.text() if rule.must else "a number"
    what = "the number of rows" if rule.kind == "row_count" else rule.description or "the query"
    if value is None:
        return f"{what} gives nothing; must be {allowed_}", 1, None
    if rule.must is None or rule.must.holds(value):
        return None
    return f"{what} is {value:,.10g}; must be {allowed_}", 1, float(value)


def _span(seconds: float) -> str:
    parts, rest = [], round(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _micros(moment: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="epoch_us", expressions=[moment])


def _star_count() -> exp.Expr:
    return exp.Count(this=exp.Star())


def _all_of(table: str) -> exp.Expr:
    return exp.Column(this=exp.Star(), table=_id(table))


def _as(tree: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(tree, _id(name))


def _name(name: str) -> exp.Table:
    return exp.Table(this=_id(name))


def _id(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
