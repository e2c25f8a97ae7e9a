"""What becomes of rows that arrive, are corrected, vanish, repeat or cannot be read."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lichen.core.steps import Blocked, Done, Land
from lichen.loop import Event
from lichen.testing.project import SmallProject

COLUMNS = {"id": "bigint", "at": "timestamptz", "amount": "double"}
RULES: dict[str, dict[str, Any]] = {
    "id": {"primaryKey": True, "primaryKeyPosition": 1},
    "amount": {"logicalTypeOptions": {"minimum": 0, "maximum": 100}},
}
KEYED = "key: id\nknown_at: at\nbackfill_until: 2020-06-30\n"
JUNE, JULY, AUGUST, MAY = "2020-06-01", "2020-07-10", "2020-08-10", "2020-05-01"
HEADER = "id,at,amount"
Row = Sequence[object]


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    small = SmallProject(tmp_path)
    small.source("sales", COLUMNS, KEYED, rules=RULES)
    return small


def feed(project: SmallProject, name: str, *rows: Row) -> None:
    project.csv(f"feeds/sales/{name}.csv", HEADER, rows)


def landed(project: SmallProject, now: str) -> list[Event]:
    return [e for e in project.run(now) if isinstance(e.step, Land)]


def added(project: SmallProject, now: str) -> list[tuple[object, ...]]:
    """Run, and return key, amount, deleted, known-at and arrival (as dates) of what came of it."""
    (event,) = landed(project, now)
    assert isinstance(event.step, Land)
    assert isinstance(event.result, Done), event.result
    return stored(project, event.step.sequence)


def stored(project: SmallProject, sequence: int = 0) -> list[tuple[object, ...]]:
    return [
        (v["_key"], v["amount"], v["_deleted"], day(v["_known_at"]), day(v["_arrived_at"]))
        for v in project.versions("sources.sales")
        if not sequence or v["_row"] >> 32 == sequence
    ]


def day(moment: Any) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d}"


def amounts(project: SmallProject, at: str) -> dict[int, float]:
    return {row["id"]: row["amount"] for row in project.current("sources.sales", at)}


def test_a_back_fill_is_known_when_it_says_and_live_rows_not_before_they_arrive(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-09-01", 20))
    assert added(project, JUNE) == [
        ("1", 10, False, "2020-01-01", JUNE),
        ("2", 20, False, "2020-09-01", JUNE),
    ]
    feed(project, "b", (3, "2020-01-01", 30), (4, "2020-09-01", 40))
    assert added(project, JULY) == [
        ("3", 30, False, JULY, JULY),
        ("4", 40, False, "2020-09-01", JULY),
    ]


def test_without_anything_new_nothing_is_landed(project: SmallProject) -> None:
    feed(project, "a", (1, "2020-01-01", 10))
    landed(project, JUNE)
    assert project.run(JULY) == ()
    (project.root / "feeds/sales/a.csv").touch()
    assert project.run(JULY) == ()


# What a file with these two rows holds next, and the versions that come of it at JULY. Each case
# has a file and keys of its own, so that two runs serve them all.
BEFORE: list[Row] = [(1, "2020-01-01", 10), (2, "2020-01-02", 20)]
CHANGES: dict[str, tuple[list[Row], list[tuple[object, ...]]]] = {
    "a row more": ([*BEFORE, (3, "2020-01-03", 30)], [("3", 30, False, JULY, JULY)]),
    "a row corrected": ([(1, "2020-01-01", 11), BEFORE[1]], [("1", 11, False, JULY, JULY)]),
    "a row gone": (BEFORE[1:], [("1", 10, True, JULY, JULY)]),
    "all rows gone": ([], [("1", 10, True, JULY, JULY), ("2", 20, True, JULY, JULY)]),
    "other order": (BEFORE[::-1], []),
    "other spelling": ([(" 1", "2020-01-01T00:00:00Z", "10.0"), ("2", "2020-01-02", "2e1")], []),
    "a value gone": ([(1, "2020-01-01", None), BEFORE[1]], [("1", None, False, JULY, JULY)]),
    "no longer known": ([(1, None, 10), BEFORE[1]], [("1", 10, False, None, JULY)]),
    "not to be read": ([(1, "2020-01-01", "ten"), BEFORE[1]], [("1", None, False, JULY, JULY)]),
    "nothing": (BEFORE, []),
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A source whose files all changed between two runs, each in another way."""
    small = SmallProject(tmp_path_factory.mktemp("changed"))
    small.source("sales", COLUMNS, KEYED, rules=RULES)
    for state, now in ((0, JUNE), (1, JULY)):
        for case, (after, _) in enumerate(CHANGES.values()):
            rows = after if state else BEFORE
            feed(small, f"{case}", *((f"{case}{str(k).strip()}", *rest) for k, *rest in rows))
        landed(small, now)
    return small


