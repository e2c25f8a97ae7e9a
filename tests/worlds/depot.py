"""A small real project: will this parcel be late? Its feeds grow day by day.

Scans of parcels load a depot (windows), customers change their tier (latest, with corrections),
and a parcel brings its own row (request). A parcel is asked about two hours before it is promised.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2020, 2, 1, tzinfo=UTC)  # what came before is a back-fill
DEPOTS, CUSTOMERS = ("north", "south", "west"), tuple(f"c{i}" for i in range(25))

_COLUMNS = {
    "parcels": {
        "parcel_id": "varchar", "depot": "varchar", "customer": "varchar", "weight": "double",
        "ordered_at": "timestamptz", "promised_at": "timestamptz",
    },
    "scans": {
        "scan_id": "varchar", "depot": "varchar", "scanned_at": "timestamptz",
        "minutes": "bigint", "belt": "varchar",
    },
    "tiers": {
        "change_id": "varchar", "customer": "varchar", "changed_at": "timestamptz",
        "tier": "varchar", "spent": "double",
    },
    "deliveries": {"parcel_id": "varchar", "delivered_at": "timestamptz", "delay": "bigint"},
}  # fmt: skip
_KNOWN = {
    "parcels": "known_at: ordered_at",
    "scans": "event_time: scanned_at\nlag: 10 minutes",
    "tiers": "known_at: changed_at",
    "deliveries": "known_at: delivered_at",
}
_LOGICAL = {
    "varchar": "string",
    "double": "number",
    "bigint": "integer",
    "timestamptz": "timestamp",
}
_FILES = {
    "lichen.yml": "name: depot\n",
    "outcomes/late.sql": """/*
key: parcel_id
entities: [depot, customer]
predict_at: promised_at - interval 2 hour
label: delay > 10
known_at: delivered_at
*/
select p.*, d.delay, d.delivered_at
from parcels p
left join deliveries d using (parcel_id)
""",
    "features/parcel.sql": """/*
at: request
*/
select hour(promised_at) as hour, weight, depot from request
""",
    "features/customer.sql": """/*
entity: customer
event_time: changed_at
known_at: changed_at + interval 30 minute
max_age: 25 days
*/
select customer, changed_at, tier, spent from tiers where tier <> 'test'
""",
    "features/load.sql": """/*
entity: depot
event_time: scanned_at
window: [3 hours, 2 days]
*/
select
    avg(minutes) as minutes,
    count(*) as scans,
    max(minutes) as longest,
    count(distinct belt) as belts,
    stddev(minutes) as spread
from scans
""",
    "models/late.py": """from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lichen import model


@model(target="late", metric="roc_auc", holdout="7 days"RETRAIN)
def late(parcel, customer, load):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="?"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    columns = make_column_transformer(
        (numbers, make_column_selector("hour|weight|spent|load")),
        (texts, make_column_selector("depot|tier")),
    )
    return make_pipeline(columns, LogisticRegression())
""",
    "services/late.yml": "model: late\n",
}


def write_project(root: Path, *, retrain: str = "") -> None:
    """Write the project with its feeds up to `NOW`; `retrain` is the model's policy."""
    for name, text in _FILES.items():
        _write(root / name, text.replace("RETRAIN", f", retrain={retrain}" if retrain else ""))
    for source, columns in _COLUMNS.items():
        spec = f"path: feeds/{source}/*.csv\nkey: {next(iter(columns))}\n{_KNOWN[source]}\n"
        _write(root / f"sources/{source}.yml", f"{spec}backfill_until: {NOW:%Y-%m-%dT%H:%M:%SZ}\n")
        _write(root / f"sources/{source}.odcs.yaml", _contract(source, columns))
    feed(root, BEGIN, NOW)


def feed(root: Path, begin: datetime, end: datetime) -> None:
    """Write what each source reports for a stretch of whole days, one file a source."""
    rows: dict[str, list[dict[str, Any]]] = {source: [] for source in _COLUMNS}
    for day in range((begin - BEGIN).days, (end - BEGIN).days):
        for source, made in _day(day).items():
            rows[source] += made
    for source, made in rows.items():
        write_rows(root, source, f"{begin:%m%d}-{end:%m%d}", made)


