"""Write questions and five feature tables as row versions: FOLDER QUESTIONS ROWS KNOWN.

KNOWN is `event`, where each row is known when it happens and never corrected, or `late`: rows are
known up to two hours later, one in twenty up to three days, and one in ten is corrected a day on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

ENTITIES, TABLES, DAYS = 20_000, 5, 365
QUESTIONS = f"""
select i as _q, (hash(i, 1) % {ENTITIES})::bigint as entity,
    timestamptz '2024-01-05 00:00:00+00' + to_seconds((hash(i, 2) % {86400 * (DAYS - 5)})::bigint)
        as _at
from range({{questions}}) t(i)
"""
EVENTS = f"""
with event as (
    select i, i % {ENTITIES} as entity,
        timestamptz '2024-01-01 00:00:00+00' + to_seconds(
            (i // {ENTITIES}) * {{step}} + (hash(i, {{seed}}) % {{step}})::bigint) as event_time,
        hash(i, {{seed}} + 1) as luck, {{events}} as events
    from range({{events}}) t(i)
),
told as (
    select *, event_time + to_seconds(
        case when luck % 20 = 0 then luck // 7 % 259200 else luck // 7 % 7200 end::bigint) as known
    from event
),
version as (
    select i, entity, event_time, {{known}} as known_at, 0 as edition from told
    union all
    select i, entity, event_time, known + interval 1 day, 1 from told
    where {{corrected}} and luck // 11 % 10 = 0
)
select entity, event_time, ((hash(i, edition, 3) % 100000) / 100.0)::double as v{{table}},
    (hash(i, edition, 4) % 50)::integer as n{{table}},
    row_number() over (order by known_at, i) as _row, i::varchar as _key,
    known_at as _known_at, known_at as _arrived_at, false as _deleted
from version order by known_at, i
"""


def main(folder: Path, questions: int, rows: int, known: str) -> None:
    wanted, said = json.dumps([questions, rows, known]), folder / "made.json"
    if said.is_file() and said.read_text() == wanted:
        return
    late = known == "late"
    events = int(rows / 1.1) if late else rows
    step = 86400 * DAYS * ENTITIES // events
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        queries = {"questions": QUESTIONS.format(questions=questions)}
        for table in range(TABLES):
            queries[f"t{table}"] = EVENTS.format(
                table=table, seed=10 * table, events=events, step=step,
                known="known" if late else "event_time", corrected=late,
            )  # fmt: skip
        for name, query in queries.items():
            connection.execute(f"copy ({query}) to '{folder}/{name}.parquet' (format parquet)")
    said.write_text(wanted)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
