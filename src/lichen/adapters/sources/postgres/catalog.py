"""What a table or a query consists of, and how its values are read so that nothing changes them.

Numbers, truth values, texts, bytes and times come as they are. All else comes as the text that the
server prints, arrays as JSON of such texts: the contract's types are imposed on these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lichen.adapters.sources.postgres.server import Session
from lichen.core.errors import SourceError, Where

BOOL, BYTEA, FLOAT4, FLOAT8, DATE = 16, 17, 700, 701, 1082
TIMESTAMP, TIMESTAMPTZ, NUMERIC = 1114, 1184, 1700
INTEGERS = (20, 21, 23)
_TEXTS = (19, 25, 114, 1042, 1043, 3802)  # name, text, json, char(n), varchar, jsonb
_AS_THEY_ARE = (BOOL, BYTEA, *INTEGERS, FLOAT4, FLOAT8, DATE, TIMESTAMP, TIMESTAMPTZ, *_TEXTS)
MOMENTS = (DATE, TIMESTAMP, TIMESTAMPTZ)

_TABLE = """
select c.oid::bigint, c.relkind::text, c.relreplident::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname::text = %s and c.relname::text = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
_NEAR = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> 'information_schema'
and n.nspname not like 'pg\\_%%' order by n.nspname = %s desc, c.relname = %s desc, 1 limit 20
"""
_COLUMNS = """
select a.attname::text, a.atttypid::bigint, format_type(a.atttypid, a.atttypmod),
  a.attgenerated <> '', coalesce(a.attnum = any(i.indkey), false)
from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and
  case %(identity)s when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
where a.attrelid = %(table)s and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
# Of each type what it is below its domains, and whether that is an array.
_TYPES = """
with recursive below as (
  select oid as given, oid, typtype, typbasetype, typcategory
  from pg_type where oid = any(%s::oid[])
  union all select d.given, t.oid, t.typtype, t.typbasetype, t.typcategory
  from below d join pg_type t on t.oid = d.typbasetype where d.typtype = 'd'
)
select given::bigint, oid::bigint, typcategory = 'A', format_type(oid, null) from below
where typtype <> 'd'
"""


@dataclass(frozen=True)
class Column:
    """A column; `type` is what the server calls its type, `base` the id of what is below it."""

    name: str
    type: str
    base: int
    is_array: bool
    generated: bool = False
    identifies: bool = False  # an update or a delete tells what it was

    def read(self, session: Session, of: str = "q") -> str:
        """Return the expression that reads it."""
        name = f"{of}.{session.name(self.name)}"
        if self.base in _AS_THEY_ARE:
            return name
        if self.base == NUMERIC:
            return f"{name}::text"
        if self.is_array:
            return f"array_to_json({name}::text[])::text"
        return f"case when num_nulls({name}) = 0 then concat({name}) end"

    def odd(self, session: Session, of: str = "q") -> str:
        """Return the condition that a value has no place among the others: NULL, or no end."""
        name = f"{of}.{session.name(self.name)}"
        none = f"{name} is null"
        if self.base in MOMENTS:
            return f"({none} or not isfinite({name}))"
        if self.base in (FLOAT4, FLOAT8, NUMERIC):
            return f"({none} or {name}::text in ('NaN', 'Infinity', '-Infinity'))"
        return f"({none})"


@dataclass(frozen=True)
class Relation:
    """What is read: `sql` stands in FROM; `part` is the name of it in our records."""

    part: str
    sql: str
    columns: tuple[Column, ...]
    table: int = 0  # the id of a table
    kind: str = ""  # of a table: r, p, v, m, f
    identity: str = ""  # of a table: d, i, f, n

    def column(self, name: str, setting: str, where: Where) -> Column:
        """Return a column that a setting names; case counts where two differ in nothing else."""
        exact = [c for c in self.columns if c.name == name]
        alike = exact or [c for c in self.columns if c.name.lower() == name.lower()]
        if len(alike) != 1:
            raise SourceError(
                f"{setting}: {self.part} has no column {name!r}",
                where=where,
                allowed=[c.name for c in self.columns],
                given=name,
            )
        return alike[0]


def table_of(session: Session, schema: str, name: str, where: Where) -> Relation:
    """Return a table as the catalogue knows it; raises SourceError."""
    part = f"{schema}.{name}"
    found = session.ask(_TABLE, (schema, name))
    if not found:
        near = [row[0] for row in session.ask(_NEAR, (schema, name))]
        raise SourceError(
            f"table: there is no table {part!r}", where=where, allowed=near, given=part
        )
    ((table, kind, identity),) = found
    rows = session.ask(_COLUMNS, {"table": table, "identity": identity})
    types = _types(session, [row[1] for row in rows])
    columns = tuple(
        Column(name_, type_, *types.get(id_, (0, False)), generated, identifies or identity == "f")
        for name_, id_, type_, generated, identifies in rows
    )
    sql = f"{session.name(schema)}.{session.name(name)}"
    return Relation(part, sql, columns, table, kind, identity)


def query_of(session: Session, text: str, part: str) -> Relation:
    """Return what a query gives."""
    sql = f"({text}\n)"
    rows = session.types(f"select * from {sql} as q limit 0")  # noqa: S608 - it was parsed
    types = _types(session, [id_ for _, id_ in rows])
    spelled = dict(_spelled(session, [id_ for _, id_ in rows]))
    columns = tuple(Column(n, spelled[id_], *types.get(id_, (0, False))) for n, id_ in rows)
    return Relation(part, sql, columns)


def bases(session: Session, ids: Sequence[int]) -> Mapping[int, tuple[int, bool]]:
    """Return of each type what it is below its domains, and whether that is an array."""
    return _types(session, ids)


def _types(session: Session, ids: Sequence[int]) -> dict[int, tuple[int, bool]]:
    rows = session.ask(_TYPES, (sorted(set(ids)),))
    return {given: (base, is_array) for given, base, is_array, _ in rows}


def _spelled(session: Session, ids: Sequence[int]) -> list[tuple[int, str]]:
    rows = session.ask(_TYPES, (sorted(set(ids)),))
    return [(given, spelled) for given, _, _, spelled in rows]
