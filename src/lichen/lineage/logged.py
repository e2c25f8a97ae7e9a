"""A prediction as the service logged it: in its table, or before that in its log files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlglot import exp

from lichen.core.names import Kind, Name
from lichen.core.sql import col, lit, rel
from lichen.core.time import Instant, instant
from lichen.lineage.archive import Archive
from lichen.lineage.origin import LineageError
from lichen.stages.services.log import log_sizes, of_table
from lichen.stages.services.tables import Prediction


@dataclass(frozen=True)
class Logged:
    """A logged prediction; `request` and `features` are decoded, `drained` by a run or not yet."""

    id: str
    model: Name
    model_version: int
    publication: int
    key: str | None
    at: Instant
    value: float | str | None
    probability: float | None
    request: Mapping[str, Any]
    features: Mapping[str, Any]
    drained: int | None


def logged(archive: Archive, table: Name, id_: str) -> Logged:
    """Return a prediction by its id; raises LineageError where there is none."""
    found = _drained(archive, table, id_) or _waiting(archive, table, id_)
    if found is None:
        raise LineageError(
            f"{table} holds no prediction {id_!r}",
            allowed=_newest(archive, table),
            given=id_,
            hint="the service's reply names the id of each prediction",
        )
    return found


def _drained(archive: Archive, table: Name, id_: str) -> Logged | None:
    record = archive.state.done.get(str(table))
    if record is None:
        return None
    rows = archive.keyed(record, id_)
    if not rows:
        return None
    values = {**rows[-1].values}
    fields = {name: values.get(name) for name in Prediction.__struct_fields__}
    return _logged(fields, drained=record.sequence)


def _waiting(archive: Archive, table: Name, id_: str) -> Logged | None:
    mark = id_.encode()
    for line in _lines(archive, table):
        if mark in line:
            told = msgspec.json.decode(line, type=Prediction)
            if told.prediction_id == id_:
                return _logged(msgspec.to_builtins(told), drained=None)
    return None


def _lines(archive: Archive, table: Name) -> Iterator[bytes]:
    """Yield the complete lines that no run has drained yet."""
    record = archive.state.done.get(str(table))
    cursor = record.facts.get("cursor", {}) if record else {}
    for path, end in log_sizes(archive.loop.folder, table.name).items():
        if of_table(path, table):
            with (archive.loop.folder / path).open("rb") as file:
                file.seek(cursor.get(path, 0))
                yield from file.read(max(0, end - file.tell())).splitlines()


def _newest(archive: Archive, table: Name) -> list[str]:
    """Return a few ids, so that an error can show what one looks like."""
    decode = msgspec.json.Decoder(Prediction).decode
    found = [decode(line).prediction_id for line in list(_lines(archive, table))[-3:]]
    record = archive.state.done.get(str(table))
    if record is not None and len(found) < 3:
        query = (
            exp.select(col("prediction_id"))
            .from_(rel(str(table)))
            .order_by(exp.Ordered(this=col("_row"), desc=True))
            .limit(lit(3))
        )
        relations = archive.shelf({str(table): record}).relations([str(table)])
        found += [row["prediction_id"] for row in archive.ask(query, relations)]
    return found


def _logged(fields: Mapping[str, Any], *, drained: int | None) -> Logged:
    return Logged(
        id=fields["prediction_id"],
        model=Name(Kind.model, str(fields["model"]).removeprefix("models.")),
        model_version=fields["model_version"],
        publication=fields["publication"],
        key=fields["key"],
        at=instant(fields["at"]),
        value=fields["value"] if fields["value"] is not None else fields["answer"],
        probability=fields["probability"],
        request=msgspec.json.decode(fields["request"] or "{}"),
        features=msgspec.json.decode(fields["features"] or "{}"),
        drained=drained,
    )
