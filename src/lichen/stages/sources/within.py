"""Which files brought rows of a stretch of time. Pure."""

from __future__ import annotations

from sqlglot import exp

from lichen.core.sql import col, lit, rel
from lichen.core.time import Instant
from lichen.stages.sources.spec import Source


def files_within(source: Source, begin: Instant | None, end: Instant | None) -> exp.Select:
    """Return the files with a version whose declared known-at lies in begin ≤ t < end.

    Where a source declares none it is the moment of the arrival. Rows that are held back count.
    """
    said = source.known_at.copy() if source.known_at is not None else col("_arrived_at")
    told = exp.select(col("_file"), exp.alias_(exp.cast(said, "timestamptz"), "_said")).from_(
        rel(str(source.name))
    )
    query = exp.select(col("_file")).distinct().from_(told.subquery("t"))
    if begin is not None:
        query = query.where(exp.GTE(this=col("_said"), expression=lit(begin)))
    if end is not None:
        query = query.where(exp.LT(this=col("_said"), expression=lit(end)))
    return query
