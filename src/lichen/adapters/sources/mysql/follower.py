"""Rows out of the events of the binlog that change one table, and a word where it tells none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from lichen.adapters.sources.mysql import events as log
from lichen.adapters.sources.mysql.columns import Column, table_of
from lichen.adapters.sources.mysql.events import Event, TableMap, number
from lichen.adapters.sources.mysql.image import Decoder, decoder, fits
from lichen.adapters.sources.mysql.logged import charsets
from lichen.adapters.sources.mysql.server import Session
from lichen.adapters.sources.mysql.settings import MysqlSettings

_HARMLESS = re.compile(
    r"\s*(begin|commit|savepoint|release|flush|grant|revoke|analyze|optimize|check|"
    r"xa\s+(start|end|prepare)|create\s+(or\s+replace\s+)?"
    r"(unique\s+|fulltext\s+|spatial\s+)?(index|user|role)|drop\s+index|"
    r"(create|drop|alter)\s+(user|role|event))\b",
    re.IGNORECASE,
)
_REMARK = re.compile(r"\A(\s|/\*(?!!|M!).*?\*/|(--[ \t]|#)[^\n]*\n)+", re.DOTALL)
_DATABASE = re.compile(r"\s*(drop|alter)\s+(database|schema)\b", re.IGNORECASE)


class Place(msgspec.Struct, frozen=True):
    """All before a place in the log was told, and after it what is not beyond `line`.

    `born` is when the file was begun, `layout` the table's columns there. `again` says why the log
    cannot be followed from here, so that the table is read whole.
    """

    server: str
    file: str
    position: int
    layout: list[Column]
    born: int = 0
    line: int = 0
    again: str = ""


class Again(Exception):
    """The log cannot be followed any further."""


class Row(NamedTuple):
    """A row as it became, or as it was when it was removed; `line` is its place for good."""

    line: int
    values: tuple[Any, ...]
    removes: bool = False


class Follower:
    """Keeps track of where events stand, and makes rows of those that change the table."""

    def __init__(self, session: Session, settings: MysqlSettings, place: Place) -> None:
        self.place = place
        self._session = session
        self._database, self._table = settings.database, str(settings.table)
        names = [column_.name.lower() for column_ in place.layout]
        self._keys = [names.index(key.lower()) for key in settings.keys]
        self._charsets: dict[str, str] | None = None
        self._decoders: dict[int, Sequence[Decoder] | None] = {}
        self._settings = settings
        self._rows_told = False  # in this group of events
        self._cased = session.variable("lower_case_table_names") == "0"

    def rows(self, event: Event) -> Iterator[Row]:
        """Yield what an event says of the table."""
        if event.type == log.ROTATE:
            self._decoders = {}
            if event.file != self.place.file:
                new = {"file": event.file, "position": 4, "born": 0}
                self.place = msgspec.structs.replace(self.place, **new)
        elif event.type in log.GROUPS:
            self._rows_told = False
            self.place = msgspec.structs.replace(self.place, file=event.file, position=event.begin)
        elif event.type in (log.QUERY, log.PACKED_QUERY):
            self._statement(log.statement(event))
        elif event.type == log.TABLE_MAP:
            self._map(log.table_map(event))
        elif event.type in (*log.INSERTS, *log.UPDATES, *log.DELETES):
            yield from self._changed(event)
        else:
            self._others(event)

    def _statement(self, text: str) -> None:
        """Raise Again for a statement that may change the table, or the rows of it."""
        bare = _REMARK.sub("", text)
        if bare[:9].lower() == "xa commit" or bare[:11].lower() == "xa rollback":
            raise Again("a transaction of two phases was ended, which the log tells beforehand")
        if _HARMLESS.match(bare):
            return
        said = " ".join(text.split())[:80]
        if bare[:8].lower() == "rollback" and self._rows_told:
            raise Again("the log tells rows of a transaction that was rolled back")
        if (_DATABASE.match(bare) and _mentions(text, self._database)) or _mentions(
            text, self._table
        ):
            raise Again(f"the log tells this by words alone: {said}")

    def _map(self, told: TableMap) -> None:
        if not self._ours(told):
            self._decoders[told.id] = None
            return
        layout = self.place.layout
        alike = len(layout) == len(told.types) and all(
            fits(c, code) for c, (code, _) in zip(layout, told.types, strict=True)
        )
        if not alike:
            self._misfit(told)
        if self._charsets is None:
            self._charsets = charsets(self._session.server, layout)
        self._decoders[told.id] = [
            decoder(c, code, more, self._charsets)
            for c, (code, more) in zip(layout, told.types, strict=True)
        ]

    def _ours(self, told: TableMap) -> bool:
        ours = (self._database, self._table)
        if self._cased:
            return (told.schema, told.table) == ours
        return (told.schema.lower(), told.table.lower()) == tuple(map(str.lower, ours))

    def _misfit(self, told: TableMap) -> None:
        """The log tells of other columns: they were changed, or are no plain ones."""
        with closing(Session(self._session.server)) as session:
            now = table_of(session, self._settings)
        if list(now.columns) != self.place.layout:
            raise Again("its columns were changed")
        raise self._session.server.refusal(
            f"the binlog tells of {len(told.types)} columns of {self._settings.part!r}, the server "
            f"of {len(now.columns)}, or of other types",
            "read it whole, or by a column (incremental), rather than by its changes",
        )

    def _changed(self, event: Event) -> Iterator[Row]:
        head = log.rows_head(event)
        decoders = self._decoders.get(head.table)
        if decoders is None:
            return
        if not head.complete:
            raise Again("a change was logged without all columns (binlog_row_image is not FULL)")
        line = number(event.file) << 32 | event.begin
        images = _images(event.body, head.begin, decoders)
        self._rows_told = True
        if event.type in log.UPDATES:
            yield from self._updates(line, images)
            return
        removes = event.type in log.DELETES
        for nth, values in enumerate(images):
            yield Row(line + nth, values, removes=removes)

    def _updates(self, line: int, images: Iterator[tuple[Any, ...]]) -> Iterator[Row]:
        """Yield what rows became; one of another key left the place of the former."""
        for nth, before in enumerate(images):
            after = next(images)
            if any(before[key] != after[key] for key in self._keys):
                yield Row(line + 2 * nth, before, removes=True)
            yield Row(line + 2 * nth + 1, after)

    def _others(self, event: Event) -> None:
        if event.type == log.PACKED_TRANSACTION:
            raise Again("a transaction was logged compressed (binlog_transaction_compression)")
        if event.type in (*log.PACKED_ROWS, log.PARTIAL):
            if self._decoders.get(int.from_bytes(event.body[:6], "little")) is not None:
                raise Again("a change was logged compressed, or in part")
        elif event.type == log.LOAD:
            raise Again("a file was loaded, and logged by words alone")
        elif event.type == log.XID:
            self._rows_told = False


def _images(body: bytes, at: int, decoders: Sequence[Decoder]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of an event."""
    size, end = (len(decoders) + 7) // 8, len(body)
    while at < end:
        nulls, at = int.from_bytes(body[at : at + size], "little"), at + size
        values: list[Any] = []
        for decode in decoders:
            if nulls & 1:
                values.append(None)
            else:
                value, at = decode(body, at)
                values.append(value)
            nulls >>= 1
        yield tuple(values)


def _mentions(text: str, name: str) -> bool:
    """Return whether a statement may speak of a name; rather once too often.

    >>> _mentions("TRUNCATE `A``b`", "a`b"), _mentions("truncate c", "a`b")
    (True, False)
    """
    if not (name.isascii() or text.isascii()):
        return True
    name = re.escape(name.replace("`", "``"))
    return re.search(rf"(?<!\w){name}(?!\w)", text, re.IGNORECASE) is not None
