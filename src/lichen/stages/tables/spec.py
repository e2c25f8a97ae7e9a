"""A table: one SELECT or one Python function, and the contract that its rows keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlglot import exp

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract
from lichen.core.derive import shape_of
from lichen.core.errors import Where
from lichen.core.names import Name
from lichen.core.settings import Lines, convert, load, opening_comment
from lichen.core.sql import parse_select, tables_in
from lichen.core.versions import written


class TableSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the comment that opens `tables/NAME.sql` may say."""

    key: str | list[str] | None = None
    static: list[str] = []
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """A table as declared; `key` identifies its rows (by default the driving input's key).

    `static` names joined inputs whose changes alone build nothing: what is joined stays as it is.
    """

    name: Name
    where: Where
    select: exp.Select
    text: str
    key: tuple[str, ...] = ()
    static: frozenset[str] = field(default_factory=frozenset)
    contract: Contract | None = None
    lines: Lines = field(default_factory=dict, compare=False, repr=False)

    def goes_on(self) -> bool:
        """Return whether what is new of its inputs tells what is new of it.

        So it is of a SELECT that reads them row by row, none of them twice.
        """
        names = [written(table) for table in tables_in(self.select)]
        return shape_of(self.select) == "rows" and len(names) == len(set(names))


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
