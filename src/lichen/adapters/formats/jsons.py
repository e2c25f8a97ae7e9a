"""JSON in files: one object on each line, or the elements of a list somewhere in a document.

A document is taken apart without being understood: what lies between the commas of its list is a
record, whether it reads or not. So one bad element costs only itself, as long as its brackets and
quotes come in pairs; where they do not, nothing tells where the next element begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from arro3.core import Array, DataType, Table
from numpy.typing import NDArray

from lichen.core.errors import FileUnreadable
from lichen.ports.engine import Engine, Records

_AT_ONCE = 1 << 24  # bytes
_MARK = b"\xef\xbb\xbf"
_NAME = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_BYTES = np.zeros(256, np.int8)  # what opens, closes and parts
_BYTES[list(b"{[")], _BYTES[list(b"}]")], _BYTES[ord(",")] = 1, -1, 2

Payloads = tuple[list[int], list[bytes]]  # the number of each, and its bytes


def lines(path: Path, engine: Engine, columns: Sequence[str], *, more: bool) -> Records:
    """Return the fields of the objects that stand on the lines of a file."""
    return _decoded(_lines(path), engine, columns, more=more)


def elements(
    path: Path, names: Sequence[str], engine: Engine, columns: Sequence[str], *, more: bool
) -> Records:
    """Return the fields of the objects in a list; `names` lead to it from the document's top.

    `_line` counts the elements from 1. Raises FileUnreadable.
    """
    return _decoded(_elements(path, names), engine, columns, more=more)


def _decoded(
    parts: Iterator[Payloads], engine: Engine, columns: Sequence[str], *, more: bool
) -> Records:
    rows: list[Table] = []
    rejects: list[Table] = []
    for numbers, payloads in parts:
        table = Table.from_pydict(
            {
                "_payload": Array(payloads, DataType.binary()),
                "_file": Array([""] * len(payloads), DataType.utf8()),
                "_line": Array(numbers, DataType.int64()),
            }
        )
        found = engine.json(table, columns, more=more)
        names = [name for name in found.rows.column_names if name != "_file"]
        rows.append(found.rows.select(names))
        rejects.append(found.rejects.select(["_line", "raw", "reason"]))
    return Records(joined(rows), joined(rejects))


def joined(tables: Sequence[Table]) -> Table:
    """Return tables of one shape as one."""
    batches = [batch for table in tables for batch in table.to_batches()]
    return Table.from_batches(batches, schema=tables[0].schema)


def _lines(path: Path) -> Iterator[Payloads]:
    """Yield the lines that are not blank."""
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            file.seek(0)
        number, rest, told = 0, b"", False
        while not told or rest:
            block = file.read(_AT_ONCE)
            told = told or not block
            pieces = (rest + block).split(b"\n")
            rest = pieces.pop() if block else b""
            filled = [(n, p) for n, p in enumerate(pieces, start=number + 1) if p.strip()]
            yield [n for n, _ in filled], [p.removesuffix(b"\r") for _, p in filled]
            number += len(pieces)


def _elements(path: Path, names: Sequence[str]) -> Iterator[Payloads]:
    data: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    outline = _outline(data, len(names) + 1)
    begin = _found(data, outline, names)
    cuts = _cuts(data, outline, begin, len(names) + 1)
    if len(cuts) == 2 and not data[cuts[0] + 1 : cuts[1]].tobytes().strip():
        cuts = cuts[:1]  # an empty list
    if len(cuts) < 2:
        yield [], []
    for first in range(0, len(cuts) - 1, 100_000):
        here = cuts[first : first + 100_001].tolist()
        pairs = pairwise(here)
        payloads = [data[begin + 1 : end].tobytes().strip() for begin, end in pairs]
        yield list(range(first + 1, first + 1 + len(payloads))), payloads


class _Outline(NamedTuple):
    """Where something opens, closes or is parted, down to a depth; the top has depth 1."""

    places: NDArray[np.int64]
    depths: NDArray[np.int64]


def _outline(data: NDArray[np.uint8], deepest: int) -> _Outline:
    """Return what stands outside of quotes, of the containers that are no deeper."""
    places, depths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    depth, quoted, slashes = 0, 0, 0
    for start in range(0, len(data), _AT_ONCE):
        block = data[start : start + _AT_ONCE]
        marks, slashes = _quotes(block, slashes)
        inside = (np.cumsum(marks, dtype=np.int64) + quoted) & 1
        quoted = int(inside[-1])
        kinds = _BYTES[block]
        here = np.flatnonzero((kinds != 0) & (inside == 0))
        kind = kinds[here].astype(np.int64)
        steps = np.where(kind == 2, 0, kind)
        after = np.cumsum(steps) + depth
        level = np.where(kind == -1, after + 1, after)  # of the container that it belongs to
        near = level <= deepest
        places.append(here[near] + start)
        depths.append(level[near])
        depth = int(after[-1]) if len(after) else depth
    if quoted or depth:
        raise FileUnreadable(
            "this JSON does not read: its brackets and quotes do not come in pairs",
            hint="if each line is an object of its own, say `format: ndjson`",
        )
    return _Outline(np.concatenate(places), np.concatenate(depths))


def _quotes(block: NDArray[np.uint8], slashes: int) -> tuple[NDArray[np.bool_], int]:
    """Return which bytes are quotes that are not escaped, and the backslashes at the end."""
    marks = block == ord('"')
    slash = block == ord("\\")
    if not slash.any() and not slashes:
        return marks, 0
    index = np.arange(len(block))
    other = np.maximum.accumulate(np.where(slash, -1 - slashes, index))
    before = np.concatenate([[-1 - slashes], other[:-1]])  # the last byte that is none
    run = index - 1 - before
    trailing = len(block) - 1 - int(other[-1])
    return marks & (run % 2 == 0), trailing


def _found(data: NDArray[np.uint8], outline: _Outline, names: Sequence[str]) -> int:
    """Return where the list opens that names lead to."""
    head = data[: 1 << 16].tobytes().removeprefix(_MARK)
    at = len(data[: 1 << 16]) - len(head.lstrip())
    for depth, name in enumerate(names, start=1):
        if at >= len(data) or data[at] != ord("{"):
            raise FileUnreadable(f"there is no object that could have the field {name!r}")
        members = dict(_members(data, _cuts(data, outline, at, depth)))
        if name not in members:
            raise FileUnreadable(f"there is no field {name!r}", allowed=members, given=name)
        at = members[name]
    if at >= len(data) or data[at] != ord("["):
        where = f"the field {'.'.join(names)}" if names else "this JSON"
        raise FileUnreadable(
            f"{where} is no list",
            hint="say `records: path.to.list` for a list within the document, or `format: ndjson` "
            "if each line is an object of its own",
        )
    return at


def _cuts(data: NDArray[np.uint8], outline: _Outline, begin: int, depth: int) -> NDArray[np.int64]:
    """Return where a container opens, where it is parted, and where it closes."""
    ours = outline.places[(outline.depths == depth) & (outline.places >= begin)]
    closes = ours[np.isin(data[ours], list(b"}]"))]
    cuts: NDArray[np.int64] = ours[ours <= closes[0]]
    return cuts


def _members(data: NDArray[np.uint8], cuts: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
    for begin, end in pairwise(cuts.tolist()):
        found = _NAME.match(data[begin + 1 : min(end, begin + 4096)].tobytes())
        if found:
            yield json.loads(found[1]), begin + 1 + found.end()
