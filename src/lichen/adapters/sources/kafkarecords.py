"""Kafka's messages as rows: values and keys as JSON, text or Avro, and what Kafka says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table

from lichen.adapters.sources.avrorecords import NoRecord
from lichen.adapters.sources.kafkacluster import Partition

Decode = Callable[[bytes], bytes]  # to JSON; raises NoRecord
Keys = Callable[[bytes], dict[str, Any]]  # of a record's key, the key columns
_TIME = DataType.timestamp("ms", tz="UTC")


class Records:
    """Makes rows of messages. `value` decodes a value, None where it is JSON already."""

    def __init__(self, *, text: bool, value: Decode | None, keys: Keys | None) -> None:
        self._text, self._value, self._keys = text, value, keys

    def batch(
        self, messages: Sequence[Any], parts: Mapping[Partition, str]
    ) -> tuple[Table, Table | None, int]:
        """Return rows, rejects, and the bytes that the messages hold."""
        values = [message.value() for message in messages]
        keys = [message.key() for message in messages]
        size = sum(map(len, filter(None, values))) + sum(map(len, filter(None, keys)))
        bad: dict[int, str] = {}
        columns: dict[str, Any] = {}
        if self._keys is not None:
            removes = [value is None for value in values]
            columns["_removes"] = Array(removes, DataType.bool())
        if self._text:
            columns |= self._texts(values, keys, bad)
        else:
            columns["_payload"] = Array(self._payloads(values, keys, bad), DataType.binary())
        columns |= _placed(messages, parts, keys)
        rows = Table.from_pydict(columns)
        if not bad:
            return rows, None, size
        return _without(rows, bad), _rejects(rows, bad, values, keys), size

    def _payloads(
        self, values: list[bytes | None], keys: list[bytes | None], bad: dict[int, str]
    ) -> list[bytes | None]:
        if self._value is None and None not in values:
            return values
        decode, found = self._value or bytes, list(values)
        for index, value in enumerate(values):
            try:
                found[index] = decode(value) if value is not None else self._removal(keys[index])
            except NoRecord as error:
                bad[index] = str(error)
        return found

    def _removal(self, key: bytes | None) -> bytes:
        return msgspec.json.encode(self._of_key(key))

    def _of_key(self, key: bytes | None) -> dict[str, Any]:
        if self._keys is None:
            raise NoRecord("it has no value; with `key_format` that removes what its key names")
        if key is None:
            raise NoRecord("it has neither a value nor a key")
        return self._keys(key)

    def _texts(
        self, values: list[bytes | None], keys: list[bytes | None], bad: dict[int, str]
    ) -> dict[str, Array]:
        texts: list[str | None] = []
        named: list[dict[str, Any]] = []
        for index, (value, key) in enumerate(zip(values, keys, strict=True)):
            text, of_key = None, {}
            try:
                text = value.decode() if value is not None else None
                of_key = self._of_key(key) if self._keys is not None or value is None else {}
            except UnicodeDecodeError:
                bad[index] = "it is no UTF-8 text"
            except NoRecord as error:
                bad[index] = str(error)
            texts.append(text)
            named.append(of_key)
        columns = {"value": Array(texts, DataType.utf8())}
        for name in sorted({name for row in named for name in row}):
            cells = [_cell(row.get(name)) for row in named]
            columns[name] = Array(cells, DataType.utf8())
        return columns


def keys_of(columns: Sequence[str], decode: Decode | None) -> Keys:
    """Return what makes key columns of a record's key; without `decode` that is a text."""
    wanted = [name for name in columns if name.lower() != "meta_key"]

    def keys(raw: bytes) -> dict[str, Any]:
        if not wanted:
            return {}
        try:
            said = msgspec.json.decode(decode(raw)) if decode is not None else raw.decode()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoRecord(f"its key does not read: {error}") from error
        if not isinstance(said, dict):
            if len(wanted) > 1:
                raise NoRecord(f"its key is one value, not {', '.join(wanted)}")
            return {wanted[0]: said}
        if missing := [name for name in wanted if name not in said]:
            raise NoRecord(f"its key has no {missing[0]}")
        return {name: said[name] for name in wanted}

    return keys


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _placed(
    messages: Sequence[Any], parts: Mapping[Partition, str], keys: Sequence[bytes | None]
) -> dict[str, Array]:
    topics = [message.topic() for message in messages]
    numbers = [message.partition() for message in messages]
    offsets = Array([message.offset() for message in messages], DataType.int64())
    times = [message.timestamp() for message in messages]
    return {
        "_file": Array([parts[p] for p in zip(topics, numbers, strict=True)], DataType.utf8()),
        "_line": offsets,
        "meta_topic": Array(topics, DataType.utf8()),
        "meta_partition": Array(numbers, DataType.int64()),
        "meta_offset": offsets,
        # A kind of 0 says that there is no time.
        "meta_time": Array([at if kind else None for kind, at in times], DataType.int64()).cast(
            _TIME
        ),
        "meta_key": Array(_texts_of(keys), DataType.utf8()),
    }


def _texts_of(keys: Sequence[bytes | None]) -> list[str | None]:
    try:
        return [key.decode() if key is not None else None for key in keys]
    except UnicodeDecodeError:
        return [_spelled(key) if key is not None else None for key in keys]


def _spelled(raw: bytes) -> str:
    r"""Return bytes as text, as SQL spells a blob where they are none.

    >>> _spelled(b"a"), _spelled(b"\xff\x00")
    ('a', '\\xFF\\x00')
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02X}" for byte in raw)


def _without(rows: Table, bad: Mapping[int, str]) -> Table:
    good = [index for index in range(rows.num_rows) if index not in bad]
    return Table.from_batches([_taken(rows, good)], schema=rows.schema)


def _taken(rows: Table, indices: Sequence[int]) -> Any:
    return rows.combine_chunks().to_batches()[0].take(Array(list(indices), DataType.int64()))


def _rejects(
    rows: Table,
    bad: Mapping[int, str],
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
) -> Table:
    batch = _taken(rows, list(bad))
    raw = [values[i] if values[i] is not None else keys[i] or b"" for i in bad]
    return Table.from_pydict(
        {
            "_file": batch.column("_file"),
            "_line": batch.column("_line"),
            "raw": Array(raw, DataType.binary()),
            "reason": Array(list(bad.values()), DataType.utf8()),
        }
    )
