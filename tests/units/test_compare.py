"""Expected and found rows: which belong together, and what is told of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lichen.units.compare import differences

Rows = list[dict[str, Any]]
_ROW = st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.sampled_from([None, 0.1, 1.0])})


@pytest.mark.parametrize(
    ("expected", "found", "key", "told"),
    [
        ([{"a": 1}], [{"a": 1, "b": 2}], (), []),
        ([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1, "b": 2}, {"a": 1, "b": 3}], (), []),
        ([{"a": 1}, {"b": 2}], [{"a": 1, "b": 2}, {"a": 1, "b": 3}], (), []),
        ([{"a": 1}, {"a": 1}], [{"a": 1}], (), [("missing", {"a": 1}, {})]),
        ([], [{"a": 1, "b": None}], (), [("unexpected", {"a": 1}, {})]),
        (
            [{"k": 1, "a": 1, "b": 2}],
            [{"k": 1, "a": 5, "b": 6}],
            ("k",),
            [("differs", {"k": 1}, {"a": (1, 5), "b": (2, 6)})],
        ),
        (
            [{"k": 1, "a": 1, "b": 2}],
            [{"k": 2, "a": 1, "b": 2}],
            ("k",),
            [
                ("missing", {"k": 1, "a": 1, "b": 2}, {}),
                ("unexpected", {"k": 2, "a": 1, "b": 2}, {}),
            ],
        ),
        (
            [{"a": 1, "b": 2, "c": 3}],
            [{"a": 1, "b": 2, "c": 4}],
            (),
            [("differs", {"a": 1, "b": 2}, {"c": (3, 4)})],
        ),
    ],
)
def test_differences(
    expected: Rows, found: Rows, key: tuple[str, ...], told: list[tuple[str, Any, Any]]
) -> None:
    assert [(d.kind, d.row, d.cells) for d in differences(expected, found, key)] == told


@given(rows=st.lists(_ROW, max_size=6), data=st.data())
def test_the_same_rows_never_differ_whatever_their_order(rows: Rows, data: st.DataObject) -> None:
    parts = [{n: v for n, v in row.items() if data.draw(st.booleans())} for row in rows]
    shuffled = data.draw(st.permutations(rows))
    assert differences(parts, shuffled) == ()


@given(rows=st.lists(_ROW, max_size=5), extra=_ROW)
def test_one_row_more_or_less_is_one_difference(rows: Rows, extra: dict[str, Any]) -> None:
    assert [d.kind for d in differences(rows, [*rows, extra])] == ["unexpected"]
    assert [d.kind for d in differences([*rows, extra], rows)] == ["missing"]
