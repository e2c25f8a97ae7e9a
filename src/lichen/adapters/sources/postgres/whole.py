"""A table or a query that is read whole, each time that something may have changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from lichen.adapters.sources.postgres.catalog import Relation
from lichen.adapters.sources.postgres.link import Link, told_columns
from lichen.adapters.sources.postgres.pull import Pull
from lichen.adapters.sources.postgres.values import rows_of
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Reading

_SNAPSHOT = "select txid_current_snapshot()::text"


class Whole:
    """Tells everything at once, so that what it does not tell is gone."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def look(self, _: str | None) -> Mark:
        """Return the last transaction that a table may show; of a query nobody can tell."""
        relation = self._link.relation()
        until = uuid.uuid4().hex
        if relation.kind in ("r", "p", "m"):
            ((snapshot,),) = self._link.session().ask(_SNAPSHOT)
            until = f"{self._link.identity()} {relation.table} {snapshot}"
        return Mark(until=until, said=f"{relation.part} is read whole")

    def read(self, cursor: str | None, mark: Mark, _: Limits) -> Reading:
        """Read all rows."""
        return Everything(self._link, self._link.relation(), mark.until, known=cursor == mark.until)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a table forgets nothing by being read."""

    def close(self) -> None:
        """Do nothing: what reads is closed with its reading."""


class Everything:
    """All rows of a relation, in one snapshot; `before` makes the reader's session see another."""

    ended = False

    def __init__(
        self,
        link: Link,
        relation: Relation,
        cursor: str,
        *,
        known: bool = False,
        before: tuple[str, ...] = (),
    ) -> None:
        self.whole: tuple[str, ...] = () if known else (relation.part,)
        self._known, self._cursor = known, cursor
        self._link, self._relation, self._before = link, relation, before
        self._pull: Pull | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self._known:
            self.ended = True
            return
        session, columns = self._link.session(), told_columns(self._relation)
        values = ", ".join(column.read(session) for column in columns)
        query = f"select {values} from {self._relation.sql} as q"  # noqa: S608 - names are quoted
        self._pull = Pull(self._link.server, query, self._before)
        first, kept = 1, None
        for batch in self._pull:
            if kept is not None and batch.num_rows:
                yield kept
            if kept is None or batch.num_rows:
                rows = rows_of(batch, columns, self._relation.part, None, first)
                kept = Batch(rows, self._cursor)
            first += batch.num_rows
        self.ended = True
        if kept is not None:
            yield kept

    def close(self) -> None:
        """End the reading."""
        if self._pull is not None:
            self._pull.close()
