"""The flights template as it is shipped is a project without a mistake."""

from __future__ import annotations

from flights_feeds import TEMPLATE

from lichen.project import read_project


def test_the_shipped_project_reads_without_an_error() -> None:
    project = read_project(TEMPLATE)

    assert sorted(str(name) for name in project.nodes) == [
        "features.airport_load",
        "features.carrier",
        "features.plane",
        "features.schedule",
        "features.weather",
        "models.late",
        "outcomes.late",
        "services.late",
        "sources.airports",
        "sources.arrivals",
        "sources.carriers",
        "sources.departures",
        "sources.planes",
        "sources.schedule",
        "sources.weather",
        "tables.aircraft",
        "tables.departed",
        "tables.landed",
        "tables.scheduled",
        "tables.weather_hourly",
    ]
