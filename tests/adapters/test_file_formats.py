"""Files of every format: what they hold lands with the contract's types."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb
import fastavro
import pyorc
import pytest

from lichen.core.steps import Done, Failed, Land, Result
from lichen.testing.project import SmallProject

COLUMNS = {
    "id": "bigint", "at": "timestamptz", "day": "date", "amount": "decimal(10, 2)",
    "ok": "boolean", "name": "varchar", "more": "varchar",
}  # fmt: skip
AT = dt.datetime(2020, 1, 2, 3, 4, 5, 678900, tzinfo=dt.UTC)
DAY = dt.date(2020, 1, 2)
ROWS: list[dict[str, Any]] = [
    {"id": 1, "at": AT, "day": DAY, "amount": Decimal("1.50"), "ok": True, "name": "Zoë, \"Z\"",
     "more": {"a": [1, None]}},
    {"id": 2, "at": None, "day": None, "amount": None, "ok": None, "name": None, "more": None},
]  # fmt: skip
TEXTS = [
    {"id": "1", "at": "2020-01-02 03:04:05.6789", "day": "2020-01-02", "amount": "1.50",
     "ok": "true", "name": "Zoë, \"Z\"", "more": '{"a":[1,null]}'},
    {"id": "2"},
]  # fmt: skip


def _delimited(delimiter: str) -> bytes:
    quoted = [
        delimiter.join('"' + r[c].replace('"', '""') + '"' if c in r else "" for c in COLUMNS)
        for r in TEXTS
    ]
    return "\n".join([delimiter.join(COLUMNS), *quoted]).encode()


def _json_rows() -> list[dict[str, Any]]:
    return [r | {c: str(r[c]) for c in ("at", "day", "amount") if r[c] is not None} for r in ROWS]


def _parquet(path: Path, type_: str = "timestamptz") -> None:
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        db.execute(
            f"copy (select 1 as id, '2020-01-02 03:04:05.6789'::{type_} as at, "
            "date '2020-01-02' as day, 1.5::decimal(5, 2) as amount, true as ok, $name as name, "
            "{'a': [1, null]} as more union all select 2, null, null, null, null, null, null) "
            f"to '{path}' (format parquet)",
            {"name": ROWS[0]["name"]},
        )


def _avro(path: Path) -> None:
    logical = {"at": ("long", "timestamp-micros"), "day": ("int", "date")}
    types: dict[str, Any] = {c: {"type": t, "logicalType": n} for c, (t, n) in logical.items()}
    types["amount"] = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
    listed = {"type": "array", "items": ["null", "int"]}
    types["more"] = {"type": "record", "name": "M", "fields": [{"name": "a", "type": listed}]}
    types |= {"id": "long", "ok": "boolean", "name": "string"}
    fields = [{"name": c, "type": ["null", types[c]]} for c in COLUMNS]
    schema = fastavro.parse_schema({"type": "record", "name": "R", "fields": fields})
    with path.open("wb") as file:
        fastavro.writer(file, schema, ROWS, codec="deflate")


def _orc(path: Path) -> None:
    schema = (
        "struct<id:bigint,at:timestamp with local time zone,day:date,amount:decimal(5,2),"
        "ok:boolean,name:string,more:struct<a:array<int>>>"
    )
    with path.open("wb") as file, pyorc.Writer(file, schema) as writer:
        for row in ROWS:
            more = row["more"]
            writer.write((*(row[c] for c in list(COLUMNS)[:-1]), more and (more["a"],)))


def excel(path: Path, rows: list[list[str]], sheet: str = "data") -> None:
    """Write a workbook of one sheet, as small as one can be."""
    cells = "".join(
        f'<row r="{r}">'
        + "".join(
            f'<c r="{chr(65 + c)}{r}" t="inlineStr"><is><t>{escape(v)}</t></is></c>'
            for c, v in enumerate(row)
            if v
        )
        + "</row>"
        for r, row in enumerate(rows, start=1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    relation = f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="'
    end = "</Relationships>"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'{relation}{office}/officeDocument" Target="xl/workbook.xml"/>{end}',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        f'<sheet name="{sheet}" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{relation}{office}/worksheet" Target="worksheets/s.xml"/>'
        + end,
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData>'
        "</worksheet>",
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as book:
        for name, text in parts.items():
            book.writestr(name, text)


def _excel(path: Path) -> None:
    rows = [list(COLUMNS), *([r.get(c, "") for c in COLUMNS] for r in TEXTS)]
    excel(path, [rows[0], rows[1], [""] * len(COLUMNS), rows[2]])


def _bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _zst(path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
    path.write_bytes(zstandard.compress(_lines()))


def _lines() -> bytes:
    return "\n\n".join(json.dumps(row) for row in _json_rows()).encode()


def _nested() -> bytes:
    more = {"page": {"items": [], "next [": "}"}, "found": {"items": _json_rows(), "n": 2}}
    return json.dumps(more, indent=1).encode()


def run(project: SmallProject, now: str) -> Result:
    """Run, and return what came of the one landing."""
    (result,) = [e.result for e in project.run(now) if isinstance(e.step, Land)]
    assert result is not None
    return result


Case = tuple[str, str, Callable[[Path], object], list[int]]
CASES: dict[str, Case] = {
    "csv": ("a.csv", "", _bytes(_delimited(",")), [2, 3]),
    "tsv": ("a.tsv", "", _bytes(_delimited("\t")), [2, 3]),
    "delimiter": ("a.txt", "delimiter: ';'", _bytes(_delimited(";")), [2, 3]),
    "csv.gz": ("a.csv.gz", "", _bytes(gzip.compress(_delimited(","))), [2, 3]),
    "json": ("a.json", "", _bytes(json.dumps(_json_rows()).encode()), [1, 2]),
    "records": ("a.json", "records: found.items", _bytes(_nested()), [1, 2]),
    "ndjson": ("a.ndjson", "", _bytes(_lines()), [1, 3]),
    "jsonl.gz": ("a.jsonl.gz", "", _bytes(gzip.compress(_lines())), [1, 3]),
    "ndjson.zst": ("a.ndjson.zst", "", _zst, [1, 3]),
    "format": ("a.log", "format: ndjson", _bytes(_lines()), [1, 3]),
    "parquet": ("a.parquet", "", _parquet, [1, 2]),
    "naive": ("a.parquet", "", lambda path: _parquet(path, "timestamp"), [1, 2]),
    "nanoseconds": ("a.parquet", "", lambda path: _parquet(path, "timestamp_ns"), [1, 2]),
    "avro": ("a.avro", "", _avro, [1, 2]),
    "orc": ("a.orc", "", _orc, [1, 2]),
    "excel": ("a.xlsx", "sheet: data", _excel, [2, 4]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_lands_with_the_types_of_the_contract(tmp_path: Path, case: str) -> None:
    name, settings, write, lines = CASES[case]
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", f"path: in/*\nkey: id\n{settings}\n")
    project.contract("sources/s", COLUMNS)
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / name)
    assert isinstance(run(project, "2020-06-01"), Done)
    rows = project.versions("sources.s")
    told = [{c: row[c] for c in COLUMNS} for row in rows]
    for row in told:
        row["more"] = row["more"] and json.loads(row["more"])
    assert told == ROWS
    assert [(row["_file"], row["_line"]) for row in rows] == [(f"in/{name}", n) for n in lines]
    assert [row["_raw"] for row in rows] == [None, None]


POISON = [b'{"id" 1}', b"[1, 2]", b"'id'", b'{"id": "\xff"}', b"7", b"nul", b'"x"', b"{'id': 1}"]


def _csv_poison(number: int) -> bytes:
    return [b"a", b"1,2,3", b'1,"x"y', b"1,\xff"][number % 4]


def _mixed(good: Callable[[int], bytes], bad: Callable[[int], bytes]) -> list[bytes]:
    """99,000 good records, and after every 99 of them a bad one."""
    return [bad(i // 100) if i % 100 == 99 else good(i) for i in range(100_000)]


def _object(number: int) -> bytes:
    return b'{"id": %d, "name": "n"}' % number


POISONED: dict[str, Callable[[], bytes]] = {
    "csv": lambda: b"\n".join([b"id,name", *_mixed(lambda i: b"%d,n" % i, _csv_poison)]),
    "ndjson": lambda: b"\n".join(_mixed(_object, lambda n: POISON[n % len(POISON)])),
    "json": lambda: b"[" + b",\n".join(_mixed(_object, lambda n: POISON[n % len(POISON)])) + b"]",
}


@pytest.mark.parametrize("kind", POISONED)
def test_poison_is_kept_with_reason_and_bytes_and_all_else_lands(tmp_path: Path, kind: str) -> None:
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", "path: in/*\nkey: id\n")
    project.contract("sources/s", {"id": "bigint", "name": "varchar"})
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/a.{kind}").write_bytes(POISONED[kind]())
    assert isinstance(run(project, "2020-06-01"), Done)
    ids = [row["id"] for row in project.current("sources.s", "2020-06-02")]
    assert sorted(ids) == [i for i in range(100_000) if i % 100 != 99]
    held = project.verdicts("sources.s")
    assert len(held) == 1_000
    assert all(v["reason"] and v["_row"] is None and v["_line"] for v in held)
    bad = _csv_poison if kind == "csv" else lambda n: POISON[n % len(POISON)]
    assert [bytes(v["raw"]) for v in sorted(held, key=lambda v: v["_line"])] == [
        bad(n) for n in range(1_000)
    ]


TORN: dict[str, Callable[[Path], object]] = {
    "parquet": _parquet, "avro": _avro, "orc": _orc, "xlsx": _excel,
    "csv.gz": _bytes(gzip.compress(_delimited(","))),
    "json": _bytes(json.dumps(_json_rows()).encode()),
}  # fmt: skip


@pytest.mark.parametrize("kind", TORN)
def test_a_torn_file_is_told_and_the_others_land(tmp_path: Path, kind: str) -> None:
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", "path: in/*\nkey: id\n")
    project.contract("sources/s", COLUMNS)
    torn = tmp_path / f"in/a.{kind}"
    torn.parent.mkdir()
    TORN[kind](torn)
    whole = torn.read_bytes()
    torn.write_bytes(whole[: int(len(whole) * 0.7)])
    result = run(project, "2020-06-01")
    assert isinstance(result, Failed), "it is all that there is"
    assert f"in/a.{kind}" in result.error
    (tmp_path / "in/b.csv").write_bytes(_delimited(","))
    result = run(project, "2020-06-02")
    assert isinstance(result, Done), result
    (finding,) = result.findings
    assert "1 file cannot be read" in finding.message
    (held,) = project.verdicts("sources.s")
    assert held["_file"] == f"in/a.{kind}"
    assert held["reason"]
    torn.write_bytes(whole.replace(b"Zo", b"Xo") if kind == "json" else whole)
    result = run(project, "2020-06-03")
    assert isinstance(result, Done), result


def test_a_bomb_is_not_unpacked_beyond_the_limit(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.write("sources/s.yml", "path: in/*\nlargest: 2 MB\n")
    project.contract("sources/s", {"id": "bigint"})
    (tmp_path / "in").mkdir()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        for _ in range(50):
            file.write(b"\n" * 1_000_000)
    (tmp_path / "in/a.csv.gz").write_bytes(packed.getvalue())
    result = run(project, "2020-06-01")
    assert isinstance(result, Failed)
    assert "more than 2,000,000 bytes" in result.error
    assert not list((tmp_path / ".lichen").rglob("fetched/sources.s/*"))


def test_an_outside_path_is_read_only_where_it_was_said(tmp_path: Path) -> None:
    root, other = tmp_path / "p", tmp_path / "other"
    other.mkdir()
    (other / "a.csv").write_text("id\n1\n")
    project = SmallProject(root)
    project.contract("sources/s", {"id": "bigint"})
    project.write("sources/s.yml", f"path: {other}/*.csv\n")
    result = run(project, "2020-06-01")
    assert isinstance(result, Failed)
    assert "leads out of the project" in result.error
    project.write("sources/s.yml", f"path: {other}/*.csv\nanywhere: true\n")
    result = run(project, "2020-06-01")
    assert isinstance(result, Done), result
    assert [row["_file"] for row in project.versions("sources.s")] == [f"{other}/a.csv"]
    assert project.plan("2020-06-02") == ()
