"""Print how well the flights question can be answered, worked out without Lichen.

    python bench/yardstick_flights.py            # some minutes on two cores

Plain range joins in DuckDB over the template's feeds, then LightGBM with fixed settings. A model
that Lichen trains on the same features should come close to these numbers. One that is clearly
better has most likely seen what it could not have known. With everything but routes it printed
AUC .705 [.668, .741] for November and .725 [.687, .750] for December.
"""

from __future__ import annotations

import runpy
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

TEMPLATE = Path(__file__).parents[1] / "src/lichen/templates/flights"
AFTER_ALL = datetime(2014, 2, 1, tzinfo=UTC)

# A question is asked at `t`, two hours before departure. An arrival counts once it has landed.
QUESTIONS = """
create table questions as
select
    flight_id, s.carrier, s.origin, s.dest, s.tailnum, s.distance, scheduled_departure,
    scheduled_departure - interval 2 hour as t,
    date_diff('minute', scheduled_departure, scheduled_arrival) as scheduled_minutes,
    scheduled_departure at time zone 'America/New_York' as clock,
    arrival_delay > 15 as late
from schedule s join arrivals using (flight_id)
"""

# Each event is listed under every day on which a question can reach it, so that the range join
# has an equality to hash by.
WINDOWS = """
create table {name} as
with asked as (select distinct {entity}, t, t::date as day from questions),
events as (
    select {entity}, {time} as moment, {delay} as delay,
        unnest(range(({time})::date, ({time})::date + interval 8 day, interval 1 day))::date as day
    from {feed}
)
select {entity}, t, {aggregates}
from asked join events using ({entity}, day)
where moment <= t and moment > t - interval 7 day
group by all
"""

AGGREGATES = """
    avg(delay) filter (where moment > t - interval {short}) as {name}_delay_short,
    count(*) filter (where moment > t - interval {short}) as {name}_count_short,
    avg((delay > 15)::int) filter (where moment > t - interval {short}) as {name}_late_short,
    avg(delay) as {name}_delay_week, avg((delay > 15)::int) as {name}_late_week,
    count(*) as {name}_count_week
"""

WEATHER = """
select flight_id, w.* exclude (origin, observed_at) from questions q
asof left join (
    select *, observed_at + interval 20 minute as known_at from weather
    where temp is not null and wind_speed < 100 and not (month(observed_at) = 5 and temp < 30)
) w on q.origin = w.origin and known_at <= t
"""

ROWS = """
select
    q.*,
    hour(clock) as hour, isodow(clock) as weekday, month(clock) as month,
    w.* exclude (flight_id, known_at),
    p.year, p.seats, p.engines, p.manufacturer,
    airport.* exclude (origin, t), company.* exclude (carrier, t),
    route.* exclude (carrier, dest, t)
from questions q
left join weather_known w using (flight_id)
left join planes p using (tailnum)
left join airport using (origin, t)
left join company using (carrier, t)
left join route using (carrier, dest, t)
order by scheduled_departure, flight_id
"""

SCHEDULE = [
    "carrier",
    "origin",
    "dest",
    "distance",
    "scheduled_minutes",
    "hour",
    "weekday",
    "month",
]
WEATHER_COLUMNS = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
PLANE = ["year", "seats", "engines", "manufacturer"]


def main() -> None:
    rows = read()
    groups = {
        name: [c for c in rows if c.startswith(f"{name}_")]
        for name in ("airport", "company", "route")
    }
    known = SCHEDULE + WEATHER_COLUMNS
    everything = known + PLANE + groups["airport"] + groups["company"]
    for title, columns in [
        ("the schedule alone", SCHEDULE),
        ("with weather", known),
        ("with everything", everything),
        ("and routes", everything + groups["route"]),
    ]:
        for month in (11, 12):
            report(f"{title}, {datetime(2013, month, 1):%B}", rows, columns, month)


def read() -> pd.DataFrame:
    """Return one row per question that turned out, with all that was known when it was asked."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        runpy.run_path(str(TEMPLATE / "prepare.py"))["prepare"](Path(folder), AFTER_ALL)
        connection.execute("set TimeZone = 'UTC'")
        for path in sorted((Path(folder) / "feeds").iterdir()):
            pattern = f"{path}/*.csv" if path.is_dir() else str(path)
            connection.read_csv(pattern).create(path.stem)
        connection.execute(QUESTIONS)
        for name, entity, feed, time, delay, short in [
            ("airport", "origin", "departures", "departed_at", "departure_delay", "2 hour"),
            ("company", "carrier", "arrivals", "landed_at", "arrival_delay", "1 day"),
            ("route", "carrier, dest", "arrivals", "landed_at", "arrival_delay", "1 day"),
        ]:
            aggregates = AGGREGATES.format(name=name, short=short)
            connection.execute(
                WINDOWS.format(
                    name=name, entity=entity, feed=feed, time=time, delay=delay,
                    aggregates=aggregates,
                )
            )  # fmt: skip
        connection.execute(f"create table weather_known as {WEATHER}")
        return connection.execute(ROWS).fetch_df()


def report(title: str, rows: pd.DataFrame, columns: list[str], month: int) -> None:
    """Train on all months before and print how the month's flights were foretold."""
    features = rows[columns].copy()
    for column in features.select_dtypes(["object", "string"]):
        features[column] = features[column].astype("category")
    late = rows["late"].to_numpy(dtype=int)
    past = (rows["month"] < month).to_numpy()
    now = (rows["month"] == month).to_numpy()
    model = lightgbm.LGBMClassifier(
        n_estimators=200, learning_rate=0.05, num_leaves=31, min_child_samples=100,
        cat_smooth=50, max_bin=127, random_state=0, verbose=-1,
    )  # fmt: skip
    model.fit(features[past], late[past])
    chance = model.predict_proba(features[now])[:, 1]
    low, high = by_days(late[now], chance, rows.loc[now, "clock"].dt.date.to_numpy())
    base = log_loss(late[now], np.full(now.sum(), late[past].mean()))
    print(
        f"{title:32} AUC {roc_auc_score(late[now], chance):.3f} [{low:.3f}, {high:.3f}]"
        f"  log loss {log_loss(late[now], chance):.3f}, base rate {base:.3f}"
    )


def by_days(late: np.ndarray, chance: np.ndarray, days: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval of the AUC: draws of whole days, since a day's flights share fate."""
    random = np.random.default_rng(0)
    members = [np.flatnonzero(days == day) for day in np.unique(days)]
    draws: list[Any] = []
    for _ in range(200):
        rows = np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
        draws.append(roc_auc_score(late[rows], chance[rows]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
