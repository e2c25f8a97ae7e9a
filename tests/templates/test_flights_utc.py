"""Moments of flights: local clocks of two cities become the right instants in UTC."""

from __future__ import annotations

import csv
import zipfile
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from flights_feeds import moment, original, whole_year_opened

# Worked out by hand from the package's columns (in the comment: sched_dep_time to sched_arr_time,
# dep_time to arr_time). New York is UTC-5, in summer (10 March to 3 November 2013) UTC-4.
BY_HAND = [
    # to Houston (UTC-6): 0515 to 0819, 0517 to 0830
    ("2013-01-01-UA-1545-EWR-0515", "01-01T10:15", "01-01T14:19", "01-01T10:17", "01-01T14:30"),
    # to Aguadilla, Puerto Rico (UTC-4 all year): 0545 to 1022, 0544 to 1004
    ("2013-01-01-B6-725-JFK-0545", "01-01T10:45", "01-01T14:22", "01-01T10:44", "01-01T14:04"),
    # the same over midnight, on the night when New York changes: 2359 to 0438, 0053 to 0504
    ("2013-03-09-B6-727-JFK-2359", "03-10T04:59", "03-10T08:38", "03-10T05:53", "03-10T09:04"),
    # to St. Thomas (UTC-4), New York already in summer: 0900 to 1301, 0858 to 1249
    ("2013-03-10-UA-1519-EWR-0900", "03-10T13:00", "03-10T17:01", "03-10T12:58", "03-10T16:49"),
    # to Ponce, first night of winter time: 2359 to 0445, 2347 to 0424
    ("2013-11-03-B6-745-JFK-2359", "11-04T04:59", "11-04T08:45", "11-04T04:47", "11-04T08:24"),
    # to Los Angeles, both in summer time since that morning: 1600 to 1934, 1559 to 1917
    ("2013-03-10-DL-1461-JFK-1600", "03-10T20:00", "03-11T02:34", "03-10T19:59", "03-11T02:17"),
    # to Palm Beach; 2145 to 0034, 2306 to "0203", a time that no clock showed: it was 03:03
    ("2013-03-09-B6-35-JFK-2145", "03-10T02:45", "03-10T05:34", "03-10T04:06", "03-10T07:03"),
    # to Phoenix (UTC-7 all year), before and after the change: 1740 to 2018, 1737 to 2011
    ("2013-11-02-B6-135-JFK-1740", "11-02T21:40", "11-03T03:18", "11-02T21:37", "11-03T03:11"),
    # 1630 to 1957, 1625 to 1954
    ("2013-11-03-US-516-EWR-1630", "11-03T21:30", "11-04T02:57", "11-03T21:25", "11-04T02:54"),
    # to Honolulu (UTC-10 all year): 1000 to 1450, 0950 to 1457
    ("2013-11-02-HA-51-JFK-1000", "11-02T14:00", "11-03T00:50", "11-02T13:50", "11-03T00:57"),
    # 1310 to 1854, 1310 to 1836
    ("2013-11-03-UA-15-EWR-1310", "11-03T18:10", "11-04T04:54", "11-03T18:10", "11-04T04:36"),
    # to Anchorage (UTC-8 in summer): 1625 to 2003, 1740 to 2042
    ("2013-08-17-UA-887-EWR-1625", "08-17T20:25", "08-18T04:03", "08-17T21:40", "08-18T04:42"),
    # left 1,301 minutes late, the next morning: 0900 to 1530, 0641 to 1242 in Honolulu
    ("2013-01-09-HA-51-JFK-0900", "01-09T14:00", "01-10T01:30", "01-10T11:41", "01-10T22:42"),
]


FLIGHTS = """
select
    s.flight_id, s.dest, s.scheduled_departure, s.scheduled_arrival, d.departed_at, a.landed_at,
    o.dep_time, o.arr_time, a.air_time::integer as air_time
from schedule s
left join departures d using (flight_id)
left join arrivals a using (flight_id)
left join original o using (flight_id)
"""

