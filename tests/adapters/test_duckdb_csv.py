"""CSV as text: what reads, what does not, and on which line it stands."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lichen.adapters.duckdb import DuckDB
from lichen.core.errors import LakeError

_ENGINE = DuckDB(threads=2)
Rows = list[tuple[Any, ...]]


def _read(path: Path, data: bytes, delimiter: str = ",") -> tuple[Rows, Rows]:
    path.write_bytes(data)
    found = _ENGINE.csv(path, delimiter=delimiter)
    return _rows(found.rows), [row[:2] for row in _rows(found.rejects)]


def _rows(table: Any) -> Rows:
    columns = [[cell[i].as_py() for i in range(len(cell))] for cell in table.columns]
    return list(zip(*columns, strict=True))


CASES: dict[str, tuple[bytes, Rows, Rows]] = {
    "plain": (b"a,b\n1,2\n3,4", [("1", "2", 2), ("3", "4", 3)], []),
    "header alone": (b"a,b\n", [], []),
    "empty is NULL unless quoted": (b'a,b\n,""\n', [(None, "", 2)], []),
    "NA stays text": (b"a,b\nNA,null\n", [("NA", "null", 2)], []),
    "a mark at the start": (b"\xef\xbb\xbfa,b\n1,2\n9\n", [("1", "2", 2)], [(3, b"9")]),
    "carriage returns": (
        b'a,b\r\n1,"q\r\nz"\r\n4\r\n\r\n5,6\r\n7\r\n',
        [("1", "q\r\nz", 2), ("5", "6", 6)],
        [(4, b"4"), (7, b"7")],
    ),
    "too few and too many": (
        b"a,b\n1,2\n3\n4,5,6\n7,8\n",
        [("1", "2", 2), ("7", "8", 5)],
        [(3, b"3"), (4, b"4,5,6")],
    ),
    "line ends in quotes": (b'a,b\n1,"x\n\ny"\n3,4\n', [("1", "x\n\ny", 2), ("3", "4", 5)], []),
    "quotes in quotes": (b'a,b\n"say ""hi""",2\n', [('say "hi"', "2", 2)], []),
    "a quote in the middle": (b'a,b\n1,5" pipe\n2,3\n', [("1", '5" pipe', 2), ("2", "3", 3)], []),
    "text after a quote": (b'a,b\n1,"x"y\n3,4\n', [("3", "4", 3)], [(2, b'1,"x"y')]),
    "a quote left open": (b'a,b\n0,0\n1,"x\n3,4\n', [("0", "0", 2)], [(3, b'1,"x\n3,4')]),
    "not UTF-8": (b'a,b\n1,\xff\n2,"\n\xff"\n5,6\n', [("5", "6", 5)],
                  [(2, b"1,\xff"), (3, b'2,"\n\xff"')]),
    "blank lines": (b"a,b\n\n1,2\n\n\n,\n3,4\n\n",
                    [("1", "2", 3), (None, None, 6), ("3", "4", 7)], []),
    "blank lines of one column": (b"a\n1\n\n2\n", [("1", 2), (None, 3), ("2", 4)], []),
    "odd names": (b'"a ""b""",\'; drop\n1,2\n', [("1", "2", 2)], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_records_and_rejects(tmp_path: Path, case: str) -> None:
    data, rows, rejects = CASES[case]
    assert _read(tmp_path / "x.csv", data) == (rows, rejects)


REFUSED = {
    "no header": (b"", "header is missing"),
    "a blank first line": (b"\na,b\n", "header is missing"),
    "a name twice": (b"a,A\n", "'A' stands twice"),
    "a missing name": (b"a,,b\n", "no name"),
    "our own name": (b"a,_line\n", "'_line' stands twice"),
    "a header over two lines": (b'a,"b\nc"\n1,2\n', "header does not read"),
    "mixed line ends": (b"a,b\n1,2\r\n3,4\n5,6\r\n", "does not read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_refused(tmp_path: Path, case: str) -> None:
    data, said = REFUSED[case]
    with pytest.raises(LakeError, match=said):
        _read(tmp_path / "x.csv", data)


def test_another_delimiter(tmp_path: Path) -> None:
    assert _read(tmp_path / "x.csv", b"a;b\n1,5;2\n", ";") == ([("1,5", "2", 2)], [])


_value = st.text(st.sampled_from('ab1 ,"\né'), max_size=6)
_record = st.one_of(
    st.tuples(_value, _value, _value).map(lambda values: (True, values)),
    st.tuples(_value, _value).map(lambda values: (False, values)),
    st.just((True, ())),
)


@settings(max_examples=80, deadline=None)
@given(records=st.lists(_record, max_size=12), ending=st.sampled_from(["\n", "\r\n"]))
def test_lines_equal_an_independent_reader(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[bool, tuple[str, ...]]],
    ending: str,
) -> None:
    out, rows, rejects, line = io.StringIO(), [], [], 2
    for good, values in records:
        cells = tuple(value.replace("\n", ending) for value in values)
        start = out.tell()
        csv.writer(out, lineterminator=ending, quoting=csv.QUOTE_ALL).writerow(cells)
        written = out.getvalue()[start:]
        if cells and good:
            rows.append((*cells, line))
        elif cells:
            rejects.append((line, written.removesuffix(ending).encode()))
        line += written.count("\n")
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    assert _read(path, ("a,b,c" + ending + out.getvalue()).encode()) == (rows, rejects)


def test_many_records_keep_their_lines(tmp_path: Path) -> None:
    """Enough for several threads' parts of the file."""
    body, rows, rejects, line = [], [], [], 2
    for i in range(60_000):
        text = f'{i},"q\n{i}"' if i % 97 == 0 else "" if i % 89 == 0 else f"{i},{'y' * (i % 61)}"
        text = f"{i}" if i % 83 == 0 else text
        if i % 83 == 0:
            rejects.append((line, text.encode()))
        elif text:
            rows.append((str(i), line))
        body.append(text)
        line += 1 + text.count("\n")
    found, bad = _read(tmp_path / "x.csv", ("a,b\n" + "\n".join(body)).encode())
    assert [(row[0], row[2]) for row in found] == rows
    assert bad == rejects
