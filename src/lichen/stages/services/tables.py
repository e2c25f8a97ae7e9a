"""The two tables that a service feeds: what it predicted, and what it was told came true."""

from __future__ import annotations

import msgspec

from lichen.core.names import Kind


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a service's prediction log.

    `request` holds the outcome's row without label, `features` what the model was given, both as
    JSON texts; `publication` is the set of pins that was read. Times are ISO 8601. A model of named
    classes answers with `answer`, the class, and `probabilities`, a JSON text; `value` is then the
    class only if that is a number.
    """

    prediction_id: str
    model: str
    model_version: int
    publication: int
    key: str | None
    at: str
    value: float | None
    probability: float | None
    request: str
    features: str
    answer: str | None = None
    probabilities: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a service's outcome log: what turned out, and when that was known.

    A class that is a text is its `answer`; everything else is its `label`.
    """

    key: str | None
    label: float | None
    known_at: str
    prediction_id: str | None = None
    answer: str | None = None


LINES: dict[Kind, type[Prediction] | type[Outcome]] = {
    Kind.predictions: Prediction,
    Kind.feedback: Outcome,
}
_TYPES = {"model_version": "bigint", "publication": "bigint", "value": "double",
          "probability": "double", "label": "double", "at": "timestamptz",
          "known_at": "timestamptz"}  # fmt: skip


def columns_of(kind: Kind) -> dict[str, str]:
    """Return the user columns of a table that services feed, with their types.

    >>> columns_of(Kind.feedback)["label"]
    'double'
    """
    return {name: _TYPES.get(name, "varchar") for name in LINES[kind].__struct_fields__}
