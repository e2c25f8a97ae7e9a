"""An outcome: the rows to predict, what turned out to be true, and when it became known."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from lichen.core.errors import Where
from lichen.core.names import Name


@dataclass(frozen=True)
class Outcome:
    """An outcome definition; `known_at` dates its label only.

    Without `predict_at` there is no time: the holdout is then a stratified hash of the row id.
    """

    name: Name
    where: Where
    select: exp.Select
    text: str
    key: tuple[str, ...]
    entities: tuple[str, ...]
    label: exp.Expr
    predict_at: exp.Expr | None = None
    known_at: exp.Expr | None = None
