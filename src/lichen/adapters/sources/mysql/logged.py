"""What of a server and of a table must be so that the binlog tells all changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing

from lichen.adapters.sources.mysql.columns import Column, Table, table_of
from lichen.adapters.sources.mysql.image import WIDE, readable
from lichen.adapters.sources.mysql.server import Server, Session
from lichen.adapters.sources.mysql.settings import MysqlSettings

_WANTED = (  # variable, what it must be, where a server has it
    ("log_bin", "ON"), ("binlog_format", "ROW"), ("binlog_row_image", "FULL"),
    ("log_bin_compress", "OFF"), ("binlog_transaction_compression", "OFF"),
    ("binlog_row_value_options", ""),
)  # fmt: skip
_CASCADES = """
select constraint_name from information_schema.referential_constraints
where constraint_schema = %s and table_name = %s and
  (delete_rule not in ('RESTRICT', 'NO ACTION') or update_rule not in ('RESTRICT', 'NO ACTION'))
"""


def check_server(session: Session) -> None:
    """Raise SourceError where the server does not log all that is needed."""
    asked = ", ".join(["%s"] * len(_WANTED))
    names = [variable for variable, _ in _WANTED]
    found = session.ask(f"show global variables where variable_name in ({asked})", names)
    values = {variable.lower(): value for variable, value in found}
    for variable, wanted in _WANTED:
        has = values.get(variable)
        if has is None or has.upper() == wanted:
            continue
        how = f"set global {variable} = {wanted or repr('')}"
        where = "in the server's configuration, and start it anew" if variable == "log_bin" else how
        raise session.server.refusal(
            f"changes cannot be followed: {variable} is {has}, not {wanted or 'empty'}",
            f"say {variable} {where}"
            if variable == "log_bin"
            else f"{where}, and begin new sessions",
        )


def followed(session: Session, settings: MysqlSettings) -> Table:
    """Return the table; raises SourceError for one whose changes the log does not tell."""
    server, table = session.server, table_of(session, settings)
    instead = "read it whole, or by a column (incremental), rather than by its changes"
    if table.is_view:
        raise server.refusal(f"{settings.part} is a view, which has no changes of its own", instead)
    engines = dict(session.ask("select engine, transactions from information_schema.engines"))
    if engines.get(table.engine) != "YES":
        what = f"the engine of {settings.part}, {table.engine}, knows no transactions"
        raise server.refusal(what, "alter table … engine = InnoDB")
    if cascades := session.ask(_CASCADES, (table.schema, table.name)):
        raise server.refusal(
            f"the foreign key {cascades[0][0]!r} changes rows of {settings.part} without the "
            "binlog telling it (cascade, set null)",
            instead,
        )
    names = [c.name.lower() for c in table.columns]
    for key in settings.keys:
        if key.lower() not in names:
            raise server.refusal(
                f"key: there is no column {key!r}",
                allowed=[c.name for c in table.columns],
                given=key,
            )
    tables = charsets(server, table.columns)
    unread = [f"{c.name} {c.full}" for c in table.columns if not readable(c, tables)]
    if unread:
        raise server.refusal(
            f"the binlog tells these columns in a way that is not understood: {', '.join(unread)}",
            instead,
        )
    return table


def charsets(server: Server, columns: Sequence[Column]) -> dict[str, str]:
    """Return the characters of each set that has a byte for each, as the server has them."""
    wanted = sorted({c.charset for c in columns} - set(WIDE) - {""})
    if not wanted:
        return {}
    found: dict[str, str] = {}
    with closing(Session(server)) as session:
        narrow = dict(
            session.ask("select character_set_name, maxlen from information_schema.character_sets")
        )
        for charset in wanted:
            if re.fullmatch(r"\w+", charset) and narrow.get(charset) == "1":
                every = ", ".join(
                    f"convert(_{charset} x'{byte:02x}' using utf8mb4)" for byte in range(256)
                )
                (row,) = session.ask(f"select {every}")
                found[charset] = "".join(row)
    return found


def log_end(session: Session) -> tuple[str, int]:
    """Return where the log ends."""
    version = session.variable("version") or ""
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    mysql = "mariadb" not in version.lower() and parts >= (8, 2)
    found = session.ask("show binary log status" if mysql else "show master status")
    return str(found[0][0]), int(found[0][1])


def logs_of(session: Session) -> dict[str, int]:
    """Return the files of the log that are there, and how long they are."""
    return {str(row[0]): int(row[1]) for row in session.ask("show binary logs")}