@pytest.mark.parametrize("what", CHANGES)
def test_of_a_changed_file_only_what_it_says_anew_lands(changed: SmallProject, what: str) -> None:
    case = f"{list(CHANGES).index(what)}"
    mine = [row for row in stored(changed) if f"{row[0]:0>2}"[0] == case]
    assert [(str(key)[-1], *rest) for key, *rest in mine] == [
        ("1", 10, False, "2020-01-01", JUNE),
        ("2", 20, False, "2020-01-02", JUNE),
        *CHANGES[what][1],
    ]


def test_what_held_before_a_change_holds_before_it(changed: SmallProject) -> None:
    keys = [int(f"{case}{key}") for case in range(len(CHANGES)) for key in (1, 2)]
    assert amounts(changed, "2020-06-15") == {key: key % 10 * 10 for key in keys}


def test_a_row_that_comes_back_after_it_was_gone_counts_from_its_return(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    landed(project, JUNE)
    feed(project, "a", (2, "2020-01-02", 20))
    landed(project, JULY)
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    assert added(project, AUGUST) == [("1", 10, False, AUGUST, AUGUST)]
    times = ("2020-06-15", "2020-07-15", "2020-08-15")
    assert [1 in amounts(project, at) for at in times] == [True, False, True]


def test_what_another_file_says_again_is_no_news(project: SmallProject) -> None:
    feed(project, "a", (1, "2020-01-01", 10))
    landed(project, JUNE)
    feed(project, "b", (1, "2020-01-01", 10))
    assert added(project, JULY) == []
    assert amounts(project, "2020-01-02") == {1: 10}


def test_of_files_that_arrive_together_the_later_corrects_the_earlier(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-01", 20))
    feed(project, "b", (1, "2020-01-01", 11), (2, "2020-01-01", 20))
    assert added(project, JUNE) == [
        ("1", 10, False, "2020-01-01", JUNE),
        ("2", 20, False, "2020-01-01", JUNE),
        ("1", 11, False, JUNE, JUNE),
    ]
    assert amounts(project, "2020-02-01") == {1: 10, 2: 20}
    assert amounts(project, JUNE) == {1: 11, 2: 20}


def test_an_older_file_that_is_touched_does_not_bring_its_old_rows_back(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10))
    landed(project, JUNE)
    feed(project, "b", (1, "2020-01-01", 11))
    landed(project, JULY)
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    assert added(project, AUGUST) == [("2", 20, False, AUGUST, AUGUST)]
    assert amounts(project, AUGUST) == {1: 11, 2: 20}


def test_rows_that_moved_to_another_file_are_not_gone(project: SmallProject) -> None:
    feed(project, "now", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    landed(project, JUNE)
    feed(project, "now", (2, "2020-01-02", 20))
    feed(project, "old", (1, "2020-01-01", 10))
    assert added(project, JULY) == [("1", 10, False, "2020-01-01", JULY)]
    feed(project, "now", (3, "2020-08-01", 30))
    assert added(project, AUGUST) == [
        ("3", 30, False, AUGUST, AUGUST),
        ("2", 20, True, AUGUST, AUGUST),
    ]
    assert amounts(project, "2020-02-01") == {1: 10, 2: 20}
    assert amounts(project, AUGUST) == {1: 10, 3: 30}


@pytest.mark.parametrize("unique", [True, False], ids=["with a rule", "by the key alone"])
def test_a_key_that_its_file_repeats_is_held_back(tmp_path: Path, unique: bool) -> None:
    project = SmallProject(tmp_path)
    project.source("sales", COLUMNS, KEYED, rules=RULES if unique else {})
    feed(project, "a", (1, "2020-01-01", 10), (1, "2020-01-01", 11), (2, "2020-01-02", 20))
    landed(project, JUNE)
    assert amounts(project, JUNE) == {1: 10, 2: 20}
    rule = "id.unique" if unique else "key.unique"
    assert [(v["rule"], v["reason"]) for v in project.verdicts("sources.sales")] == [
        (rule, "id 1: an earlier row has the same")
    ]
    # The file goes on: what was held back is not judged or delivered twice.
    feed(
        project, "a",
        (1, "2020-01-01", 10), (1, "2020-01-01", 11), (2, "2020-01-02", 20), (2, "2020-01-02", 21),
    )  # fmt: skip
    landed(project, JULY)
    assert amounts(project, AUGUST) == {1: 10, 2: 20}
    assert Counter(v["rule"] for v in project.verdicts("sources.sales")) == {rule: 2}
    # The first row goes: what was its repeat is now the row.
    feed(project, "a", (1, "2020-01-01", 11), (2, "2020-01-02", 20))
    landed(project, AUGUST)
    assert amounts(project, AUGUST) == {1: 11, 2: 20}


def test_without_a_key_a_changed_file_is_compared_as_a_multiset(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.source("sales", COLUMNS, "known_at: at\nbackfill_until: 2020-06-30\n")
    twice: list[Row] = [(1, "2020-01-01", 10), (1, "2020-01-01", 10), (2, "2020-01-02", 20)]
    feed(project, "a", *twice)
    assert len(added(project, JUNE)) == 3
    feed(project, "a", *twice[:1], *twice, (3, "2020-01-03", 30))
    assert [(a, gone, known) for _, a, gone, known, _ in added(project, JULY)] == [
        (10, False, JULY),
        (30, False, JULY),
    ]
    feed(project, "a", *twice[1:])
    assert Counter((a, gone) for _, a, gone, _, _ in added(project, AUGUST)) == {
        (10, True): 2,
        (30, True): 1,
    }
    assert [row["amount"] for row in project.current("sources.sales", AUGUST)] == [10, 20]


def test_what_cannot_be_read_is_kept_and_held_back(project: SmallProject) -> None:
    file = project.root / "feeds/sales/a.csv"
    file.parent.mkdir(parents=True)
    text = b"id,at,amount\n1,2020-01-01,10\n2,2020-01-02,ten\n3,2020-01-03,30,x\n4,2020-01-04,400\n"
    file.write_bytes(text)
    (event,) = landed(project, JUNE)
    assert isinstance(event.result, Done)
    assert event.result.facts["held_back"] == {"amount.range": 1, "amount.type": 1, "unreadable": 1}
    assert amounts(project, JUNE) == {1: 10}
    two = next(v for v in project.versions("sources.sales") if v["id"] == 2)
    assert (two["amount"], two["_file"], two["_line"]) == (None, "feeds/sales/a.csv", 3)
    assert '"amount":"ten"' in two["_raw"]
    lost = next(v for v in project.verdicts("sources.sales") if v["rule"] == "unreadable")
    assert (lost["raw"], lost["_file"], lost["_line"]) == (
        b"3,2020-01-03,30,x", "feeds/sales/a.csv", 4,
    )  # fmt: skip


def test_a_torn_file_deletes_nothing_and_its_records_are_kept_once(project: SmallProject) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    landed(project, JUNE)
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", "20,x"))
    assert added(project, JULY) == []
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", "20,x"), (3, "2020-07-01", 30))
    assert added(project, "2020-07-20") == [("3", 30, False, "2020-07-20", "2020-07-20")]
    assert [v["rule"] for v in project.verdicts("sources.sales")] == ["unreadable"]
    feed(project, "a", (1, "2020-01-01", 10), (3, "2020-07-01", 30))
    assert added(project, AUGUST) == [("2", 20, True, AUGUST, AUGUST)]


def test_quarantine_counts_equal_a_count_in_python(project: SmallProject) -> None:
    values = ["10", "-1", "ten", "", "101", "1e2", "nan", "0"]
    rows = [(i % 37 or "", f"2020-01-{i % 28 + 1:02}", values[i % 8]) for i in range(60)]
    feed(project, "a", *rows)
    (event,) = landed(project, JUNE)
    assert isinstance(event.result, Done)
    assert event.result.facts["held_back"] == counted(project.root / "feeds/sales/a.csv")
    held = Counter(v["rule"] for v in project.verdicts("sources.sales"))
    assert held == counted(project.root / "feeds/sales/a.csv")


def counted(path: Path) -> dict[str, int]:
    """Count what breaks RULES with Python's own csv module and arithmetic."""
    found: Counter[str] = Counter()
    seen: set[str] = set()
    with path.open() as file:
        for row in csv.DictReader(file):
            found["id.not_null"] += not row["id"]
            found["id.unique"] += bool(row["id"]) and row["id"] in seen
            seen.add(row["id"])
            try:
                value = float(row["amount"] or 0)
            except ValueError:
                found["amount.type"] += 1
            else:
                found["amount.range"] += not 0 <= value <= 100
    return dict(+found)


def test_a_table_rule_blocks_until_a_better_file_comes(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    at_least = {"metric": "rowCount", "mustBeGreaterThan": 1}
    project.source("sales", COLUMNS, KEYED, rules=RULES, quality=[at_least])
    feed(project, "a", (1, "2020-01-01", 10))
    (event,) = landed(project, JUNE)
    assert isinstance(event.result, Blocked)
    assert [f.rule for f in event.result.findings] == ["row_count"]
    assert project.loop().published() == {}
    assert project.run(JUNE) == ()
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    assert [row[0] for row in added(project, JULY)] == ["1", "2"]


def test_stale_data_blocks(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.source("sales", COLUMNS, KEYED, rules=RULES)
    contract = project.root / "sources/sales.odcs.yaml"
    contract.write_text(
        contract.read_text()
        + "slaProperties:\n  - {property: freshness, value: 30, unit: d, element: sales.at}\n"
    )
    feed(project, "a", (1, "2020-01-01", 10))
    (event,) = landed(project, JUNE)
    assert isinstance(event.result, Blocked)
    feed(project, "b", (2, "2020-05-20", 20))
    (event,) = landed(project, JUNE)
    assert isinstance(event.result, Done)


def test_a_changed_rule_holds_rows_back_and_releases_others(project: SmallProject) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 150), (3, "2020-01-03", 30))
    (project.root / "feeds/sales/b.csv").write_text(f"{HEADER}\n4,2020-01-04,40,x\n")
    landed(project, JUNE)
    feed(project, "a", (1, "2020-01-01", 11), (2, "2020-01-02", 150), (3, "2020-01-03", 30))
    landed(project, JULY)
    assert amounts(project, JULY) == {1: 11, 3: 30}
    wider = RULES | {"amount": {"logicalTypeOptions": {"minimum": 20, "maximum": 200}}}
    project.source("sales", COLUMNS, KEYED, rules=wider)
    (event,) = landed(project, AUGUST)
    assert isinstance(event.result, Done)
    assert event.result.facts["held_back"] == {"amount.range": 2, "unreadable": 1}
    # As of when it was known, not as of when it was released.
    assert amounts(project, "2020-02-01") == {2: 150, 3: 30}
    project.source("sales", COLUMNS, KEYED, rules={"id": RULES["id"]})
    (event,) = landed(project, AUGUST)
    assert isinstance(event.result, Done)
    assert event.result.facts["held_back"] == {"unreadable": 1}
    assert amounts(project, AUGUST) == {1: 11, 2: 150, 3: 30}
    assert amounts(project, "2020-02-01") == {1: 10, 2: 150, 3: 30}


def test_a_changed_definition_reads_all_files_again_and_keeps_their_arrival(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10), (2, "2020-01-02", 20))
    feed(project, "b", (3, "2020-01-03", 30))
    landed(project, JUNE)
    feed(project, "b", (3, "2020-01-03", 31), (4, "2020-01-04", 40))
    landed(project, JULY)
    project.source("sales", COLUMNS | {"amount": "decimal(9,2)"}, KEYED, rules=RULES)
    feed(project, "c", (5, "2020-01-05", 50))
    (event,) = landed(project, AUGUST)
    assert isinstance(event.step, Land)
    assert event.step.reason == "its definition changed, 1 new file"
    assert [(k, float(str(a)), known, arrived) for k, a, _, known, arrived in stored(project)] == [
        ("1", 10, "2020-01-01", JUNE),
        ("2", 20, "2020-01-02", JUNE),
        ("3", 31, JULY, JULY),
        ("4", 40, JULY, JULY),
        ("5", 50, AUGUST, AUGUST),
    ]
    assert project.run(AUGUST) == ()


def test_another_key_counts_a_row_from_when_its_file_last_brought_anything(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10))
    feed(project, "b", (2, "2020-01-02", 20))
    landed(project, JUNE)
    feed(project, "b", (2, "2020-01-02", 20), (3, "2020-01-03", 30))
    landed(project, JULY)
    project.source("sales", COLUMNS, KEYED.replace("key: id", "key: [id, amount]"), rules={})
    landed(project, AUGUST)
    assert [(known, arrived) for *_, known, arrived in stored(project)] == [
        ("2020-01-01", JUNE),
        (JULY, JULY),
        (JULY, JULY),
    ]


def test_a_changed_definition_blocks_where_files_that_were_landed_are_gone(
    project: SmallProject,
) -> None:
    feed(project, "a", (1, "2020-01-01", 10))
    feed(project, "b", (2, "2020-01-02", 20))
    landed(project, JUNE)
    (project.root / "feeds/sales/a.csv").rename(project.root / "feeds/sales/z.csv")
    (project.root / "feeds/sales/b.csv").unlink()
    project.source("sales", COLUMNS, KEYED.replace("06-30", "06-29"), rules=RULES)
    (event,) = landed(project, JULY)
    assert isinstance(event.result, Blocked)
    assert "1 that were landed are gone (feeds/sales/b.csv)" in event.result.findings[0].message
    assert amounts(project, JULY) == {1: 10, 2: 20}


# Random histories of overlapping files, against the rules of landing in plain Python. Each lane
# has files and keys of its own, so that one project runs many histories.

LANES, RUNS = 20, 4
_FILE = st.dictionaries(st.integers(1, 3), st.integers(0, 2), max_size=3)
_RUN = st.dictionaries(st.sampled_from("abc"), _FILE, max_size=3)
_LANE = st.lists(_RUN, min_size=RUNS, max_size=RUNS)


@dataclass
class Version:
    key: int
    file: str
    value: int
    gone: bool
    known: int


class Model:
    """All versions of one lane, run by run."""

    def __init__(self) -> None:
        self.versions: list[Version] = []

    def arrive(self, month: int, files: dict[str, dict[int, int]]) -> None:
        before = {v.key: v for v in self.versions}
        for file, rows in sorted(files.items()):
            for key, value in rows.items():
                self._told(month, file, key, value, before, files)
        for key, last in before.items():
            lost = last.file in files and not any(key in rows for rows in files.values())
            if lost and not last.gone:
                self.versions.append(Version(key, last.file, last.value, True, month))

    def _told(
        self, month: int, file: str, key: int, value: int,
        before: dict[int, Version], files: dict[str, dict[int, int]],
    ) -> None:  # fmt: skip
        mine = [v for v in self.versions if v.key == key]
        claims = [v for v in mine if v.file == file]
        if claims and (claims[-1].value, claims[-1].gone) == (value, False):
            return
        if mine and (mine[-1].value, mine[-1].gone) == (value, False):
            left = mine[-1] is before.get(key) and key not in files.get(mine[-1].file, {key})
            if left:
                self.versions.append(Version(key, file, value, False, mine[-1].known))
            return
        self.versions.append(Version(key, file, value, False, month))

    def current(self, month: int) -> dict[int, int]:
        known = sorted((v for v in self.versions if v.known <= month), key=lambda v: v.known)
        last = {v.key: v for v in known}
        return {key: v.value for key, v in last.items() if not v.gone}


@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(lanes=st.lists(_LANE, min_size=LANES, max_size=LANES))
def test_random_histories_of_files(
    tmp_path_factory: pytest.TempPathFactory, lanes: list[list[dict[str, dict[int, int]]]]
) -> None:
    project = SmallProject(tmp_path_factory.mktemp("history"))
    project.source("sales", COLUMNS, "key: id\n")
    models = [Model() for _ in lanes]
    for month in range(1, RUNS + 1):
        for lane, runs in enumerate(lanes):
            files = runs[month - 1]
            models[lane].arrive(month, files)
            for name, rows in files.items():
                shown = ((lane * 10 + k, "2020-01-01", v) for k, v in rows.items())
                feed(project, f"{lane}{name}", *shown)
        project.run(f"2020-{month:02}-01")
    expected = [
        {lane * 10 + k: v for lane, m in enumerate(models) for k, v in m.current(at).items()}
        for at in range(1, RUNS + 1)
    ]
    if any(expected):
        found = [amounts(project, f"2020-{at:02}-15") for at in range(1, RUNS + 1)]
        assert found == expected
        assert len(stored(project)) == sum(len(m.versions) for m in models)
