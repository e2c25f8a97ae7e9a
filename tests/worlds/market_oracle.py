"""Which CSV rows are behind an answer: plain Python over the files as they were at each landing.

Nothing here knows of queries, row ids or the lake.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

BACKFILL = datetime(2020, 3, 1, tzinfo=UTC)
Files = Mapping[str, list[dict[str, str]]]  # a file's name to its records


class Line(NamedTuple):
    """A record of a file: what `why` must name."""

    file: str
    line: int
    tag: str


class Version(NamedTuple):
    """What a key said from a moment on."""

    key: str
    known: datetime
    values: Mapping[str, str]
    line: Line


class Placed(NamedTuple):
    """An order together with its shop, as both were at a moment."""

    values: Mapping[str, Any]
    known: datetime
    lines: frozenset[Line]


class Day(NamedTuple):
    """What a region's day summed up to, according to one build."""

    key: tuple[str, datetime]
    known: datetime
    values: Mapping[str, float] | None
    lines: frozenset[Line]


class Answer(NamedTuple):
    """What is logged for a question, and the lines behind each part of it."""

    request: Mapping[str, Any]
    features: Mapping[str, Any]
    lines: Mapping[str, frozenset[Line]]


def snapshot(feeds: Path) -> dict[str, list[dict[str, str]]]:
    """Return the records of all files as they are now."""
    found = {}
    for path in sorted(feeds.glob("*.csv")):
        with path.open(newline="") as file:
            found[path.name] = list(csv.DictReader(file))
    return found


