"""The MongoDB connector: a collection, whole or by a field that grows."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

import msgspec

from lichen.adapters.sources.mongodbclient import Access, Collection
from lichen.adapters.sources.mongodbrecords import rows_of
from lichen.core.errors import SourceError
from lichen.core.extras import needed
from lichen.core.steps import Mark
from lichen.ports.source import Batch, Limits, Outside, Settings, Tls

_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_CODE = frozenset({"$where", "$function", "$accumulator"})  # what runs as a program in the server
_ROWS = 10_000  # of a batch
_TIES = 1_000  # documents of one value of the field that are known by their digest
_TYPES = {
    "int": "number", "Int64": "number", "float": "number", "Decimal128": "number",
    "str": "string", "datetime": "date", "DatetimeMS": "date", "ObjectId": "objectId",
    "Timestamp": "timestamp",
}  # fmt: skip


class MongodbSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of MongoDB may say besides.

    Without `incremental` the whole collection is read and compared each time. With it, documents
    whose field is at or beyond the last one's; that needs a `key`. `filter` is MongoDB's own.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset(
        {"hosts", "srv", "replica_set", "user", "auth_database", "tls"}
    )

    hosts: str | list[str]
    database: str
    collection: str
    filter: dict[str, Any] | None = None
    incremental: str | None = None
    srv: bool = False
    replica_set: str | None = None
    user: str | None = None
    password: str | None = None
    auth_database: str = "admin"
    tls: Tls | None = None


class _Place(msgspec.Struct, frozen=True):
    """A cursor: the last value of the field, as extended JSON, and who had it.

    `ties` are digests of the documents with that value which were told: there may be more of them.
    """

    id: str
    value: str | None = None
    ties: tuple[str, ...] = ()
    told: int = 0


class _Until(msgspec.Struct, frozen=True):
    """A mark: the greatest value of the field, and a digest of the documents that have it."""

    id: str
    value: str | None
    those: str


class Mongodb:
    """Reads the documents of a collection."""

    Settings = MongodbSettings

    def __init__(self, settings: MongodbSettings, outside: Outside) -> None:
        self._field = settings.incremental
        if self._field is not None and not settings.key:
            raise SourceError(
                "incremental: documents at the last value come again, which takes a key",
                hint="name the column that identifies a document: key: meta_id",
            )
        _refuse_code(settings.filter or {})
        self._filter = settings.filter or {}
        self.collection = Collection(
            settings.database, settings.collection, _access(settings), outside
        )

    def look(self, cursor: str | None) -> Mark:
        """Return the greatest value of the field; without one nobody can tell what is new."""
        id_ = self.collection.identity()
        if self._field is None:
            return Mark(until=uuid.uuid4().hex, said="its documents are compared")
        before = _decoded(cursor)
        if before is not None and before.id != id_:
            raise self.collection.trouble(
                f"it is {id_ or 'without an identity'}, and what was landed came from "
                f"{before.id or 'one without'}",
                "somebody made it again: begin another source beside this one",
            )
        value = self._greatest()
        those = self._those(value) if value is not None else ""
        until = msgspec.json.encode(_Until(id_, value, those)).decode()
        return Mark(until=until, said="new documents" if value is not None else "no documents")

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> _Whole | _Onward:
        """Read the whole collection, or what lies between the cursor and the mark."""
        most = min(limits.rows, _ROWS)
        if self._field is None:
            return _Whole(self.collection, self.query(), most)
        until = msgspec.json.decode(mark.until, type=_Until)
        before = _decoded(cursor) or _Place(until.id)
        span: dict[str, Any] = {}
        if before.value is not None:
            span["$gte"] = _value(before.value)
        if until.value is not None:
            span["$lte"] = _value(until.value)
        query = self.query({self._field: span}) if until.value is not None else None
        return _Onward(self.collection, self._field, query, before, most)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a collection forgets nothing by being read."""

    def close(self) -> None:
        """Close the connections."""
        self.collection.close()

    def query(self, *more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the filter together with other conditions."""
        util = needed("bson.json_util", "mongodb")
        own = util.loads(msgspec.json.encode(self._filter).decode(), json_options=_options())
        parts = [part for part in (own, *more) if part]
        return {"$and": parts} if len(parts) > 1 else dict(parts[0]) if parts else {}

    def _greatest(self) -> str | None:
        assert self._field is not None
        last = next(self.collection.find(self.query(), [(self._field, -1)], 1), None)
        if last is None:
            return None
        value = _at(last, self._field)
        type_ = _TYPES.get(type(value).__name__)
        if type_ is None:
            raise self.collection.trouble(
                f"its field {self._field!r} is not in all documents, or is no number, text or time",
                "`filter` may leave some out: {FIELD: {$exists: true}}",
            )
        other = {self._field: {"$not": {"$type": type_}}}
        if strange := next(self.collection.find(self.query(other), (), 1), None):
            raise self.collection.trouble(
                f"the document {_at(strange, '_id')} has no {type_} in {self._field!r}, so that it "
                "would never be read",
                "`filter` may leave such documents out: {FIELD: {$exists: true}}",
            )
        return _text(value)

    def _those(self, value: str) -> str:
        assert self._field is not None
        query = self.query({self._field: _value(value)})
        found = self.collection.find(query, [("_id", 1)], _TIES)
        return hashlib.sha256(b"".join(map(_digest_of, found))).hexdigest()[:20]


class _Whole:
    """All documents of a collection."""

    ended = False

    def __init__(self, collection: Collection, query: Mapping[str, Any], most: int) -> None:
        self._collection, self._query, self._most = collection, query, most
        self.whole: tuple[str, ...] = (collection.part,)

    def __iter__(self) -> Iterator[Batch]:
        found, first = self._collection.find(self._query), 1
        for raws in _pieces(found, self._most):
            rows, rejects = rows_of(raws, self._collection.part, first)
            first += len(raws)
            yield Batch(rows, "{}", rejects)
        self.ended = True

    def close(self) -> None:
        """Do nothing: the server's cursor is closed with the last document."""


class _Onward:
    """The documents from a value of the field on, in its order."""

    whole: tuple[str, ...] = ()
    ended = False

    def __init__(
        self,
        collection: Collection,
        field: str,
        query: Mapping[str, Any] | None,
        place: _Place,
        most: int,
    ) -> None:
        self._collection, self._field, self._query = collection, field, query
        self._place, self._most = place, most

    def __iter__(self) -> Iterator[Batch]:
        if self._query is not None:
            order = [(self._field, 1), ("_id", 1)]
            known = set(self._place.ties)
            found = (
                raw
                for raw in self._collection.find(self._query, order)
                if not known or _digest_of(raw).hex() not in known
            )
            for raws in _pieces(found, self._most):
                rows, rejects = rows_of(raws, self._collection.part, self._place.told + 1)
                self._place = self._after(raws)
                yield Batch(rows, msgspec.json.encode(self._place).decode(), rejects)
        self.ended = True

    def close(self) -> None:
        """Do nothing: the server's cursor is closed with the last document."""

    def _after(self, raws: list[bytes]) -> _Place:
        before, value = self._place, _text(_at(raws[-1], self._field))
        ties = list(before.ties) if value == before.value else []
        for raw in reversed(raws):
            if _text(_at(raw, self._field)) != value:
                break
            ties.append(_digest_of(raw).hex())
        told = before.told + len(raws)
        return _Place(before.id, value, tuple(ties[-_TIES:]), told)


def _pieces(found: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    documents = iter(found)
    while piece := list(islice(documents, most)):
        yield piece


def _digest_of(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:12]


def _at(raw: bytes, field: str) -> Any:
    """Return a field of a document; dots lead into others."""
    bson = needed("bson", "mongodb")
    auto = bson.codec_options.DatetimeConversion.DATETIME_AUTO
    found: Any = bson.decode(
        raw,
        bson.codec_options.CodecOptions(
            tz_aware=True, datetime_conversion=auto, unicode_decode_error_handler="replace"
        ),
    )
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _options() -> Any:
    util = needed("bson.json_util", "mongodb")
    return util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)


def _text(value: Any) -> str:
    """Return a value as extended JSON, which says its type."""
    return str(needed("bson.json_util", "mongodb").dumps({"v": value}, json_options=_options()))


def _value(text: str) -> Any:
    return needed("bson.json_util", "mongodb").loads(text, json_options=_options())["v"]


def _decoded(cursor: str | None) -> _Place | None:
    return msgspec.json.decode(cursor, type=_Place) if cursor is not None else None


def _refuse_code(part: Any) -> None:
    """Refuse what the server would run as a program, however deep it stands."""
    inner: Iterable[Any] = ()
    if isinstance(part, dict):
        if found := sorted(_CODE & part.keys()):
            raise SourceError(
                f"filter: {found[0]} runs a program in the server",
                hint="compare fields: $eq, $gt, $in, $exists, $and, $or, $not, $elemMatch, $regex",
            )
        inner = part.values()
    elif isinstance(part, list):
        inner = part
    for each in inner:
        _refuse_code(each)


def _access(settings: MongodbSettings) -> Access:
    hosts = [settings.hosts] if isinstance(settings.hosts, str) else settings.hosts
    if not hosts or not all(_HOST.fullmatch(host) for host in hosts):
        raise SourceError(
            "hosts: one of them is no host with a port",  # it may hold a password: never told
            allowed=("HOST:27017", "[HOST:27017, HOST:27017]"),
            hint="who asks stands in `user` and `password`",
        )
    if settings.srv and len(hosts) > 1:
        raise SourceError("hosts: with `srv` there is one name, which tells the hosts")
    if settings.tls and (settings.tls.key and settings.tls.key != settings.tls.cert):
        raise SourceError(
            "tls: MongoDB's client takes certificate and key from one file",
            hint="put both into the file that `cert` names, and leave `key` out",
        )
    return Access(
        hosts=tuple(hosts),
        srv=settings.srv,
        replica_set=settings.replica_set,
        user=settings.user,
        password=settings.password,
        auth_database=settings.auth_database,
        tls=settings.tls,
    )
