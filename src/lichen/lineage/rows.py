"""Stored rows and everything that they were made of, down to the lines of source files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lichen.core.names import Kind, Name
from lichen.core.time import iso
from lichen.lineage.archive import Archive, Row
from lichen.lineage.grouped import behind
from lichen.lineage.narrow import sides
from lichen.lineage.origin import Origin
from lichen.ports.ledger import Record

Made = Mapping[int, frozenset[int]]  # a row to the rows of one input that it was made of


def descend(archive: Archive, record: Record, ids: Collection[int]) -> Origin:
    """Return rows of a stored node with the rows that they came from, down to the sources."""
    return told(archive, record, archive.rows(record, ids))


def told(archive: Archive, record: Record, rows: Sequence[Row]) -> Origin:
    """Return rows that were read with the rows that they came from."""
    match Name.parse(record.node).kind:
        case Kind.source:
            return _source(archive, record, rows)
        case Kind.table:
            return _table(archive, record, rows)
        case _:
            shown = [_shown(row) for row in rows]
            return Origin(record.node, record.sequence, (), {"rows": shown})


def by_input(
    archive: Archive, records: Mapping[str, Record], wanted: Mapping[str, set[int]]
) -> tuple[Origin, ...]:
    """Return rows of several nodes, each with what it came from; a node without rows is named."""
    return tuple(descend(archive, records[node], ids) for node, ids in wanted.items())


def _source(archive: Archive, record: Record, rows: Sequence[Row]) -> Origin:
    shown = [{**_shown(row), "file": row.file, "line": row.line} for row in rows]
    files = files_of(archive, record, rows)
    extra = {"rows": shown, "files": files, **prepared(archive, record)}
    return Origin(record.node, record.sequence, (), extra)


def files_of(archive: Archive, record: Record, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the files of source rows as they were when each was landed, with their commits."""
    counts = Counter((row.file, row.commit) for row in rows)
    files = []
    for (path, sequence), count in sorted(counts.items(), key=str):
        landing = archive.record(record.node, sequence)
        seen = {f["path"]: f["sha256"] for f in landing.body.get("files", ())}
        told = {"path": path, "sha256": seen.get(str(path)), "rows": count}
        if path and str(path) not in seen:  # written again, with no file to read: it was released
            told["reason"] = landing.body.get("reason")
        files.append({**told, "landed": landed(landing)})
    return files


def landed(landing: Record) -> dict[str, Any]:
    """Return the commit that a landing was."""
    return {
        "sequence": landing.sequence,
        "version": landing.commits.get(landing.node, (0, None))[1],
        "now": landing.now,
        "run": landing.run,
    }


def prepared(archive: Archive, record: Record) -> dict[str, Any]:
    """Return the Python file that makes a source's files, and its fingerprint at the landing."""
    source = archive.loop.project.nodes.get(Name.parse(record.node))
    path = getattr(source, "prepare", None)
    if path is None:
        return {}
    told = {"prepare": path.relative_to(archive.loop.project.root).as_posix()}
    return {**told, "prepare_code": record.body.get("prepare")}


def _table(archive: Archive, record: Record, rows: Sequence[Row]) -> Origin:
    if record.body.get("function"):
        return _by_function(archive, record, rows)
    traced = [row for row in rows if row.origin is not None]
    made: dict[tuple[str, int], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    if traced:
        _follow(archive, record, traced, made)
    exact = True
    builds = defaultdict(list)
    for row in rows:
        if row.origin is None:
            builds[row.commit].append(row)
    for sequence, group in builds.items():
        exact &= _ask_again(archive, archive.record(record.node, sequence), group, made)
    origins: dict[int, dict[str, list[int]]] = defaultdict(dict)
    for (node, _), each in made.items():
        for row_id, ids in each.items():
            origins[row_id].setdefault(node, []).extend(sorted(ids))
    shown = [{**_shown(row), "from": origins.get(row.row, {})} for row in rows]
    inputs = [
        descend(archive, archive.record(node, at), set().union(*each.values()))
        for (node, at), each in made.items()
    ]
    extra: dict[str, Any] = {"rows": shown}
    if not exact:
        extra |= {"exact": False, "reason": "more rows are named than decided: see the definition"}
    return Origin(record.node, record.sequence, tuple(inputs), extra)


def _by_function(archive: Archive, record: Record, rows: Sequence[Row]) -> Origin:
    """Return rows that a function gave, with the tables that it was given: it hides the rest."""
    builds = [archive.record(record.node, at) for at in sorted({row.commit for row in rows})]
    read = {(n, at): b.now for b in builds for n, at in b.facts["inputs"].items()}
    inputs = [
        Origin(node, at, (), {"reason": f"all of its rows that were current at {iso(now)}"})
        for (node, at), now in read.items()
    ]
    extra = {
        "rows": [_shown(row) for row in rows],
        "exact": False,
        "lineage": "table",
        "reason": f"given by the function {record.body['function']}: lineage goes by table, "
        "and not by row",
    }
    return Origin(record.node, record.sequence, tuple(inputs), extra)


def _follow(
    archive: Archive,
    record: Record,
    rows: Sequence[Row],
    made: dict[tuple[str, int], dict[int, set[int]]],
) -> None:
    """Add what row-wise rows say themselves: one id for each relation in FROM."""
    versions = record.facts.get("inputs", {})
    for index, side in enumerate(sides(archive.definition(record))):
        each = made[side.node, versions[side.node]]
        for row in rows:
            origin = row.origin or ()
            if index < len(origin) and (found := origin[index]) is not None:
                each[row.row].add(found)


def _ask_again(
    archive: Archive,
    build: Record,
    rows: Sequence[Row],
    made: dict[tuple[str, int], dict[int, set[int]]],
) -> bool:
    """Add what rows of an aggregating table were made of; returns whether that is exact."""
    found = behind(archive, build, rows)
    for row_id, ids in found.rows.items():
        for node, some in zip(found.nodes, ids, strict=True):
            made[node, build.facts["inputs"][node]][row_id] |= some
    return found.exact


def _shown(row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "row": row.row,
        "key": row.key,
        "known_at": iso(row.known_at) if row.known_at else None,
        "values": dict(row.values),
    }
    return {**shown, "deleted": True} if row.deleted else shown
