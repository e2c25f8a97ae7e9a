"""What a table or a query consists of, and how its values are read so that nothing changes them.

Integers, floating-point numbers and bytes come as they are. All else comes as the text that the
server prints: the contract's types are imposed on it, so that a 0000-00-00 is told, not lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from lichen.adapters.sources.mysql.server import Session, name
from lichen.adapters.sources.mysql.settings import MysqlSettings

Kind = Literal["integer", "double", "bytes", "text"]

_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_GEOMETRIES = (
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
)  # fmt: skip
_BYTES = (
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", *_GEOMETRIES,
)  # fmt: skip
_SORTS: dict[str, Literal["number", "moment", "text", ""]] = {
    **dict.fromkeys((*_INTEGERS, "decimal", "year", "bit"), "number"),
    **dict.fromkeys(("date", "datetime", "timestamp", "time"), "moment"),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), "text"),
}
_TABLE = """
select table_schema, table_name, table_type, coalesce(engine, '') from information_schema.tables
where table_schema = %s and table_name = %s
"""
_NEAR = "select table_name from information_schema.tables where table_schema = %s order by 1"
_COLUMNS = """
select column_name, lower(data_type), column_type, coalesce(character_set_name, ''),
  coalesce(numeric_scale, datetime_precision, 0), extra
from information_schema.columns where table_schema = %s and table_name = %s
order by ordinal_position
"""
# Of results: type codes and flags.
_WHOLE_NUMBERS, _WIDE, _FLOAT, _DOUBLE, _BIT = (1, 2, 3, 8, 9), 8, 4, 5, 16
_NUMBERS, _MOMENTS = (*_WHOLE_NUMBERS, 0, 13, 16, 246), (7, 10, 11, 12)
_TEXTS, _BINARY = (15, 249, 250, 251, 252, 253, 254, 255), 63
_UNSIGNED, _ZEROFILL, _LISTED = 32, 64, 256 | 2048


class Column(msgspec.Struct, frozen=True, array_like=True):
    """A column of a table: `type` without and `full` with all that was said of it.

    `digits` are those after the point, of a number or of a second.
    """

    name: str
    type: str
    full: str = ""
    charset: str = ""
    digits: int = 0

    @property
    def unsigned(self) -> bool:
        """Whether it holds no negative numbers."""
        return "unsigned" in self.full

    @property
    def kind(self) -> Kind:
        """How its values come."""
        if self.type in _INTEGERS:
            exact = not (self.type == "bigint" and self.unsigned) and "zerofill" not in self.full
            return "integer" if exact else "text"
        if self.type in ("float", "double"):
            return "double"
        return "bytes" if self.type in _BYTES else "text"

    def item(self) -> Item:
        """Return how it is read."""
        sql = _read(self.name, float_=self.type == "float", bits=self.type == "bit")
        return Item(self.name, self.kind, sql, _SORTS.get(self.type, ""))


class Item(msgspec.Struct, frozen=True):
    """A column of what is read: how its values come, and the expression that reads them.

    `sorts` says how values of it are compared; it is empty where they cannot be, exactly.
    """

    name: str
    kind: Kind
    sql: str
    sorts: Literal["number", "moment", "text", ""]


class Relation(msgspec.Struct, frozen=True):
    """What is read: `sql` stands in FROM. Names with _ before them are Lichen's, and are left."""

    sql: str
    items: tuple[Item, ...]

    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [item.name for item in self.items]

    def select(self) -> str:
        """Return the SELECT of all columns, without an end."""
        return f"select {', '.join(item.sql for item in self.items)} from {self.sql}"  # noqa: S608

    def item(self, wanted: str) -> Item | None:
        """Return the column that a name means, as names are compared: without case."""
        return next((i for i in self.items if i.name.lower() == wanted.lower()), None)


class Table(msgspec.Struct, frozen=True):
    """A table as the server knows it."""

    schema: str
    name: str
    is_view: bool
    engine: str
    columns: tuple[Column, ...]

    @property
    def sql(self) -> str:
        """What stands in FROM."""
        return f"{name(self.schema)}.{name(self.name)}"

    def relation(self) -> Relation:
        """Return how all its columns are read."""
        return _relation(self.sql, (column.item() for column in self.columns))


def table_of(session: Session, settings: MysqlSettings) -> Table:
    """Return a table; raises SourceError where there is none of this name."""
    asked = (settings.database, str(settings.table))
    found = session.ask(_TABLE, asked)
    if not found:
        near = [str(row[0]) for row in session.ask(_NEAR, asked[:1])]
        raise session.server.refusal(
            f"table: there is no table {settings.table!r}", allowed=near[:20], given=settings.table
        )
    schema, table, type_, engine = found[0]
    rows = session.ask(_COLUMNS, (schema, table))
    columns = tuple(Column(n, t, full, charset, int(d)) for n, t, full, charset, d, _ in rows)
    return Table(schema, table, "VIEW" in type_, engine, columns)


def relation_of(session: Session, settings: MysqlSettings) -> Relation:
    """Return what settings say to read."""
    if settings.table is not None:
        return table_of(session, settings).relation()
    sql = f"({str(settings.query).strip().rstrip(';')}\n) as q"
    fields = session.columns(f"select * from {sql} limit 0")  # noqa: S608
    return _relation(sql, map(_item, fields))


def _relation(sql: str, items: Iterable[Item]) -> Relation:
    return Relation(sql, tuple(item for item in items if not item.name.startswith("_")))


def _item(field: Any) -> Item:
    """Return how a column of a result is read."""
    code, flags = field.type_code, field.flags
    bytes_ = code in _TEXTS and field.charsetnr == _BINARY
    sorts: Literal["number", "moment", "text", ""] = ""
    if code in _NUMBERS:
        sorts = "number"
    elif code in _MOMENTS:
        sorts = "moment"
    elif code in _TEXTS and not bytes_ and not flags & _LISTED:
        sorts = "text"
    kind: Kind = "bytes" if bytes_ else "text"
    exact = not (flags & _ZEROFILL or (code == _WIDE and flags & _UNSIGNED))
    if code in _WHOLE_NUMBERS and exact:
        kind = "integer"
    elif code in (_FLOAT, _DOUBLE):
        kind = "double"
    return Item(
        field.name, kind, _read(field.name, float_=code == _FLOAT, bits=code == _BIT), sorts
    )


def _read(column: str, *, float_: bool, bits: bool) -> str:
    quoted = name(column)
    if float_:  # printed as it is, it would be rounded to six digits
        return f"cast({quoted} as double)"
    return f"cast({quoted} as unsigned)" if bits else quoted
