"""What every engine must do. Subclass `EngineKit` in a test file and return yours from `engine`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlglot import exp

from lichen.core.errors import LakeError
from lichen.core.sql import parse_select
from lichen.ports.engine import Engine, Relations, Scan
from lichen.ports.lake import Column, Staged

TYPES: Mapping[str, tuple[str, str, Any]] = {
    "moment": (
        "TIMESTAMP WITH TIME ZONE",
        "timestamptz '2013-12-01 01:30:00.000001-05:00'",
        datetime(2013, 12, 1, 6, 30, 0, 1, tzinfo=UTC),
    ),
    "whole": ("BIGINT", "9007199254740993::bigint", 9007199254740993),
    "small": ("INTEGER", "7::integer", 7),
    "origins": ("BIGINT[]", "[4294967296, null]::bigint[]", [4294967296, None]),
    "yes": ("BOOLEAN", "true", True),
    "real": ("DOUBLE", "0.1::double", 0.1),
    "words": ("VARCHAR", "'it''s 5\" — é'", "it's 5\" — é"),
    "price": ("DECIMAL(12,2)", "12345.60::decimal(12, 2)", Decimal("12345.60")),
    "day": ("DATE", "date '2013-12-01'", date(2013, 12, 1)),
}


def sql(text: str) -> exp.Select:
    """Return the tree of a SELECT."""
    return parse_select(text, Path("kit.sql"))


class EngineKit:
    """Tests for pytest; `engine` is what they are about."""

    def engine(self) -> Engine:
        """Return a fresh engine."""
        raise NotImplementedError

    def everything(self) -> exp.Select:
        """Return a query with a value and a NULL of every type that a table can hold."""
        values = ", ".join(f"{value} as {name}" for name, (_, value, _) in TYPES.items())
        nothing = ", ".join(f"null::{kind}" for kind, _, _ in TYPES.values())
        return sql(f"select * from (select {values} union all select {nothing}) as v")  # noqa: S608

    def test_types_survive_being_stored(self, tmp_path: Path) -> None:
        engine = self.engine()
        staged = engine.write(self.everything(), {}, tmp_path / "a.parquet")
        assert staged.columns == tuple(Column(n, t) for n, (t, _, _) in TYPES.items())
        assert (staged.rows, staged.size) == (2, (tmp_path / "a.parquet").stat().st_size)
        read = {"tables.t": Scan((staged.path,), staged.columns)}
        query = sql('select * from "tables.t"')
        assert engine.columns(query, read) == staged.columns
        full, empty = engine.rows(query, read)
        assert full == {name: value for name, (_, _, value) in TYPES.items()}
        assert set(empty.values()) == {None}

    def test_a_relation_without_files_is_empty_and_typed(self) -> None:
        engine = self.engine()
        columns = tuple(Column(n, t) for n, (t, _, _) in TYPES.items())
        read = {"tables.t": Scan((), columns)}
        assert engine.columns(sql('select * from "tables.t"'), read) == columns
        assert engine.rows(sql('select * from "tables.t"'), read) == []

    def test_only_the_declared_columns_are_seen(self, tmp_path: Path) -> None:
        engine = self.engine()
        staged = engine.write(self.everything(), {}, tmp_path / "a.parquet")
        read = {"tables.t": Scan((staged.path,), (Column("day", "DATE"),))}
        assert engine.columns(sql('select * from "tables.t"'), read) == (Column("day", "DATE"),)

    def test_files_are_read_together(self, tmp_path: Path) -> None:
        engine = self.engine()
        parts = [_write(engine, f"select {i} as i", tmp_path / f"{i}.parquet") for i in range(3)]
        read = {"tables.t": Scan(tuple(part.path for part in parts), parts[0].columns)}
        assert engine.rows(sql('select sum(i)::bigint as s from "tables.t"'), read) == [{"s": 3}]

    def test_arrow_and_frames_are_relations(self) -> None:
        engine = self.engine()
        table = engine.arrow(sql("select 1 as a, 'x' as b"), {})
        frame = engine.frame(sql("select 1 as a, 'y' as b"), {})
        query = sql('select l.b || r.b as both from "tables.l" l join "tables.r" r using (a)')
        assert engine.rows(query, {"tables.l": table, "tables.r": frame}) == [{"both": "xy"}]

    def test_rows_keep_their_order(self, tmp_path: Path) -> None:
        engine = self.engine()
        rows = "select hash(i)::varchar as h from unnest(generate_series(1, 300000)) as u(i)"
        staged = _write(engine, f"{rows} order by h desc", tmp_path / "a.parquet")
        read = {"tables.t": Scan((staged.path,), staged.columns)}
        found = engine.arrow(sql('select h from "tables.t"'), read).column("h")
        values = found.to_numpy().tolist()
        assert len(values) == 300_000
        assert values == sorted(values, reverse=True)

    def test_an_error_leaves_no_file(self, tmp_path: Path) -> None:
        late = "select case when i = 900000 then error('late') else i end as i"
        query = sql(f"{late} from unnest(generate_series(1, 1000000)) as u(i)")
        assert _refused(self.engine(), query, tmp_path / "a.parquet")
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_be_stored_is_refused_with_the_cast(self, tmp_path: Path) -> None:
        for value in ("1::ubigint", "sum(1::bigint)", "interval 1 day", "timestamp '2013-12-01'"):
            message = _refused(self.engine(), sql(f"select {value} as v"), tmp_path / "a.parquet")
            assert "'v'" in message, value
            assert "v::" in message, value
        assert list(tmp_path.iterdir()) == []

    def test_calls_in_threads_do_not_see_each_other(self) -> None:
        engine = self.engine()
        tables = [engine.arrow(sql(f"select {i} as i"), {}) for i in range(8)]

        def one(i: int) -> Any:
            read: Relations = {"tables.same": tables[i]}
            return engine.rows(sql('select i from "tables.same"'), read)[0]["i"]

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(one, list(range(8)) * 8)) == list(range(8)) * 8


def _write(engine: Engine, text: str, path: Path) -> Staged:
    return engine.write(sql(text), {}, path)


def _refused(engine: Engine, query: exp.Select, path: Path) -> str:
    try:
        engine.write(query, {}, path)
    except LakeError as error:
        return str(error)
    raise AssertionError("the engine wrote what it must refuse")
