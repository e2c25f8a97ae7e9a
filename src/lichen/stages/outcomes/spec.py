"""An outcome: the rows to predict, what turned out to be true, and when it became known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec
from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, convert, line_of, load, opening_comment
from lichen.core.sql import columns_in, parse_expression, parse_select


class OutcomeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the comment that opens `outcomes/NAME.sql` may say."""

    label: str
    key: str | list[str] = []
    entities: list[str] = []
    predict_at: str | None = None
    known_at: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Outcome:
    """An outcome definition; `known_at` dates its label only.

    Without `key` a row is identified by the rows that it was made of, and only whole rows can be
    asked about. Without `predict_at` there is no time: the holdout is then a hash of the row id.
    """

    kind: ClassVar[Kind] = Kind.outcome

    name: Name
    where: Where
    select: exp.Select
    text: str
    key: tuple[str, ...]
    entities: tuple[str, ...]
    label: exp.Expr
    predict_at: exp.Expr | None = None
    known_at: exp.Expr | None = None
    lines: Lines = field(default_factory=dict, compare=False, repr=False)

    def request_columns(self) -> tuple[str, ...]:
        """Return the output columns that a question may carry: none that dates or makes a label."""
        told = columns_in(self.label) | (columns_in(self.known_at) if self.known_at else set())
        return tuple(c for c in self.select.named_selects if c.lower() not in told)

    def dated_columns(self) -> frozenset[str]:
        """Return the output columns that label, predict_at and known_at read."""
        trees = (self.label, self.predict_at, self.known_at)
        return frozenset().union(*(columns_in(tree) for tree in trees if tree is not None))


def read_outcome(path: Path, name: Name) -> Outcome:
    """Read `outcomes/NAME.sql`; raises LichenError with the line."""
    text = path.read_text("utf-8")
    comment, first = opening_comment(text)
    value, lines = load(comment, path, first_line=first)
    settings = convert(value, OutcomeSettings, path, lines)

    def expression(key: str, written: str) -> exp.Expr:
        return parse_expression(written, path, line=line_of(lines, f"$.{key}"))

    return Outcome(
        name=name,
        where=Where(path),
        select=parse_select(text, path),
        text=text,
        key=(settings.key,) if isinstance(settings.key, str) else tuple(settings.key),
        entities=tuple(settings.entities),
        label=expression("label", settings.label),
        predict_at=expression("predict_at", settings.predict_at) if settings.predict_at else None,
        known_at=expression("known_at", settings.known_at) if settings.known_at else None,
        lines=lines,
    )