ORIGINAL = """
create temp view original as select
    printf('%d-%02d-%02d-%s-%s-%s-%04d', year::int, month::int, day::int, carrier, flight, origin,
        sched_dep_time::int) as flight_id,
    dep_time, arr_time
from read_csv(getvariable('path'), all_varchar = true)
"""


class Flight(NamedTuple):
    """One flight: the moments that were derived, and the clocks that were recorded."""

    flight_id: str
    dest: str
    scheduled_departure: str
    scheduled_arrival: str
    departed_at: str | None
    landed_at: str | None
    dep_time: str
    arr_time: str
    air_time: int | None


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Flight]:
    folder = tmp_path_factory.mktemp("original")
    with zipfile.ZipFile(original("flights.csv.zip")) as archive:
        unzipped = archive.extract("flights.csv", folder)
    with whole_year_opened().cursor() as connection:
        connection.execute("set variable path = $path", {"path": unzipped})
        connection.execute(ORIGINAL)
        return {row[0]: Flight(*row) for row in connection.execute(FLIGHTS).fetchall()}


@pytest.mark.parametrize(("flight", "departure", "arrival", "departed", "landed"), BY_HAND)
def test_a_flight_checked_by_hand(
    flights: dict[str, Flight],
    flight: str,
    departure: str,
    arrival: str,
    departed: str,
    landed: str,
) -> None:
    expected = tuple(f"2013-{text}:00Z" for text in (departure, arrival, departed, landed))

    assert flights[flight][2:6] == expected


def test_the_clocks_on_the_wall_agree_with_every_derived_moment(
    flights: dict[str, Flight],
) -> None:
    """dep_time and arr_time were not used in the derivation, so they prove it."""
    zones = airport_zones()
    moments = [
        (flight.flight_id, at, shown, zone)
        for flight in flights.values()
        for at, shown, zone in (
            (flight.departed_at, flight.dep_time, "America/New_York"),
            (flight.landed_at, flight.arr_time, zones[flight.dest]),
        )
        if at
    ]
    wrong = [
        (flight, at)
        for flight, at, shown, zone in moments
        if on_the_wall(at, zone) != int(shown) % 2400
    ]

    assert len(moments) == 328_521 + 327_346
    assert wrong == [("2013-03-09-B6-35-JFK-2145", "2013-03-10T07:03:00Z")]  # see BY_HAND


def test_every_scheduled_flight_takes_a_plausible_time(flights: dict[str, Flight]) -> None:
    took = [minutes(row.scheduled_departure, row.scheduled_arrival) for row in flights.values()]

    assert len(took) == 336_776
    assert (min(took), max(took)) == (50, 700)


def test_no_flight_lands_sooner_than_its_time_in_the_air(flights: dict[str, Flight]) -> None:
    too_soon = [
        row.flight_id
        for row in flights.values()
        if row.departed_at
        and row.landed_at
        and row.air_time
        and minutes(row.departed_at, row.landed_at) < row.air_time
    ]

    assert too_soon == []


def minutes(start: str, end: str) -> float:
    return (moment(end) - moment(start)).total_seconds() / 60


def airport_zones() -> dict[str, str]:
    with original("airports.csv").open(encoding="utf-8", newline="") as lines:
        zones = {row["faa"]: row["tzone"] for row in csv.DictReader(lines)}
    return zones | dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "Etc/GMT+4")  # four hours behind


@cache
def hour_on_the_wall(hour: str, zone: str) -> int:
    return moment(f"{hour}:00:00Z").astimezone(ZoneInfo(zone)).hour


def on_the_wall(at: str, zone: str) -> int:
    """Return the hours and minutes that a clock in the zone shows, as the number HHMM.

    All zones here are whole hours from UTC, so the minutes are the same everywhere.
    """
    return hour_on_the_wall(at[:13], zone) * 100 + int(at[14:16])
