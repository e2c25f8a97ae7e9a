"""Values in the rows of the binlog, made the same texts and numbers as a SELECT gives."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lichen.adapters.sources.mysql.columns import Column
from lichen.adapters.sources.mysql.jsonb import json_text

Decoder = Callable[[bytes, int], tuple[Any, int]]

WIDE = {  # texts in more than one byte a character, by Python's name
    "utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "ucs2": "utf-16-be",
    "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be", "ascii": "utf-8",
}  # fmt: skip
_WHOLE = {  # type, struct signed, struct unsigned
    1: ("<b", "<B"), 2: ("<h", "<H"), 3: ("<i", "<I"), 8: ("<q", "<Q"),
}  # fmt: skip
_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)  # bytes of so many digits
_LISTED = re.compile(r"'((?:[^'\\]|''|\\.)*)'")
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_WIDTH = re.compile(r"\((\d+)")
# What of the server's types may stand in the log under which codes.
_CODES: Mapping[str, Sequence[int]] = {
    "tinyint": (1,), "smallint": (2,), "mediumint": (9,), "int": (3,), "bigint": (8,),
    "float": (4,), "double": (5,), "decimal": (246,), "bit": (16,), "year": (13,),
    "date": (10,), "datetime": (18, 12), "timestamp": (17, 7), "time": (19, 11),
    "char": (254,), "varchar": (15, 253), "binary": (254,), "varbinary": (15, 253),
    "enum": (254, 247), "set": (254, 248), "json": (245,), "vector": (242, 15),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), (252,)),
    **dict.fromkeys(("tinyblob", "blob", "mediumblob", "longblob"), (252,)),
}  # fmt: skip
_GEOMETRY = (255, 252)


def readable(column: Column, tables: Mapping[str, str]) -> bool:
    """Return whether the log tells a column's values in a way that is understood here."""
    if "compressed" in column.full.lower():
        return False
    if column.charset and column.charset not in WIDE and column.charset not in tables:
        return False
    return column.type in _CODES or column.kind == "bytes"


def fits(column: Column, code: int) -> bool:
    """Return whether values of a column come under a type's code."""
    return code in _CODES.get(column.type, _GEOMETRY)


def decoder(column: Column, code: int, more: int, tables: Mapping[str, str]) -> Decoder:
    """Return what reads a value: of bytes and a place the value, and the place after it.

    `more` is what the table map adds to the type; `tables` has the 256 characters of each set that
    has a byte for each.
    """
    if code in _WHOLE or code == 9:
        return _whole(column, code)
    if code in (4, 5):
        return _struct("<f" if code == 4 else "<d")
    if code == 246:
        return _decimal(column, more & 0xFF, more >> 8)
    if code in (7, 10, 11, 12, 13, 17, 18, 19):
        return _moment(code, more)
    if code == 16:
        return _bits(more)
    return _string(column, code, more, tables)


def _struct(form: str) -> Decoder:
    unpack, size = struct.Struct(form).unpack_from, struct.calcsize(form)
    return lambda data, at: (unpack(data, at)[0], at + size)


def _whole(column: Column, code: int) -> Decoder:
    plain = _middling(column) if code == 9 else _struct(_WHOLE[code][column.unsigned])
    if column.kind == "integer":
        return plain
    found = _WIDTH.search(column.full) if "zerofill" in column.full else None
    width = int(found[1]) if found else 0

    def filled(data: bytes, at: int) -> tuple[Any, int]:
        value, at = plain(data, at)
        return str(value).zfill(width), at

    return filled


def _middling(column: Column) -> Decoder:
    signed = not column.unsigned
    return lambda data, at: (int.from_bytes(data[at : at + 3], "little", signed=signed), at + 3)


def _bits(more: int) -> Decoder:
    size = (more >> 8) + (1 if more & 0xFF else 0)
    return lambda data, at: (str(int.from_bytes(data[at : at + size], "big")), at + size)


def _decimal(column: Column, precision: int, scale: int) -> Decoder:
    (tens, over), (parts, rest) = divmod(precision - scale, 9), divmod(scale, 9)
    sizes = [*([_DIGITS[over]] if over else []), *[4] * tens]
    after = [*[(4, 9)] * parts, *([(_DIGITS[rest], rest)] if rest else [])]
    size = sum(sizes) + sum(bytes_ for bytes_, _ in after)
    fill = precision + (1 if scale else 0) if "zerofill" in column.full else 0

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        raw = bytearray(data[at : at + size])
        negative = not raw[0] & 0x80
        raw[0] ^= 0x80
        if negative:
            raw = bytearray(b ^ 0xFF for b in raw)
        place, before, behind = 0, 0, ""
        for bytes_ in sizes:
            before = before * 10**9 + int.from_bytes(raw[place : place + bytes_], "big")
            place += bytes_
        for bytes_, digits in after:
            behind += str(int.from_bytes(raw[place : place + bytes_], "big")).zfill(digits)
            place += bytes_
        text = f"{before}.{behind}" if scale else str(before)
        return ("-" + text if negative else text.zfill(fill)), at + size

    return decode


def decimal_text(data: bytes, precision: int, scale: int) -> str:
    """Return a decimal as it stands in the log."""
    text, _ = _decimal(Column("", "decimal"), precision, scale)(data, 0)
    return str(text)