class Oracle:
    """Answers questions from what had landed by a landing (`upto`, counted from 1)."""

    def __init__(self, landings: Sequence[tuple[datetime, Files]], upto: int) -> None:
        self.landings = landings[:upto]
        self.orders = self._versions("orders-", "order_id", "ordered_at")
        self.counts = self._versions("counts-", "count_id", "counted_at")
        self.shops = self._versions("shops", "shop", "opened_at")
        self.days = self._days()

    def keys_at(self, at: datetime) -> list[str]:
        return sorted(_current(self.orders, at))

    def answer(self, key: str, at: datetime) -> Answer:
        placed = self._placed(at)
        order = placed[key]
        shop, region = order.values["shop"], order.values["region"]
        level, stock = self._stock(shop, at)
        recent, rows = self._recent(placed.values(), shop, at)
        sums, days = self._region(region, at)
        amount = order.values["amount"]
        request = {n: order.values[n] for n in ("order_id", "shop", "region", "amount")}
        request["ordered_at"] = _iso(order.values["ordered_at"])
        features = {"stock__level": level, **recent, **sums}
        features |= {"order__amount": amount, "order__twice": amount * 2}
        lines = {"stock": stock, "recent": rows, "region": days, "order": frozenset[Line]()}
        return Answer(request, features, {**lines, "request": order.lines})

    def known_by(self, at: datetime) -> set[Line]:
        every = (*self.orders, *self.counts, *self.shops)
        return {version.line for version in every if version.known <= at}

    def _versions(self, prefix: str, key: str, moment: str) -> list[Version]:
        """Return what became known when: a file once, a changed row from its arrival."""
        found: list[Version] = []
        last: dict[str, Mapping[str, str]] = {}
        for now, files in self.landings:
            for name, records in files.items():
                if not name.startswith(prefix):
                    continue
                for number, record in enumerate(records, 2):
                    id_ = record[key]
                    if last.get(id_) == record:
                        continue
                    said = datetime.fromisoformat(record[moment])
                    known = said if now <= BACKFILL and id_ not in last else max(said, now)
                    last[id_] = record
                    line = Line(f"feeds/{name}", number, record["tag"])
                    if float(record.get("amount", 0)) >= 0:
                        found.append(Version(id_, known, record, line))
        return found

    def _placed(self, at: datetime) -> dict[str, Placed]:
        shops = _current(self.shops, at)
        found = {}
        for key, order in _current(self.orders, at).items():
            shop = shops.get(order.values["shop"])
            values = {
                **order.values,
                "amount": float(order.values["amount"]),
                "ordered_at": datetime.fromisoformat(order.values["ordered_at"]),
                "region": shop.values["region"] if shop else None,
            }
            parts = [order, *([shop] if shop else [])]
            known = max(part.known for part in parts)
            found[key] = Placed(values, known, frozenset(part.line for part in parts))
        return found

    def _stock(self, shop: str, at: datetime) -> tuple[float | None, frozenset[Line]]:
        seen = []
        for index, version in enumerate(self.counts):
            event = datetime.fromisoformat(version.values["counted_at"])
            known = max(version.known, event + timedelta(hours=1))
            if version.values["shop"] == shop and known <= at:
                seen.append((event, known, index, version))
        if not seen:
            return None, frozenset()
        event, *_, newest = max(seen)
        if event < at - timedelta(days=10):
            return None, frozenset()
        return float(newest.values["level"]) * 2, frozenset({newest.line})

    def _recent(
        self, placed: Iterable[Placed], shop: str, at: datetime
    ) -> tuple[dict[str, Any], frozenset[Line]]:
        features: dict[str, Any] = {}
        lines: frozenset[Line] = frozenset()
        rows = [row for row in placed if row.values["shop"] == shop]
        for days in (2, 7):
            begin = at - timedelta(days=days)
            inside = [row for row in rows if begin < row.values["ordered_at"] <= at]
            amounts = [row.values["amount"] for row in inside]
            mean = sum(amounts) / len(amounts) if amounts else None
            features[f"recent__mean_{days}d"] = mean
            features[f"recent__most_{days}d"] = max(amounts, default=None)
            features[f"recent__n_{days}d"] = len(amounts)
            lines = lines.union(*(row.lines for row in inside))
        return features, lines

    def _region(
        self, region: str | None, at: datetime
    ) -> tuple[dict[str, float | None], frozenset[Line]]:
        last: dict[tuple[str, datetime], Day] = {}
        for day in sorted(self.days, key=lambda d: d.known):
            if day.known <= at:
                last[day.key] = day
        ended = [
            day
            for (where, begin), day in last.items()
            if where == region and day.values and begin + timedelta(days=1) <= at
        ]
        if not ended:
            return {"region__total": None, "region__n": None}, frozenset()
        newest = max(ended, key=lambda day: day.key[1])
        assert newest.values is not None
        return {f"region__{n}": v for n, v in newest.values.items()}, newest.lines

    def _days(self) -> list[Day]:
        """Return the days as each build summed them up: what changed counts from the build."""
        found: list[Day] = []
        held: dict[tuple[str, datetime], Day] = {}
        for now, _ in self.landings:
            made = self._day_sums(now)
            for key, day in made.items():
                before = held.get(key)
                if before is None or before.values is None:
                    found.append(day)
                elif before.values != day.values:
                    found.append(day._replace(known=now))
                else:
                    continue
                held[key] = found[-1]
            for key in held.keys() - made.keys():
                if held[key].values is not None:
                    held[key] = Day(key, now, None, frozenset())
                    found.append(held[key])
        return found

    def _day_sums(self, now: datetime) -> dict[tuple[str, datetime], Day]:
        groups: dict[tuple[str, datetime], list[Placed]] = defaultdict(list)
        for row in self._placed(now).values():
            if row.values["region"] is not None:
                begin = row.values["ordered_at"].replace(hour=0)
                groups[row.values["region"], begin].append(row)
        return {
            key: Day(
                key,
                max(row.known for row in rows),
                {"total": sum(row.values["amount"] for row in rows), "n": float(len(rows))},
                frozenset().union(*(row.lines for row in rows)),
            )
            for key, rows in groups.items()
        }


def _current(versions: Sequence[Version], at: datetime) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for version in sorted(versions, key=lambda v: v.known):
        if version.known <= at:
            found[version.key] = version
    return found


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
