"""Where something comes from: one question, answered from records, pins and trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core.names import Kind, Name
from lichen.core.versions import SEPARATOR
from lichen.lineage.address import Address, read_address
from lichen.lineage.archive import Archive, open_archive
from lichen.lineage.columns import column_lineage
from lichen.lineage.nodes import defined, definition, downstream, pedigree
from lichen.lineage.origin import LineageError, Origin
from lichen.lineage.prediction import of_prediction
from lichen.lineage.rows import told
from lichen.loop import Loop
from lichen.ports.ledger import Record

_STORED = (Kind.source, Kind.table, Kind.predictions, Kind.feedback)


def why(loop: Loop, text: str) -> Origin:
    """Return where what `text` names comes from.

    A prediction (`predictions.SERVICE:ID`) goes down to the lines of source files, a row
    (`tables.T:KEY`) too, for each of its versions; a node (`models.M`, `models.M@2`, `tables.T`)
    to files; a column (`tables.T.COLUMN`) to columns of sources. Raises LichenError.
    """
    address = read_address(text, loop.project)
    name = address.name
    if address.column is not None:
        return column_lineage(loop.project, name, address.column)
    archive = open_archive(loop)
    if address.key is not None:
        if name.kind is Kind.predictions:
            return of_prediction(archive, name, address.key)
        return _row(archive, name, address.key)
    return _node(archive, address)


def _node(archive: Archive, address: Address) -> Origin:
    name = address.name
    below = {"downstream": downstream(archive, name)}
    if name.kind in (Kind.features, Kind.outcome):
        found = defined(archive, name, archive.pinned())
        return Origin(found.node, None, found.inputs, {**found.told, **below})
    record = _version(archive, address)
    found = pedigree(archive, record)
    extra: Mapping[str, Any] = {}
    if name.kind in _STORED:
        extra = {**definition(archive, name), "versions": _versions(archive, name)}
        if record.body.get("definition"):
            extra["definition"] = record.body["definition"].strip()
    return Origin(found.node, found.version, found.inputs, {**extra, **found.told, **below})


def _version(archive: Archive, address: Address) -> Record:
    if address.version is not None:
        return archive.record(str(address.name), address.version)
    return archive.published(address.name)


def _versions(archive: Archive, name: Name) -> list[dict[str, Any]]:
    """Return every version of a stored node with when and why it came to be."""
    return [
        {
            "version": record.sequence,
            "now": record.now,
            "reason": record.body.get("reason"),
            "rows_added": record.facts.get("added"),
        }
        for record in archive.history(str(name))
        if record.state == "done"
    ]


def _row(archive: Archive, name: Name, key: str) -> Origin:
    """Return every version of a row over time, each with the source rows that it came from."""
    if name.kind not in _STORED:
        raise LineageError(
            f"{name} stores no rows", allowed=("sources.NAME:KEY", "tables.NAME:KEY")
        )
    record = archive.published(name)
    rows = archive.keyed(record, key)
    if not rows and "," in key:
        rows = archive.keyed(record, key.replace(",", chr(SEPARATOR)))
    if not rows:
        raise LineageError(
            f"{name} holds no row with the key {key!r}",
            hint="the parts of a key of several columns are separated by commas",
        )
    versions = tuple(told(archive, record, [row]) for row in rows)
    extra = {"key": rows[0].key.replace(chr(SEPARATOR), ","), "count": len(rows)}
    return Origin(str(name), record.sequence, versions, extra)
