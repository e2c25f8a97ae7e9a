"""Write the orders that are checked: 10M rows in one Parquet file, a few of them wrong.

Moments are in UTC and say so, as in the files that a run stages and judges.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

ROWS = 10_000_000
# `hash` with a number of its own for each column: the same file on every machine.
ORDERS = """
select
    i as id,
    case when i % 20011 = 7 then 'c-' || i else printf('C%06d', hash(i, 1) % 900000)
    end as customer,
    case when i % 5003 = 3 then 'XX'
        else string_split('AT BE CH DE DK ES FR GB IT NL PL SE', ' ')[(1 + hash(i, 2) % 12)::int]
    end as country,
    case when i % 7001 = 5 then null when i % 9001 = 11 then -1.0
        else round((hash(i, 3) % 500000) / 100.0, 2) end as amount,
    (1 + hash(i, 4) % (case when i % 4001 = 9 then 30 else 20 end))::integer as quantity,
    case when i % 6007 = 1 then 'nobody' else 'user' || (hash(i, 5) % 2000000) || '@example.org'
    end as email,
    ['new', 'paid', 'sent', 'done'][(1 + hash(i, 6) % 4)::int] as status,
    timestamptz '2024-01-01 00:00:00Z' + to_seconds((hash(i, 7) % 31536000)::bigint) as created,
    created + to_seconds(
        (hash(i, 8) % 864000)::bigint - case when i % 8009 = 2 then 864000 else 0 end) as updated,
    printf('%08x', hash(i, 9) % 4294967296) || case when i % 3001 = 4 then 'z' else '' end as code
from range({rows}) t(i)
"""

if __name__ == "__main__":
    target = Path(sys.argv[1]) / "orders_utc.parquet"
    if not target.exists():
        with duckdb.connect() as connection:
            copy = f"copy ({ORDERS.format(rows=ROWS)}) to '{target}.part' (format parquet)"
            connection.execute(copy)
        Path(f"{target}.part").rename(target)