def write_rows(root: Path, source: str, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write one file of a feed."""
    lines = [",".join(_COLUMNS[source])]
    lines += [",".join(_text(row[column]) for column in _COLUMNS[source]) for row in rows]
    _write(root / f"feeds/{source}/{name}.csv", "\n".join(lines) + "\n")


def correct(root: Path, seed: int) -> None:
    """Rewrite the newest file of two feeds: some rows change, move to others or are taken back."""
    rng = random.Random(seed)
    for source, entity, moment, among in (
        ("tiers", "customer", "changed_at", CUSTOMERS),
        ("scans", "depot", "scanned_at", DEPOTS),
    ):
        path = sorted((root / "feeds" / source).glob("*.csv"))[-1]
        with path.open(newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        for row in rows:
            if rng.random() < 0.2:
                row[entity] = rng.choice(among)
            if rng.random() < 0.4:
                moved = datetime.fromisoformat(row[moment]) + timedelta(hours=rng.randint(-40, 120))
                row[moment] = moved.isoformat()
        write_rows(root, source, path.stem, [row for row in rows if rng.random() > 0.2])


def parcels(begin: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the parcels that are promised for a stretch of whole days."""
    days = range((begin - BEGIN).days, (end - BEGIN).days)
    return [row for day in days for row in _parcels(day)]


def deliveries(begin: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the deliveries of a stretch of whole days."""
    days = range((begin - BEGIN).days, (end - BEGIN).days)
    return [row for day in days for row in _day(day)["deliveries"]]


def happened(begin: datetime, end: datetime) -> dict[str, list[dict[str, Any]]]:
    """Return what became known in begin < moment ≤ end, by source."""
    moments = {
        "parcels": "ordered_at",
        "scans": "scanned_at",
        "tiers": "changed_at",
        "deliveries": "delivered_at",
    }
    days = range((begin - BEGIN).days - 1, (end - BEGIN).days + 3)
    found: dict[str, list[dict[str, Any]]] = {source: [] for source in _COLUMNS}
    for day in days:
        for source, made in _day(day).items():
            found[source] += [row for row in made if begin < row[moments[source]] <= end]
    return found


def _day(day: int) -> dict[str, list[dict[str, Any]]]:
    rng, start = random.Random(day), BEGIN + timedelta(days=day)
    scans = [
        {
            "scan_id": f"s{day}-{i}", "depot": rng.choice(DEPOTS),
            "scanned_at": start + timedelta(minutes=rng.randint(0, 1439)),
            "minutes": rng.choice([1, 2, 3, 5, 8, 40, None]), "belt": rng.choice("abc"),
        }
        for i in range(25)
    ]  # fmt: skip
    tiers = [
        {
            "change_id": f"t{day}-{i}", "customer": rng.choice(CUSTOMERS),
            "changed_at": start + timedelta(minutes=rng.randint(0, 1439)),
            "tier": rng.choice(["gold", "silver", "none", "test"]), "spent": rng.random() * 100,
        }
        for i in range(5)
    ]  # fmt: skip
    delivered = [row for row in map(_delivery, _parcels(day)) if row is not None]
    # The parcels of a day are ordered two days before: they are in the feed of that day.
    known = _parcels(day + 2) + (_parcels(0) + _parcels(1) if day == 0 else [])
    return {"parcels": known, "scans": scans, "tiers": tiers, "deliveries": delivered}


def _parcels(day: int) -> list[dict[str, Any]]:
    rng, start = random.Random(-1 - day), BEGIN + timedelta(days=day)
    return [
        {
            "parcel_id": f"p{day}-{i}", "depot": rng.choice(DEPOTS),
            "customer": rng.choice((*CUSTOMERS, None)), "weight": rng.choice([1, 2.5, 7, 30]),
            "ordered_at": start - timedelta(days=2, minutes=-rng.randint(0, 1000)),
            "promised_at": start + timedelta(minutes=rng.randint(180, 1200)),
        }
        for i in range(20)
    ]  # fmt: skip


def _delivery(parcel: dict[str, Any]) -> dict[str, Any] | None:
    rng = random.Random(parcel["parcel_id"])
    if rng.random() < 0.05:
        return None  # lost: there is no label
    heavy = parcel["weight"] > 5 or parcel["depot"] == "west"
    delay = rng.randint(-20, 30) + (15 if heavy else 0)
    at = parcel["promised_at"] + timedelta(minutes=delay)
    return {"parcel_id": parcel["parcel_id"], "delivered_at": at, "delay": delay}


def _contract(source: str, columns: dict[str, str]) -> str:
    first = next(iter(columns))
    lines = [
        "apiVersion: v3.1.0", "kind: DataContract", f"id: depot.{source}", "version: 1.0.0",
        "status: active", "schema:", f"  - name: {source}", "    properties:",
    ]  # fmt: skip
    for name, type_ in columns.items():
        key = ", primaryKey: true" if name == first else ""
        lines.append(
            f"      - {{name: {name}, logicalType: {_LOGICAL[type_]}, physicalType: {type_}{key}}}"
        )
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
