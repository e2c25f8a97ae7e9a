"""Service levels that are rules: how old the newest row may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from lichen.core.contract.document import Document, ServiceLevel
from lichen.core.contract.place import Place
from lichen.core.contract.quality import inherited
from lichen.core.contract.spec import Property, Rule
from lichen.core.contract.types import MOMENT
from lichen.core.errors import LichenError, TableError
from lichen.core.findings import Severity
from lichen.core.time import duration

_NAMES = ("latency", "ly", "freshness")
_YEARS = ("y", "yr", "yrs", "year", "years")


def freshness(
    document: Document, columns: Sequence[Property], severity: Severity | None, place: Place
) -> Iterator[Rule]:
    """Yield a rule for each column that `latency` or `freshness` names."""
    for index, level in enumerate(document.sla_properties):
        if level.property.lower() not in _NAMES:
            continue
        at = place.at(f".slaProperties[{index}]")
        within = _length(level, at)
        for column in _elements(level, document, columns, at):
            rule = Rule(
                f"{column}.freshness", "freshness", Severity.block, at.where, column=column,
                columns=(column,), within=within, description=level.description or "",
            )  # fmt: skip
            yield Rule(**{**vars(rule), "severity": inherited(severity, rule, Severity.block)})


def _length(level: ServiceLevel, place: Place) -> timedelta:
    text = f"{level.value} {level.unit or ''}".strip()
    try:
        if (level.unit or "").lower() in _YEARS:
            return timedelta(days=365 * float(str(level.value)))
        return duration(text)
    except (LichenError, ValueError) as error:
        raise TableError(
            f"{text!r} is not a length of time",
            where=place.at(".value").where,
            allowed=("value: 4, unit: d", "value: 90, unit: minutes"),
        ) from error


def _elements(
    level: ServiceLevel, document: Document, columns: Sequence[Property], place: Place
) -> Iterator[str]:
    moments = {p.name.lower(): p.name for p in columns if p.type in (MOMENT, "DATE")}
    element = level.element or document.sla_default_element
    if not element:
        raise TableError(
            f"{level.property} must say of which column",
            where=place.where,
            allowed=tuple(f"element: {name}" for name in moments.values()),
        )
    for text in element.split(","):
        name = text.strip().rpartition(".")[2]
        if name.lower() not in moments:
            raise TableError(
                f"{name!r} is no column with a time",
                where=place.at(".element").where,
                allowed=tuple(moments.values()),
                given=name,
            )
        yield moments[name.lower()]
