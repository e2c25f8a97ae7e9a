"""A server and one database of it: how to reach it, and to ask it within a time."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lichen.adapters.sources.mysql.settings import MysqlSettings
from lichen.core.errors import SourceAway, SourceError, Where
from lichen.core.extras import needed
from lichen.ports.source import Outside, Tls

_SETUP = (  # of every session: values are spelled the same way everywhere, and nothing is changed
    "set session sql_mode = '', time_zone = '+00:00', autocommit = 1",
    "set session transaction isolation level repeatable read",
)
# Errors that pass by themselves: too many connections, shutdown, deadlock, a table that is being
# altered, a lost or refused connection.
_PASSING = {
    1040,
    1053,
    1077,
    1079,
    1105,
    1129,
    1205,
    1213,
    1317,
    1412,
    1927,
    2002,
    2003,
    2006,
    2013,
}
_HINTS = {
    1044: "grant select on the database to the user",
    1045: "see the user and where the password is kept",
    1049: "see the name of the database",
    1142: "grant select on the table to the user",
    1146: "see the name of the table",
    1227: "grant replication slave, replication client on *.* to the user "
    "(MySQL besides: flush_tables; MariaDB: binlog monitor)",
}


@dataclass(frozen=True)
class Server:
    """Where a database is, and who asks. Nothing of the password is in its text."""

    host: str
    port: int
    database: str
    user: str
    timeout: float
    where: Where
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)

    def __str__(self) -> str:
        return f"MySQL at {self.host}:{self.port}, database {self.database}"

    def error(self, cause: BaseException, hint: str | None = None) -> SourceError:
        """Return an error of the client in our words; one that may pass is tried again."""
        code = cause.args[0] if cause.args and isinstance(cause.args[0], int) else 0
        what = str(cause.args[-1]) if cause.args else type(cause).__name__
        what = what.replace(self.password, "…") if self.password else what
        late = "timed out" in what
        if late:
            what = f"no word came for {self.timeout:g} s"
            hint = "see that it can be reached; a question that takes longer needs a longer timeout"
        away = late or code in _PASSING or isinstance(cause, OSError)
        kind = SourceAway if away else SourceError
        return kind(f"{self}: {what}", where=self.where, hint=hint or _HINTS.get(code))

    def refusal(self, what: str, hint: str | None = None, **more: Any) -> SourceError:
        """Return an error that says what of the server is not as it must be."""
        return SourceError(f"{self}: {what}", where=self.where, hint=hint, **more)


def server_of(settings: MysqlSettings, outside: Outside) -> Server:
    """Return the server that settings speak of."""
    return Server(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        timeout=outside.timeout,
        where=outside.where,
        password=outside.secret(settings.password) if settings.password is not None else "",
        tls=_context(settings.tls, outside) if settings.tls is not None else None,
    )


def _context(tls: Tls, outside: Outside) -> ssl.SSLContext:
    def path(text: str | None) -> str | None:
        return str(outside.root / text) if text is not None else None

    try:
        context = ssl.create_default_context(cafile=path(tls.ca))
        if tls.cert is not None:
            context.load_cert_chain(str(path(tls.cert)), path(tls.key))
    except (OSError, ssl.SSLError) as error:
        raise SourceError(f"tls: {error}", where=outside.where) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Session:
    """A connection that is asked; no answer is waited for longer than the server's timeout."""

    def __init__(self, server: Server) -> None:
        self.server = server
        pymysql = needed("pymysql", "mysql")
        self._errors = (pymysql.err.Error, OSError, RuntimeError)
        try:
            self._connection = pymysql.connect(
                host=server.host,
                port=server.port,
                user=server.user,
                password=server.password,
                database=server.database,
                charset="utf8mb4",
                connect_timeout=max(1, round(server.timeout)),
                read_timeout=server.timeout,
                write_timeout=server.timeout,
                ssl=server.tls,
                ssl_disabled=server.tls is None,
                local_infile=False,
                conv=needed("pymysql.converters", "mysql").encoders,  # all values come as text
            )
        except self._errors as error:
            raise server.error(error, _needs_tls(error)) from None
        for statement in _SETUP:
            self.ask(statement)

    @property
    def connection(self) -> Any:
        """The client's own connection."""
        return self._connection

    def ask(self, sql: str, values: Sequence[str | bytes | int] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, their values as text; `%s` stands for a bound value."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_bound(sql, values))
                return list(cursor.fetchall())
        except self._errors as error:
            raise self.server.error(error) from None

    def columns(self, sql: str) -> list[Any]:
        """Return what the client tells of the columns of a query, without its rows."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor._result.fields)
        except self._errors as error:
            raise self.server.error(error, "see the query") from None

    def variable(self, name: str) -> str | None:
        """Return a variable of the server, None where it has none of this name."""
        found = self.ask("show global variables where variable_name = %s", (name,))
        return str(found[0][1]) if found else None

    @contextlib.contextmanager
    def guarded(self) -> Any:
        """Turn the client's errors into ours."""
        try:
            yield
        except self._errors as error:
            raise self.server.error(error) from None

    def abandon(self) -> None:
        """Close at once, whatever is still on its way."""
        self._connection._force_close()

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(*self._errors):
            self._connection.close()


def name(text: str) -> str:
    """Return a name as SQL writes it.

    >>> name("a`b")
    '`a``b`'
    """
    return "`" + text.replace("`", "``") + "`"


def literal(value: str | bytes | int) -> str:
    """Return a value as SQL writes it; a text by its bytes, so that no mode can read it otherwise.

    >>> literal("it's"), literal(7), literal(b"")
    ("_utf8mb4 x'69742773'", '7', "x''")
    """
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return f"_utf8mb4 x'{value.encode().hex()}'"


def _bound(sql: str, values: Sequence[str | bytes | int]) -> str:
    parts = re.split("%s", sql) if values else [sql]
    filled = [part + literal(value) for part, value in zip(parts, values, strict=False)]
    return "".join(filled) + (parts[-1] if values else sql)


def _needs_tls(error: BaseException) -> str | None:
    if "cryptography" in str(error):
        return "this server sends no password over a plain connection: say tls"
    return None


def identity(session: Session) -> str:
    """Return what a server calls itself; MariaDB has only a number."""
    return session.variable("server_uuid") or f"server_id {session.variable('server_id')}"


def same(server: Server, before: str | None, now: str) -> None:
    """Raise SourceError where another server was read before."""
    if before is not None and before != now:
        raise server.refusal(
            f"this is another server ({now}) than the one that was read so far ({before})",
            "go back to that one, or read all anew from this one: lichen run --full",
        )
