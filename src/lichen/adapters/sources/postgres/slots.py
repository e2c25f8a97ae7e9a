"""Publications and replication slots: which are ours, what they need, and what became of them."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import NamedTuple

from lichen.adapters.sources.postgres.catalog import Relation
from lichen.adapters.sources.postgres.link import Link
from lichen.adapters.sources.postgres.server import Session
from lichen.adapters.sources.postgres.settings import name_of
from lichen.core.errors import SourceError
from lichen.core.extras import needed

_SLOT = """
select active, coalesce(restart_lsn is null or wal_status = 'lost', true),
  (confirmed_flush_lsn - '0/0')::bigint, plugin, database = current_database()
from pg_replication_slots where slot_name::text = %s
"""
_PUBLICATION = """
select puballtables or exists (select from pg_publication_tables t where t.pubname = p.pubname
    and t.schemaname::text = %s and t.tablename::text = %s),
  pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot
from pg_publication p where pubname::text = %s
"""
_LESS = """
select rowfilter is not null or attnames::text[] <> %s::text[] from pg_publication_tables
where pubname::text = %s and schemaname::text = %s and tablename::text = %s
"""
_OWNS = """
select has_database_privilege(current_database(), 'create') and pg_has_role(relowner, 'usage')
from pg_class where oid = %s
"""
_PAUSE = 0.05  # seconds


class Slot(NamedTuple):
    """A replication slot as the server knows it; `confirmed` is what it need not tell again."""

    active: bool
    lost: bool
    confirmed: int


def slot_named(session: Session, name: str) -> Slot | None:
    """Return a slot, or None where there is none of this name that is of use."""
    rows = session.ask(_SLOT, (name,))
    if not rows:
        return None
    active, lost, confirmed, plugin, here = rows[0]
    return Slot(active, lost or plugin != "pgoutput" or not here, confirmed or 0)


def own_name(link: Link) -> str:
    """Return the name of this target's slot, the same one each time.

    It is written down before the slot is made, so that one that was left by a crash is found again;
    another folder, or another target, never comes to the same name.
    """
    outside = link.outside
    if link.settings.slot is not None:
        return link.settings.slot
    kept = outside.folder / "postgres" / f"{outside.node}.slot"
    if not kept.is_file():
        words = "_".join(
            ("lichen", outside.root.name, outside.target, outside.node.split(".", 1)[1])
        )
        name = f"{_plain(words)[:54]}_{secrets.token_hex(4)}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(name)
    return kept.read_text().strip()


def settle(link: Link, relation: Relation) -> str:
    """Return the name of a publication of a table, made where none is; raises SourceError."""
    session, where = link.session(), link.outside.where
    _needs(link, relation)
    part = relation.part
    digest = hashlib.sha256(part.encode()).hexdigest()[:8]
    name = link.settings.publication or f"lichen_{_plain(part)[:40]}_{digest}"
    table = name_of(link.settings.table or "")
    rows = session.ask(_PUBLICATION, (*table, name))
    own = link.settings.publication is None
    if not rows or (own and not rows[0][0]):  # a table that was made anew is in none
        _publish(link, relation, name, there=bool(rows))
        return name
    ((has, all_of_it, by_root),) = rows
    columns = [c.name for c in relation.columns if not c.generated]
    version = int(session.ask("show server_version_num")[0][0])
    if has and version >= 150_000:
        less = session.ask(_LESS, (columns, name, *table))
        all_of_it = all_of_it and not any(row[0] for row in less)
    if not has or not all_of_it or (relation.kind == "p" and not by_root):
        raise SourceError(
            f"publication: {name!r} does not tell all changes of all of {part}",
            where=where,
            hint="it must have the table with all its columns and rows, publish insert, update, "
            "delete and truncate, and a partitioned table by its root",
        )
    return name


def publishes(link: Link, publication: str) -> bool:
    """Return whether a publication is there, and has the table."""
    table = name_of(link.settings.table or "")
    rows = link.session().ask(_PUBLICATION, (*table, publication))
    return bool(rows) and bool(rows[0][0])


def create(link: Link, session: Session, name: str) -> tuple[int, str]:
    """Make a slot; returns where its changes begin, and the snapshot of just before.

    The snapshot is there for as long as the session does nothing else. A slot of this name that
    was left by an earlier attempt is dropped: it is our own.
    """
    if slot_named(link.session(), name) is not None:
        unused(link, name)
        link.session().ask("select pg_drop_replication_slot(%s)", (name,))
    client, cursor = needed("psycopg2", "postgres"), session.cursor()
    try:
        cursor.create_replication_slot(name, output_plugin="pgoutput")
        session.wait("making a replication slot, which waits for open transactions to end,")
        _, point, snapshot, _ = cursor.fetchone()
    except client.Error as error:
        hint = f"let the user replicate: alter role {link.server.user} replication"
        raise link.server.error(error, hint=hint) from None
    return lsn(point), str(snapshot)


def unused(link: Link, name: str) -> None:
    """Wait until nobody uses a slot: a process that was killed needs a moment to let go of it."""
    deadline = time.monotonic() + link.server.timeout
    while (slot := slot_named(link.session(), name)) is not None and slot.active:
        if time.monotonic() > deadline:
            raise SourceError(
                f"{link.server}: the replication slot {name!r} is used by somebody else",
                where=link.outside.where,
                hint="end them, or name another one: slot",
            )
        time.sleep(_PAUSE)


def lsn(text: str) -> int:
    """Return a place in the log as a number.

    >>> lsn("1/10")
    4294967312
    """
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def spelled(place: int) -> str:
    """Return a place in the log as the server spells it.

    >>> spelled(4294967312)
    '1/10'
    """
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _needs(link: Link, relation: Relation) -> None:
    """Refuse what cannot be followed, and say what to do about it."""
    where, part = link.outside.where, relation.part
    if relation.kind not in ("r", "p"):
        raise SourceError(
            f"changes: {part} is no table, and only those tell changes",
            where=where,
            hint="follow the tables below it, or read it whole",
        )
    ((level,),) = link.session().ask("show wal_level")
    if level != "logical":
        raise SourceError(
            f"{link.server}: its wal_level is {level}, so it tells no changes",
            where=where,
            hint="set wal_level = logical in postgresql.conf and restart it",
        )
    for key in link.settings.keys:
        if not relation.column(key, "key", where).identifies:
            raise SourceError(
                f"key: an update or a delete of {part} does not tell the {key!r} that was",
                where=where,
                allowed=[c.name for c in relation.columns if c.identifies],
                hint=f"take the primary key, or: alter table {relation.sql} replica identity full",
            )


def _publish(link: Link, relation: Relation, name: str, *, there: bool) -> None:
    session = link.session()
    quoted = session.name(name)
    make = f"create publication {quoted} for table {relation.sql}"
    make += " with (publish_via_partition_root = true)" if relation.kind == "p" else ""
    ((may,),) = session.ask(_OWNS, (relation.table,))
    if link.settings.publication is not None or not may:
        raise SourceError(
            f"publication: there is no {name!r}"
            + ("" if may else f", and {link.server.user} may not make one"),
            where=link.outside.where,
            hint=f"as the owner of the table: {make}; and then here: publication: {name}",
        )
    if there:
        session.ask(f"drop publication {quoted}")
    session.ask(make)
