"""Fill PostgreSQL with orders, unless they are there; write the project, and where it is."""

import json
import sys
from pathlib import Path

import psycopg2
from world import project, server

data, rows = Path(sys.argv[1]), int(sys.argv[2])
room = server("postgres")
access = {
    "host": "127.0.0.1", "port": room.port, "user": "lichen", "password": "only-on-loopback",
    "dbname": "lichen",
}  # fmt: skip
connection = psycopg2.connect(**access)
connection.autocommit = True
with connection.cursor() as cursor:
    cursor.execute("select to_regclass('public.orders')")
    there = cursor.fetchone()[0] is not None
    if there:
        cursor.execute("select count(*) from orders")
        there = cursor.fetchone()[0] == rows
    if not there:
        cursor.execute("drop table if exists orders")
        cursor.execute(
            "create table orders as select i::bigint as id, "
            "'C' || lpad((i * 7 % 1000000)::text, 6, '0') as customer, "
            "(array['AT', 'BE', 'DE', 'FR', 'NL'])[1 + i % 5] as country, "
            "((i * 37 % 500000) / 100.0)::double precision as amount, "
            "(1 + i % 20)::int as quantity, "
            "'user' || (i % 5000) || '@example.org' as email, "
            "(array['new', 'paid', 'sent', 'done'])[1 + i % 4] as status, "
            "timestamptz '2026-01-01 00:00:00Z' + i * interval '1 second' as created, "
            "timestamptz '2026-01-02 00:00:00Z' + i * interval '1 second' as updated, "
            "substr(md5(i::text), 1, 8) as code from generate_series(0::bigint, %s - 1) i",
            (rows,),
        )
        cursor.execute("alter table orders add primary key (id)")
        cursor.execute("analyze orders")
(data / "server.json").write_text(json.dumps(access))
project(
    data / "postgres",
    f"connector: postgres\nhost: 127.0.0.1\nport: {room.port}\ndatabase: lichen\nuser: lichen\n"
    "password: env:BENCH_PASSWORD\ntable: public.orders\nincremental: id\nkey: id\n",
)
