"""A page of an answer: its records as they were sent, the way to the next one, what it reached.

Records are never made into Python objects: the page is parsed once, and each record stays the
bytes that it was. What a page says besides is read in the same pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec

from lichen.adapters.sources.http.order import Value
from lichen.core.errors import SourceError


class Page(NamedTuple):
    """The records of a page as bytes, what it says of the next page, a digest of its records."""

    records: list[bytes]
    following: Any
    digest: str


class Shape:
    """Where a page holds its records and the way to the next page; paths such as `data.items`."""

    def __init__(self, records: str | None, following: str | None, column: str | None) -> None:
        self._records = records
        self._paths = {"records": parts(records), "following": parts(following)}
        if following is None:
            del self._paths["following"]
        self._raw = _decoder(
            {name: (path, _TYPES[name]) for name, path in self._paths.items()}, "page"
        )
        self._column = parts(column)
        self._value = _decoder({"value": (self._column, Value | None)}, "record")
        self._values = _decoder({"value": (self._column, Value | None)}, "record", many=True)

    def page(self, body: bytes) -> Page:
        """Take a page apart; raises SourceError that says what is wrong with it."""
        try:
            found = self._raw.decode(body)
        except msgspec.ValidationError as error:
            raise self._misshapen(body) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"it is no JSON: {error}") from error
        raws = _at(found, self._paths["records"])
        if raws is msgspec.UNSET:
            raise self._misshapen(body)
        records = list(map(bytes, raws or ()))
        following = _at(found, self._paths["following"]) if "following" in self._paths else None
        digest = hashlib.blake2b(b"\n".join(records), digest_size=8).hexdigest()
        return Page(records, None if following is msgspec.UNSET else following, digest)

    def values(self, records: Sequence[bytes]) -> list[Value | None]:
        """Return the column's value in each record, None where it has none that has an order."""
        try:
            found = self._values.decode(b"[" + b",".join(records) + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [self._one(record) for record in records]
        if len(self._column) == 1:  # most often, and there are many
            return [None if each.f0 is msgspec.UNSET else each.f0 for each in found]
        return [_given(_at(each, self._column)) for each in found]

    def _one(self, record: bytes) -> Value | None:
        try:
            found: Value | None = _given(_at(self._value.decode(record), self._column))
            return found
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _misshapen(self, body: bytes) -> SourceError:
        """Say what stands where a list of records should."""
        whole = _plain(body)
        shown = f"at {self._records}" if self._records else "in it"
        found, held = whole, whole
        for part in self._paths["records"]:
            held = found
            found = found.get(part) if isinstance(found, dict) else None
        lists = (
            [name for name, value in held.items() if isinstance(value, list)]
            if isinstance(held, dict)
            else []
        )
        kind = _KINDS.get(type(found), "nothing") if found is not None else "nothing"
        return SourceError(
            f"there is {kind} {shown}, no list of records",
            allowed=lists,
            given=(self._paths["records"] or (None,))[-1],
            hint="say with records where they are, such as data.items",
        )


_TYPES: dict[str, Any] = {"records": list[msgspec.Raw] | None, "following": Any}
_KINDS: dict[type, str] = {
    dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number",
    bool: "true or false",
}  # fmt: skip


def parts(path: str | None) -> tuple[str, ...]:
    """Return the names on a path; one that begins with / is a JSON pointer.

    >>> parts("data.items"), parts("$.data"), parts("/a.b/c~1d"), parts(None)
    (('data', 'items'), ('data',), ('a.b', 'c/d'), ())
    """
    if not path or path == "$":
        return ()
    if path.startswith("/"):
        return tuple(p.replace("~1", "/").replace("~0", "~") for p in path[1:].split("/"))
    return tuple(path.removeprefix("$.").split("."))


def _decoder(
    wanted: dict[str, tuple[tuple[str, ...], Any]], name: str, *, many: bool = False
) -> msgspec.json.Decoder[Any]:
    """Return a decoder that reads what stands at some paths, and skips the rest."""
    made = _shape(list(wanted.values()), name)
    return msgspec.json.Decoder(GenericAlias(list, (made,)) if many else made)


def _shape(wanted: Sequence[tuple[tuple[str, ...], Any]], name: str) -> Any:
    """Return a type with the fields on some paths; they are numbered, whatever they are called."""
    leaves = [type_ for path, type_ in wanted if not path]
    if leaves:
        return leaves[0]
    names = list(dict.fromkeys(path[0] for path, _ in wanted))
    fields = []
    for index, key in enumerate(names):
        below = [(path[1:], type_) for path, type_ in wanted if path[0] == key]
        type_ = _shape(below, f"{name}_{index}")
        fields.append((f"f{index}", type_ | None | msgspec.UnsetType, msgspec.UNSET))
    renamed = {f"f{index}": key for index, key in enumerate(names)}
    return msgspec.defstruct(f"_{name}", fields, rename=renamed)


def _at(found: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not isinstance(found, msgspec.Struct):
            return msgspec.UNSET
        encoded = found.__struct_encode_fields__
        found = getattr(found, f"f{encoded.index(part)}")
    return found


def _given(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


def _plain(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
