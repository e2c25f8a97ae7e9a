"""What a column of texts holds: its type, what stands for no value, how many values there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arro3.core import Array, DataType, Table

from lichen.core.sql import Prepared
from lichen.ports.engine import Engine

MOST = 101  # values that are listed; a column with more has too many to name
# What people write for no value. In a text column fewer words are taken so: `none` may be a kind.
NOTHING = ("?", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "")
NO_NUMBER = (*NOTHING, "None", "none", "-", "--", ".", "unknown", "Unknown", "missing", "Missing")

_KNOWN = """
with texts as (select v, trim(v) as t from _column where v is not null),
known as (select v, t from texts where t not in (select word from _words))
"""
_MEASURED = """
select
  (select count(*) from _column) as rows,
  count(*) as known,
  count(distinct t) as distinct_values,
  count(*) filter (regexp_full_match(t, '[+-]?(0|[1-9][0-9]{0,17})')) as integers,
  count(*) filter (
    regexp_full_match(t, '[+-]?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?')
  ) as numbers,
  count(*) filter (lower(t) in ('true', 'false')) as truths,
  count(*) filter (
    regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}') and try_cast(t as date) is not null
  ) as dates,
  count(*) filter (
    regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9].*)?')
    and try_cast(t as timestamptz) is not null
  ) as moments,
  count(*) filter (v <> t) as spaced,
  min(try_cast(t as double)) as low
from known
"""
_LISTED = """
select t as value, count(*) as times from known group by t order by times desc, t limit 101
"""
_WORDS = """
select distinct v from _column where trim(v) in (select word from _words) order by v
"""
_KINDS = (
    ("integer", "integers"), ("number", "numbers"), ("boolean", "truths"),
    ("date", "dates"), ("timestamp", "moments"),
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a CSV file.

    `given` is its name in the user's file, `raw` in the feed, `name` the clean one; `type` is a
    logical type of the contract standard. `nothing` are the texts that stand for no value, and
    `missing` counts these and empty fields.
    `values` are the most frequent values with their counts, all of them if there are < MOST.
    `spaced` says that values have spaces around them.
    """

    given: str
    raw: str
    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    values: Mapping[str, int]
    nothing: tuple[str, ...] = ()
    spaced: bool = False
    low: float | None = None

    @property
    def known(self) -> int:
        """Return how many rows have a value."""
        return self.rows - self.missing


def profile(engine: Engine, rows: Any, called: Mapping[str, tuple[str, str]]) -> tuple[Column, ...]:
    """Return what the columns of an Arrow table of texts hold.

    `called` gives for each of them the name in the user's file and the clean one.
    """
    return tuple(_column(engine, rows.column(raw), raw, *both) for raw, both in called.items())


def _column(engine: Engine, values: Any, raw: str, title: str, name: str) -> Column:
    given: dict[str, Any] = {"_column": Table.from_pydict({"v": values})}
    type_ = "string"
    for words in (NO_NUMBER, NOTHING):
        given["_words"] = _table("word", words)
        (told,) = engine.rows(Prepared(_KNOWN + _MEASURED), given)
        type_ = next((k for k, count in _KINDS if told["known"] == told[count] > 0), "string")
        if type_ != "string":
            break
    listed = engine.rows(Prepared(_KNOWN + _LISTED), given)
    nothing = engine.rows(Prepared(_WORDS), given)
    return Column(
        given=title,
        raw=raw,
        name=name,
        type=type_,
        rows=told["rows"],
        missing=told["rows"] - told["known"],
        distinct=told["distinct_values"],
        values={row["value"]: row["times"] for row in listed},
        nothing=tuple(row["v"] for row in nothing if row["v"] or type_ == "string"),
        spaced=bool(told["spaced"]) and type_ == "string",
        low=told["low"],
    )


def _table(name: str, values: Sequence[str]) -> Table:
    return Table.from_pydict({name: Array(list(values), DataType.utf8())})
