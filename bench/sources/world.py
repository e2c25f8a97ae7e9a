"""What the cases' data have in common: orders of ten columns, and projects that read them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PASSWORD = "BENCH_PASSWORD"  # noqa: S105 - the variable that holds it
CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true}
      - name: customer
        logicalType: string
        required: true
        logicalTypeOptions: {pattern: "^C[0-9]{6}$"}
      - {name: country, logicalType: string}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}
      - {name: quantity, logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 20}}
      - {name: email, logicalType: string}
      - {name: status, logicalType: string}
      - {name: created, logicalType: timestamp, required: true}
      - {name: updated, logicalType: timestamp}
      - {name: code, logicalType: string}
"""
COLUMNS = (
    "id", "customer", "country", "amount", "quantity", "email", "status", "created", "updated",
    "code",
)  # fmt: skip
QUERY = """
select i as id, format('C{{:06d}}', i * 7 % 1000000) as customer,
  ['AT', 'BE', 'DE', 'FR', 'NL'][1 + i % 5] as country, (i * 37 % 500000) / 100.0 as amount,
  1 + i % 20 as quantity, format('user{{}}@example.org', i % 5000) as email,
  ['new', 'paid', 'sent', 'done'][1 + i % 4] as status,
  timestamptz '2026-01-01 00:00:00Z' + to_seconds(i) as created,
  timestamptz '2026-01-02 00:00:00Z' + to_seconds(i) as updated,
  substr(md5(i::varchar), 1, 8) as code
from range({rows}) t(i)
"""


def project(folder: Path, settings: str) -> None:
    """Write a project of one source, `orders`."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sources").mkdir(parents=True)
    (folder / "lichen.yml").write_text("name: bench\n")
    (folder / "sources" / "orders.yml").write_text(settings)
    (folder / "sources" / "orders.odcs.yaml").write_text(CONTRACT)


def server(name: str) -> Any:
    """Start one of the tests' servers, if it does not run, and return where it is."""
    sys.path.insert(0, str(ROOT))
    from tests.services import keeper
    from tests.services.registry import BY_NAME

    kind = BY_NAME[name]
    if kind.missing() is not None:
        kind.install()
    return keeper.start(kind).room


def objects(rows: int) -> Iterator[Mapping[str, Any]]:
    """Yield the orders as JSON objects."""
    for i in range(rows):
        yield {
            "id": i,
            "customer": f"C{i * 7 % 1000000:06d}",
            "country": ("AT", "BE", "DE", "FR", "NL")[i % 5],
            "amount": (i * 37 % 500000) / 100,
            "quantity": 1 + i % 20,
            "email": f"user{i % 5000}@example.org",
            "status": ("new", "paid", "sent", "done")[i % 4],
            "created": f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
            "updated": f"2026-01-02T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
            "code": f"{i * 2654435761 % 4294967296:08x}",
        }


def line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
