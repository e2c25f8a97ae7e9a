"""`lichen predict`: what a service would answer, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.options import USUAL, Options, ServiceName, moment
from lichen.cli.page import emit, table
from lichen.cli.query import cell


def predict(
    service: ServiceName,
    *keys: str,
    at: Annotated[
        str | None, Parameter(name="--at", help="The moment of the question; now without it.")
    ] = None,
    row: Annotated[
        str | None, Parameter(name="--row", help="A whole row as JSON, in place of keys.")
    ] = None,
    options: Options = USUAL,
) -> int:
    """Answer as the service would, by the same code, and log it in the same way.

    --json: {"predictions": [{"prediction_id", "value", "probability", "model", "model_version",
    "at", "key"} or {"error", "key"}]}; where classes have names also "probabilities"

    Parameters
    ----------
    service
        A service, or the model behind it.
    keys
        The keys of the rows to predict.
    """
    import msgspec

    from lichen.core.time import iso, wall
    from lichen.desk import Desk

    if bool(keys) == bool(row):
        raise Misuse("give keys, or one whole row", allowed=["KEY …", "--row '{…}'"])
    when = moment(at) or wall()
    asked = [{"key": key, "at": iso(when)} for key in keys]
    if row:
        asked = [{"row": json.loads(row), "at": iso(when)}]
    desk = Desk(options.open(), since=when)
    try:
        answers = desk.predict(service, json.dumps({"instances": asked}).encode())
    finally:
        desk.close()
    told = msgspec.to_builtins(answers)
    if options.json:
        emit({"predictions": told})
    else:
        _tell(told)
    return int(any("error" in answer for answer in told))


def _tell(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        if "error" in answer:
            print(f"{answer['key']}: {_why_not(answer['error'])}")
    good = [answer for answer in answers if "error" not in answer]
    heads = ("key", "value", "probability", "model_version", "at", "prediction_id")
    if good:
        table(heads, [[cell(_cell(answer, head)) for head in heads] for answer in good])


def _why_not(error: Mapping[str, Any]) -> str:
    at, place = error.get("at"), error.get("field")
    places = (f" (asked at {at})" if at else "") + (f" ({place})" if place else "")
    return f"{error['what']}{places}"


def _cell(answer: dict[str, Any], head: str) -> object:
    """Return what stands under a head; of several classes the probability is the chosen one's."""
    if head == "probability" and answer[head] is None and "probabilities" in answer:
        return answer["probabilities"][str(answer["value"])]
    return answer[head]
