"""The feeds of the flights template: complete, never ahead of the clock, and always the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flights_feeds import (
    AFTER_ALL,
    FIRST_NOW,
    TEMPLATE,
    count,
    prepare,
    prepare_from,
    project_at,
    whole_year,
    whole_year_opened,
)

# What dates a row: nothing may appear before it.
KNOWN_AT = {
    "schedule": "published_at::timestamptz",
    "departures": "departed_at::timestamptz",
    "arrivals": "landed_at::timestamptz",
    "weather": "observed_at::timestamptz + interval 20 minute",
}

COUNTS = [
    ("flights", "from schedule", 336_776),
    ("their ids", "select distinct flight_id from schedule", 336_776),
    ("that never departed", "from schedule anti join departures using (flight_id)", 8_255),
    ("departed, no arrival", "from departures anti join arrivals using (flight_id)", 1_175),
    ("arrivals without departure", "from arrivals anti join departures using (flight_id)", 0),
    (
        "tail numbers that planes does not hold",
        "from (from schedule where tailnum is not null) anti join planes using (tailnum)",
        50_094,
    ),
    (
        "destinations that airports does not hold",
        "from schedule anti join airports on dest = faa",
        7_602,
    ),
    ("carriers without a name", "from schedule anti join carriers using (carrier)", 0),
    ("weather reports", "from weather", 26_115),
    ("their keys", "select distinct origin, observed_at from weather", 26_115),
    ("planes", "from planes", 3_322),
    ("airports", "from airports", 1_458),
]


@pytest.mark.parametrize(("query", "expected"), [case[1:] for case in COUNTS])
def test_the_whole_year_has_this_many(query: str, expected: int) -> None:
    assert count(whole_year_opened(), query) == expected


@pytest.mark.parametrize(
    "now", [FIRST_NOW, datetime(2013, 12, 15, 17, 59, tzinfo=UTC)], ids=["first", "between ticks"]
)
def test_the_feeds_hold_just_what_was_known_by_the_last_tick(tmp_path: Path, now: datetime) -> None:
    tick = now.replace(hour=now.hour // 3 * 3, minute=0).isoformat()
    feeds = project_at(tmp_path, now)
    there = {feed: rows_in(feeds / feed) for feed in KNOWN_AT}
    known = {
        feed: count(whole_year_opened(), f"from {feed} where {known_at} <= '{tick}'")
        for feed, known_at in KNOWN_AT.items()
    }

    assert there == known
    assert min(there.values()) > 20_000


def test_a_back_filled_month_appears_when_it_is_over(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, datetime(2013, 6, 30, 23, 59, tzinfo=UTC))
    newest = {feed: max(path.stem for path in (feeds / feed).iterdir()) for feed in KNOWN_AT}

    # The timetable of July was published in June.
    may = dict.fromkeys(("departures", "arrivals", "weather"), "2013-05")
    assert newest == may | {"schedule": "2013-07"}


@pytest.mark.parametrize("feed", ["departures", "arrivals", "weather"])
def test_a_december_file_holds_the_three_hours_before_its_name(feed: str) -> None:
    """Rows of a file named T lie in (T - 3 h, T], by the moment when they became known."""
    files = f"""
        select
            strptime(parse_filename(filename, true), '%Y-%m-%dT%H') at time zone 'UTC' as tick,
            {KNOWN_AT[feed]} as known
        from {feed} where parse_filename(filename, true) like '%T%'
    """  # noqa: S608
    outside = "where known > tick or known <= tick - interval 3 hour"

    assert count(whole_year_opened(), files) > 2_000
    assert count(whole_year_opened(), f"from ({files}) {outside}") == 0


def test_feeds_only_grow(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, FIRST_NOW)
    before: dict[str, bytes] = {}
    for hours in (0, 1, 3, 4, 9, 48, 24 * 40):
        prepare()(tmp_path, FIRST_NOW + timedelta(hours=hours))
        after = contents(feeds)
        assert before.items() <= after.items()
        assert (len(after) > len(before)) is (hours not in (1, 4))
        before = after

    assert before == contents(whole_year() / "feeds")


def test_december_is_on_the_timetable_from_the_first_call(tmp_path: Path) -> None:
    assert (project_at(tmp_path, FIRST_NOW) / "schedule/2013-12.csv").exists()


def test_a_second_call_touches_nothing(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, FIRST_NOW)
    before = {path: path.stat().st_mtime_ns for path in feeds.rglob("*")}
    prepare()(tmp_path, FIRST_NOW)

    assert {path: path.stat().st_mtime_ns for path in feeds.rglob("*")} == before


def test_an_earlier_moment_takes_nothing_away(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, FIRST_NOW)
    before = contents(feeds)
    prepare()(tmp_path, datetime(2013, 3, 1, tzinfo=UTC))

    assert contents(feeds) == before


def test_a_correction_that_somebody_made_stays(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, FIRST_NOW)
    corrected, extra = feeds / "arrivals/2013-01.csv", feeds / "arrivals/late-news.csv"
    corrected.write_text(corrected.read_text().replace(",-14,53,", ",-13,53,", 1))
    extra.write_text(corrected.read_text()[:200])
    before = corrected.read_text()
    prepare()(tmp_path, AFTER_ALL)

    assert corrected.read_text() == before
    assert extra.exists()


def test_the_files_are_plain_csv_in_utc_with_nothing_half_written(tmp_path: Path) -> None:
    feeds = project_at(tmp_path, FIRST_NOW)

    assert {path.suffix for path in feeds.rglob("*") if path.is_file()} == {".csv"}
    first = (feeds / "departures/2013-01.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert first == [
        "flight_id,origin,dest,carrier,tailnum,departed_at,departure_delay",
        "2013-01-01-UA-1545-EWR-0515,EWR,IAH,UA,N14228,2013-01-01T10:17:00Z,2",
    ]
    assert "NA" not in (feeds / "planes.csv").read_text(encoding="utf-8").split(",")


def test_another_edition_of_prepare_replaces_just_what_it_writes_otherwise(
    tmp_path: Path,
) -> None:
    """Also: a shelf left half filled is filled again, and the same text writes the same bytes."""
    (tmp_path / ".feeds/arrivals").mkdir(parents=True)
    (tmp_path / ".feeds/arrivals/2013-01.csv").write_text("flight_id,carr")
    text = (TEMPLATE / "prepare.py").read_text(encoding="utf-8")
    other = prepare_from(tmp_path / "prepare.py", text.replace("TICK = 3 ", "TICK = 24 "))
    other(tmp_path, AFTER_ALL)
    daily, january = ticks(tmp_path), (tmp_path / "feeds/arrivals/2013-01.csv").stat().st_mtime_ns
    prepare()(tmp_path, AFTER_ALL)

    assert len(daily) == 32
    assert len(ticks(tmp_path)) > 200
    assert (tmp_path / "feeds/arrivals/2013-01.csv").stat().st_mtime_ns == january
    assert contents(tmp_path / "feeds") == contents(whole_year() / "feeds")


def ticks(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "feeds/arrivals").glob("*T*"))


def rows_in(feed: Path) -> int:
    return sum(path.read_bytes().count(b"\n") - 1 for path in feed.iterdir())


def contents(feeds: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(feeds)): path.read_bytes()
        for path in feeds.rglob("*")
        if path.is_file()
    }
