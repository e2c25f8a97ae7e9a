"""A server and one database of it: how to reach it, and to ask it within a time."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lichen.adapters.sources.postgres.settings import PostgresSettings
from lichen.core.errors import SourceAway, SourceError, Where
from lichen.core.extras import needed
from lichen.ports.source import Outside

_SAID = {  # in every session: values are spelled the same way everywhere
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
}
SETUP = "select " + ", ".join(f"set_config('{n}', '{v}', false)" for n, v in _SAID.items())
READ_ONLY = "set default_transaction_read_only to on"
# Classes of SQLSTATE that pass by themselves: connection, resources, shutdown, rolled back.
_PASSING = ("08", "53", "57P", "40", "58")


@dataclass(frozen=True)
class Server:
    """Where a database is, and who asks. Nothing of the password is in its text."""

    host: str
    port: int
    database: str
    user: str
    timeout: float
    where: Where
    options: dict[str, Any] = field(repr=False)
    password: Callable[[], str | None] = field(repr=False)

    def __str__(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}, database {self.database}"

    def told(self) -> dict[str, Any]:
        """Return what a client is told; holds the password."""
        found = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "connect_timeout": max(2, round(self.timeout)),
            "keepalives_idle": max(1, round(self.timeout / 2)),
            "keepalives_interval": max(1, round(self.timeout / 6)),
            "keepalives_count": 3,
            "client_encoding": "UTF8",
            "application_name": "lichen",
            **self.options,
        }
        password = self.password()
        return {**found, "password": password} if password is not None else found

    def conninfo(self) -> str:
        """Return the same as one text."""
        found: str = needed("psycopg2.extensions", "postgres").make_dsn(**self.told())
        return found

    def error(self, cause: BaseException, hint: str | None = None) -> SourceError:
        """Return an error of a client in our words; one that may pass is tried again."""
        state = getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None) or ""
        lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
        what = lines[0] if lines else type(cause).__name__
        password = self.password()
        what = what.replace(password, "…") if password else what
        kind = SourceAway if not state or state.startswith(_PASSING) else SourceError
        if "password authentication failed" in what or "no pg_hba.conf entry" in what:
            kind = SourceError
        return kind(f"{self}: {what}", where=self.where, hint=hint or _HINTS.get(state))

    def late(self, what: str) -> SourceAway:
        """Return the error of a server that does not answer."""
        return SourceAway(
            f"{self}: {what} brought no word for {self.timeout:g} s",
            where=self.where,
            hint="see that it can be reached; a question that takes longer needs a longer timeout",
        )


_HINTS = {
    "42501": "let the user read it: grant select on … to …",
    "28P01": "see the user and where the password is kept",
    "3D000": "see the name of the database",
    "42P01": "see the name of the table, and its schema",
}


def server_of(settings: PostgresSettings, outside: Outside) -> Server:
    """Return the server that settings speak of."""

    def password() -> str | None:
        return outside.secret(settings.password) if settings.password is not None else None

    return Server(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        timeout=outside.timeout,
        where=outside.where,
        options=_tls(settings, outside.root),
        password=password,
    )


def _tls(settings: PostgresSettings, root: Path) -> dict[str, str]:
    tls = settings.tls
    if tls is None:
        return {}
    found = {"sslmode": "verify-full" if tls.verify else "require"}
    if tls.verify:
        found["sslrootcert"] = str(root / tls.ca) if tls.ca else "system"
    for name, path in (("sslcert", tls.cert), ("sslkey", tls.key)):
        if path is not None:
            found[name] = str(root / path)
    return found


class Session:
    """A connection that is asked; no answer is waited for longer than the server's timeout."""

    def __init__(self, server: Server, *, replication: bool = False) -> None:
        self._server = server
        psycopg2 = needed("psycopg2", "postgres")
        self._errors: Any = psycopg2.Error
        more: dict[str, Any] = {}
        if replication:
            extras = needed("psycopg2.extras", "postgres")
            more["connection_factory"] = extras.LogicalReplicationConnection
        try:
            self._connection = psycopg2.connect(**server.told(), **more, async_=1)
            self.wait("connecting")
        except self._errors as error:
            raise server.error(error) from None
        self.ask(SETUP)

    @property
    def connection(self) -> Any:
        """The client's own connection."""
        return self._connection

    def ask(self, sql: str, values: Sequence[Any] | dict[str, Any] | None = None) -> list[Any]:
        """Return the rows of a statement; values are bound."""
        cursor = self.cursor()
        try:
            cursor.execute(sql, values)
            self.wait("a question")
            return list(cursor.fetchall()) if cursor.description else []
        except self._errors as error:
            raise self._server.error(error) from None
        except ValueError as error:  # a text that no server could hold, such as one with a NUL
            raise SourceError(f"{self._server}: {error}", where=self._server.where) from None

    def types(self, sql: str) -> list[tuple[str, int]]:
        """Return names and type ids of the columns of a query, without its rows."""
        cursor = self.cursor()
        try:
            cursor.execute(sql)
            self.wait("a question")
            return [(column.name, column.type_code) for column in cursor.description or ()]
        except self._errors as error:
            raise self._server.error(error, hint="see the query") from None

    def cursor(self) -> Any:
        """Return the client's own cursor; whoever uses it waits by `wait`."""
        return self._connection.cursor()

    def wait(self, what: str) -> None:
        """Wait until what was asked is done."""
        deadline = time.monotonic() + self._server.timeout
        while (state := self._connection.poll()) != 0:
            left = deadline - time.monotonic()
            wire = [self._connection]
            reads, writes = (wire, []) if state == 1 else ([], wire)
            if left <= 0 or not any(select.select(reads, writes, [], left)):
                self.close()
                raise self._server.late(what)

    def name(self, text: str) -> str:
        """Return a name as the client quotes it."""
        found: str = needed("psycopg2.extensions", "postgres").quote_ident(text, self._connection)
        return found

    def text(self, value: str) -> str:
        """Return a text as the client quotes it."""
        found: str = needed("psycopg2.sql", "postgres").Literal(value).as_string(self._connection)
        return found

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be gone."""
        return bool(self._connection.closed)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
