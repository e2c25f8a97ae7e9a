"""A table: one SELECT or one Python function, and the contract that its rows keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract
from lichen.core.decorated import Decorated, read_decorated
from lichen.core.derive import shape_of
from lichen.core.errors import TableError, Where
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, convert, load, opening_comment
from lichen.core.sql import parse_select, tables_in
from lichen.core.versions import written
from lichen.stages.tables.function import Function, read_function


class TableSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the comment that opens `tables/NAME.sql` may say."""

    key: str | list[str] | None = None
    static: list[str] = []
    note: str | None = None


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `@table(…)` may say."""

    key: str | list[str]
    columns: dict[str, str] = {}
    inputs: list[str] = []
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """A table as declared; `key` identifies its rows (by default the driving input's key).

    `static` names joined inputs whose changes alone build nothing: what is joined stays as it is.
    With a `function`, `select` reads what that gave.
    """

    kind: ClassVar[Kind] = Kind.table

    name: Name
    where: Where
    select: exp.Select
    text: str
    key: tuple[str, ...] = ()
    static: frozenset[str] = field(default_factory=frozenset)
    contract: Contract | None = None
    lines: Lines = field(default_factory=dict, compare=False, repr=False)
    function: Function | None = None

    def at_once(self) -> bool:
        """Return whether it is computed on the rows of a moment, and not on every version."""
        return self.function is not None or shape_of(self.select) == "aggregate"

    def goes_on(self) -> bool:
        """Return whether what is new of its inputs tells what is new of it.

        So it is of a SELECT that reads them row by row, none of them twice.
        """
        names = [written(table) for table in tables_in(self.select)]
        return not self.at_once() and len(names) == len(set(names))


def read_table(path: Path, name: Name) -> Table:
    """Read `tables/NAME.sql` and the contract beside it, if there is one."""
    text = path.read_text("utf-8")
    comment, line = opening_comment(text)
    value, lines = load(comment, path, first_line=line)
    settings = convert(value, TableSettings, path, lines)
    beside = path.with_suffix(".odcs.yaml")
    return Table(
        name=name,
        where=Where(path),
        select=parse_select(text, path),
        text=text,
        key=(settings.key,) if isinstance(settings.key, str) else tuple(settings.key or ()),
        static=frozenset(settings.static),
        contract=read_contract(beside) if beside.is_file() else None,
        lines=lines,
    )


def read_table_function(path: Path, name: Name) -> Table:
    """Read `tables/NAME.py` by its syntax tree, and the contract beside it, if there is one."""
    found = read_decorated(
        path,
        "table",
        FunctionSettings.__struct_encode_fields__,
        TableError,
        'write @table(key="COLUMN") above a function of tables that returns one; a file that '
        "is no table begins with an underscore",
    )
    settings = convert(dict(found.settings), FunctionSettings, path, found.lines)
    key = (settings.key,) if isinstance(settings.key, str) else tuple(settings.key)
    return table_of(found, name, key, settings.inputs, settings.columns)


def table_of(
    found: Decorated,
    name: Name,
    key: tuple[str, ...],
    inputs: Sequence[str],
    columns: Mapping[str, str],
) -> Table:
    """Return the table that a decorated function gives, with the contract beside its file."""
    beside = found.path.with_suffix(".odcs.yaml")
    contract = read_contract(beside) if beside.is_file() else None
    function = read_function(found, inputs, columns, contract)
    return Table(
        name=name,
        where=Where(found.path, function.line),
        select=function.select(),
        text=found.path.read_text("utf-8"),
        key=key,
        contract=contract,
        lines=found.lines,
        function=function,
    )


def keyed(table: Table) -> Table:
    """Return the table; raises TableError where nothing tells its rows apart."""
    if table.function is None and table.at_once():
        key_at_once(table)
    return table


def key_at_once(table: Table) -> tuple[str, ...]:
    """Return the key of a SELECT that is computed at once: declared, or that of its groups.

    >>> from lichen.core.sql import parse_select
    >>> found = parse_select("select shop, sum(x) from t group by shop", Path("a.sql"))
    >>> key_at_once(Table(Name.parse("tables.a"), Where(Path("a.sql")), found, ""))
    ('shop',)
    """
    if key := table.key or _grouped_by(table.select):
        return key
    raise TableError(
        "a table that aggregates, or reads through another SELECT, needs a key",
        where=table.where,
        hint="put `key: COLUMN` into the comment that opens the file",
    )


def _grouped_by(select: exp.Select) -> tuple[str, ...]:
    group = select.args.get("group")
    told = [text.sql() for text in group.expressions] if group else []
    names = [p.alias_or_name for p in select.expressions if p.unalias().sql() in told]
    return tuple(names) if len(names) == len(told) else ()
