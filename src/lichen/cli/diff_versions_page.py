"""What differs between two versions of a node, as `lichen diff NODE@4 NODE@5` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lichen.cli.page import counted, emit, table
from lichen.cli.query import cell

if TYPE_CHECKING:
    from lichen.readers.diff_versions import VersionsDiff

MOST = 20  # columns


def page(diff: VersionsDiff, *, json: bool = False) -> None:
    """Print it, or emit it as one JSON object."""
    if json:
        emit(diff.as_json())
        return
    print(f"{diff.node}: version {diff.left} of {diff.now[0]}, {diff.right} of {diff.now[1]}")
    if diff.definition:
        print("\nthe definition changed")
        print("\n".join(f"  {line}" for line in diff.definition))
    if diff.columns:
        print()
        cells = [(name, was or "–", is_ or "–") for name, (was, is_) in diff.columns.items()]
        table(("column", str(diff.left), str(diff.right)), cells)
    if diff.rows:
        _rows(diff)
    if diff.metrics or diff.settings:
        _model(diff)


def _rows(diff: VersionsDiff) -> None:
    rows = diff.rows
    print(
        f"\nrows: {rows['left']:,} → {rows['right']:,} ({rows['added']:,} came, "
        f"{rows['removed']:,} went, {rows['changed']:,} changed, {rows['same']:,} are the same)"
    )
    if diff.changed:
        words = (f"{name} in {counted(count, 'row')}" for name, count in diff.changed.items())
        print(f"changed: {', '.join(words)}\n")
        cells = [
            (each["key"], name, cell(was), cell(is_))
            for each in diff.examples
            for name, (was, is_) in each["changes"].items()
        ]
        table(("key", "column", "was", "is"), cells)
    moved = sorted((v for v in diff.values if v["distance"]), key=lambda v: -v["distance"])
    if moved:
        print("\nhow values lie (distance: 0 alike, 1 nothing in common)")
        heads = ("column", "distance", "missing", "mean", "5 %", "median", "95 %", "values")
        table(heads, [_lies(value) for value in moved[:MOST]], wide="values")
    else:
        print("\nvalues lie as they did")


def _lies(value: Mapping[str, Any]) -> tuple[str, ...]:
    left, right = value["left"], value["right"]

    def both(key: str, place: int | None = None) -> str:
        pair = [side.get(key) for side in (left, right)]
        if None in pair:
            return ""
        if place is not None:
            pair = [each[place] for each in pair]
        return _arrow(*pair)

    missing = [side["nulls"] / side["n"] if side["n"] else 0.0 for side in (left, right)]
    if "top" in left and "top" in right:
        values = _top(value)
    else:
        values = (
            f"{cell(left.get('least'))} to {cell(left.get('greatest'))} → "
            * (
                left.get("least") != right.get("least")
                or left.get("greatest") != right.get("greatest")
            )
            + f"{cell(right.get('least'))} to {cell(right.get('greatest'))}"
        )
    return (
        value["column"],
        f"{value['distance']:.3f}",
        _arrow(*(f"{share:.1%}" for share in missing)),
        both("mean"),
        both("quantiles", 0),
        both("quantiles", 2),
        both("quantiles", 4),
        values if value["kind"] != "truth" else "",
    )


def _arrow(was: Any, is_: Any) -> str:
    return cell(is_) if was == is_ else f"{cell(was)} → {cell(is_)}"


def _top(value: Mapping[str, Any]) -> str:
    left, right = (dict(map(tuple, value[side]["top"])) for side in ("left", "right"))
    words = [f"{name} {left.get(name, 0):,} → {count:,}" for name, count in right.items()]
    return ", ".join(words)


def _model(diff: VersionsDiff) -> None:
    if diff.metrics:
        print("\non the holdout of each (these may be other rows)")
        cells = [
            (name, _measured(m["left"]), _measured(m["right"]), _signed(m["difference"]))
            for name, m in diff.metrics.items()
        ]
        table(("metric", str(diff.left), str(diff.right), "difference"), cells)
    if diff.settings:
        print()
        cells = [(n, _said(was), _said(is_)) for n, (was, is_) in diff.settings.items()]  # type: ignore[misc]
        table(("what", str(diff.left), str(diff.right)), cells)


def _measured(found: Mapping[str, Any] | None) -> str:
    return "–" if not found or found["value"] is None else f"{found['value']:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    return "–" if value is None else cell(value)
