"""MySQL's JSON as the binlog holds it, made the text that a SELECT gives."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

_LITERALS = {0: "null", 1: "true", 2: "false"}
_NUMBERS = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q", 11: "<d"}


def json_text(data: bytes) -> str:
    """Return a document as text; an empty one is `null`, as MySQL reads it."""
    return _value(data[0], data, 1) if data else "null"


def _value(type_: int, data: bytes, at: int) -> str:
    if type_ < 4:
        return _several(data, at, large=bool(type_ & 1), named=type_ < 2)
    if type_ == 4:
        return _LITERALS[data[at]]
    if type_ in _NUMBERS:
        return _number(struct.unpack_from(_NUMBERS[type_], data, at)[0])
    if type_ == 12:
        size, at = _length(data, at)
        return json.dumps(data[at : at + size].decode(), ensure_ascii=False)
    kind = data[at]
    size, at = _length(data, at + 1)
    return _opaque(kind, data[at : at + size])


def _several(data: bytes, at: int, *, large: bool, named: bool) -> str:
    form, width = ("<I", 4) if large else ("<H", 2)
    read = struct.Struct(form).unpack_from
    count, place = read(data, at)[0], at + 2 * width
    names = []
    for _ in range(count if named else 0):
        begin = at + read(data, place)[0]
        (size,) = struct.unpack_from("<H", data, place + width)
        names.append(json.dumps(data[begin : begin + size].decode(), ensure_ascii=False))
        place += width + 2
    values = []
    for _ in range(count):
        type_, place = data[place], place + 1
        inside = type_ in (4, 5, 6) or (large and type_ in (7, 8))
        values.append(_value(type_, data, place if inside else at + read(data, place)[0]))
        place += width
    if not named:
        return f"[{', '.join(values)}]"
    pairs = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
    return "{" + ", ".join(pairs) + "}"


def _number(value: Any) -> str:
    """Return a number as MySQL prints it.

    >>> _number(1e20), _number(1e-7), _number(2.0), _number(7)
    ('1e20', '1e-7', '2.0', '7')
    """
    text = repr(value)
    head, mark, power = text.partition("e")
    return f"{head}e{int(power)}" if mark else text


def _opaque(kind: int, raw: bytes) -> str:
    if kind == 246:
        from lichen.adapters.sources.mysql.image import decimal_text

        return decimal_text(raw[2:], raw[0], raw[1])
    if kind in (7, 10, 11, 12):
        return f'"{_moment(kind, int.from_bytes(raw, "little", signed=True))}"'
    return f'"base64:type{kind}:{base64.b64encode(raw).decode()}"'


def _moment(kind: int, packed: int) -> str:
    sign, packed = ("-" if packed < 0 else ""), abs(packed)
    value, part = packed >> 24, packed & 0xFFFFFF
    if kind == 11:
        return f"{sign}{value >> 12 & 1023:02}:{value >> 6 & 63:02}:{value & 63:02}.{part:06}"
    months, day = value >> 22, value >> 17 & 31
    date = f"{months // 13:04}-{months % 13:02}-{day:02}"
    if kind == 10:
        return date
    return f"{date} {value >> 12 & 31:02}:{value >> 6 & 63:02}:{value & 63:02}.{part:06}"


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if not byte & 0x80:
            return value, at