def _moment(code: int, digits: int) -> Decoder:
    if code == 13:
        return lambda data, at: (str(1900 + data[at]) if data[at] else "0000", at + 1)
    size, tell = _MOMENTS[code]
    behind = (digits + 1) // 2 if code in (17, 18, 19) else 0
    if code == 19:
        return lambda data, at: (_time(data[at : at + 3 + behind], digits), at + 3 + behind)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        text, end = tell(data[at : at + size]), at + size
        if digits:
            part = int.from_bytes(data[end : end + behind], "big")
            text += "." + f"{part:0{2 * behind}}"[:digits]
        return text, end + behind

    return decode


def _date(raw: bytes) -> str:
    value = int.from_bytes(raw, "little")
    return f"{value >> 9:04}-{value >> 5 & 15:02}-{value & 31:02}"


def _old_time(raw: bytes) -> str:
    value = int.from_bytes(raw, "little", signed=True)
    sign, value = ("-" if value < 0 else ""), abs(value)
    return f"{sign}{value // 10000:02}:{value // 100 % 100:02}:{value % 100:02}"


def _old_datetime(raw: bytes) -> str:
    text = f"{int.from_bytes(raw, 'little'):014}"
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:10]}:{text[10:12]}:{text[12:]}"


def _datetime(raw: bytes) -> str:
    value = int.from_bytes(raw, "big") - (1 << 39)
    months = value >> 22
    return (
        f"{months // 13:04}-{months % 13:02}-{value >> 17 & 31:02} "
        f"{value >> 12 & 31:02}:{value >> 6 & 63:02}:{value & 63:02}"
    )


def _timestamp(seconds: int) -> str:
    if not seconds:
        return "0000-00-00 00:00:00"
    days, rest = divmod(seconds, 86400)
    year, month, day = _civil(days)
    return f"{year:04}-{month:02}-{day:02} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def _civil(days: int) -> tuple[int, int, int]:
    """Return the date so many days after 1970-01-01 (after Howard Hinnant's algorithm).

    >>> _civil(19782)
    (2024, 2, 29)
    """
    days += 719468
    era, of_era = divmod(days, 146097)
    years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return years + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def _time(raw: bytes, digits: int) -> str:
    behind = len(raw) - 3
    value = int.from_bytes(raw, "big") - (1 << 8 * len(raw) - 1)
    sign, value = ("-" if value < 0 else ""), abs(value)
    whole, part = value >> 8 * behind, value & (1 << 8 * behind) - 1
    text = f"{sign}{whole >> 12 & 1023:02}:{whole >> 6 & 63:02}:{whole & 63:02}"
    return text + ("." + f"{part:0{2 * behind}}"[:digits] if digits else "")


_MOMENTS: Mapping[int, tuple[int, Callable[[bytes], str]]] = {
    7: (4, lambda raw: _timestamp(int.from_bytes(raw, "little"))),
    10: (3, _date),
    11: (3, _old_time),
    12: (8, _old_datetime),
    17: (4, lambda raw: _timestamp(int.from_bytes(raw, "big"))),
    18: (5, _datetime),
    19: (3, _old_time),
}


def _string(column: Column, code: int, more: int, tables: Mapping[str, str]) -> Decoder:
    length = more >> 8 if code in (247, 248) else more  # of a varchar: its most bytes
    if code == 254:
        first, second = more & 0xFF, more >> 8
        code = first if first & 0x30 == 0x30 else first | 0x30
        length = second if code == first else second | ((first & 0x30) ^ 0x30) << 4
    if code in (247, 248):
        return _listed(column, code, length)
    size = more if code in (242, 245, 252, 255) else 1 if length < 256 else 2
    finish = _finish(column, length, tables)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        begin = at + size
        end = begin + int.from_bytes(data[at:begin], "little")
        return finish(data[begin:end]), end

    return decode


def _finish(column: Column, length: int, tables: Mapping[str, str]) -> Callable[[bytes], Any]:
    if column.type == "json":
        return json_text
    if column.type == "binary":  # the log leaves zeros at its end away
        return lambda raw: raw.ljust(length, b"\0")
    if column.kind == "bytes":
        return lambda raw: raw
    if (codec := WIDE.get(column.charset or "utf8mb4")) is not None:
        return lambda raw: raw.decode(codec)
    table = tables[column.charset]
    return lambda raw: raw.decode("latin-1").translate(table)


def _listed(column: Column, code: int, size: int) -> Decoder:
    names = [_ESCAPED.sub(_plain, found) for found in _LISTED.findall(column.full)]

    def one(data: bytes, at: int) -> tuple[Any, int]:
        value = int.from_bytes(data[at : at + size], "little")
        return names[value - 1] if value else "", at + size

    def several(data: bytes, at: int) -> tuple[Any, int]:
        value = int.from_bytes(data[at : at + size], "little")
        return ",".join(n for i, n in enumerate(names) if value >> i & 1), at + size

    return one if code == 247 else several


def _plain(found: re.Match[str]) -> str:
    return {None: "'", "n": "\n", "r": "\r", "0": "\0"}.get(found[1], found[1])
