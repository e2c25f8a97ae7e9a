"""A contract for a file that was seen once: what its rows promise, as YAML to be edited. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from lichen.starters.profile import Column
from lichen.starters.words import scalar

FEW = 20  # a text column with more values is no choice from a list
EACH = 5  # … nor is one whose values stand there less often than this on average
# A column of such a name is never below zero, whatever comes in later files.
_AMOUNTS = re.compile(
    r"(^|_)(age|amount|area|balance|charges?|count|cost|days|distance|duration|fare|height|hours?|"
    r"income|km|length|minutes|months?|num|number|population|price|quantity|rooms?|salary|score|"
    r"size|tenure|wages?|weight|width|years?)(_|$)"
)

_HEAD = """\
# What the rows of {file} promise. It was inferred from {rows:,} rows: a guess to be edited.
# A row that breaks a type, `required` or a minimum is held back and kept, with the reason.
# A text that is not among the valid values is counted and used (severity: warn).
apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: draft
schema:
  - name: {name}
    properties:
"""


def contract(name: str, file: str, columns: Sequence[Column], key: str | None, target: str) -> str:
    """Return the contract; `key` and `target` are clean names, or None."""
    rows = columns[0].rows
    head = _HEAD.format(name=name, file=file, rows=rows)
    lines = [line for column in columns for line in _property(column, key, target)]
    return head + "\n".join(lines) + "\n"


def _property(column: Column, key: str | None, target: str) -> Iterator[str]:
    yield f"      - name: {scalar(column.raw)}"
    yield f"        logicalType: {column.type}"
    if column.name == key:
        yield "        primaryKey: true"
    elif not column.missing and column.name != target:
        # Rows whose outcome is not known yet are the ones to predict.
        yield "        required: true"
    if _is_amount(column):
        yield "        logicalTypeOptions: {minimum: 0}"
    if column.nothing:
        yield "        customProperties:"
        listed = ", ".join(scalar(text) for text in column.nothing)
        yield f"          - {{property: lichen.missing, value: [{listed}]}}"
    if _is_choice(column):
        yield "        quality:"
        yield "          - metric: invalidValues"
        listed = ", ".join(scalar(value) for value in sorted(column.values))
        yield from textwrap.wrap(
            f"arguments: {{validValues: [{listed}]}}", 96, initial_indent=" " * 12,
            subsequent_indent=" " * 14, break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        yield "            mustBe: 0"
        yield "            severity: warn"


def _is_amount(column: Column) -> bool:
    if column.type not in ("integer", "number") or column.low is None:
        return False
    return column.low >= 0 and _AMOUNTS.search(column.name) is not None


def _is_choice(column: Column) -> bool:
    few = 1 < column.distinct <= FEW and column.known >= EACH * column.distinct
    return column.type == "string" and few and not column.spaced
