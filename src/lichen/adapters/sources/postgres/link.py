"""What a source's readings share: its settings, its server, and one session to ask."""

from __future__ import annotations

from dataclasses import dataclass

from lichen.adapters.sources.postgres.catalog import Column, Relation, query_of, table_of
from lichen.adapters.sources.postgres.server import Server, Session
from lichen.adapters.sources.postgres.settings import PostgresSettings, name_of
from lichen.ports.source import Outside

OWN = ("_file", "_line", "_removes", "_keeps", "_payload")  # what records say of themselves


@dataclass
class Link:
    """The way to one table or query; it opens when it is first asked, and again when it broke."""

    settings: PostgresSettings
    outside: Outside
    server: Server
    _session: Session | None = None

    def session(self) -> Session:
        """Return an open session."""
        if self._session is None or self._session.closed:
            self._session = Session(self.server)
        return self._session

    def relation(self) -> Relation:
        """Return what is read, as it is now."""
        session = self.session()
        if self.settings.query is not None:
            return query_of(session, self.settings.query, self.outside.node.partition(".")[2])
        assert self.settings.table is not None
        return table_of(session, *name_of(self.settings.table), self.outside.where)

    def identity(self) -> str:
        """Return what tells this server from every other one; nothing where it does not say so."""
        ((may,),) = self.session().ask(
            "select has_function_privilege('pg_control_system()', 'execute')"
        )
        if not may:
            return ""
        ((found,),) = self.session().ask("select system_identifier::text from pg_control_system()")
        return str(found)

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.close()
        self._session = None


def told_columns(relation: Relation) -> tuple[Column, ...]:
    """Return the columns that can be told: no two names that are the same but for their case."""
    found: dict[str, Column] = {}
    for column in sorted(relation.columns, key=lambda c: c.name != c.name.lower()):
        if column.name.lower() not in OWN:
            found.setdefault(column.name.lower(), column)
    kept = set(found.values())
    return tuple(column for column in relation.columns if column in kept)
