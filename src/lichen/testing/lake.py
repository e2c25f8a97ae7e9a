"""What every lake must do. Subclass `LakeKit` in a test file; return yours from `lake`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lichen.core.errors import LakeError
from lichen.ports.engine import Engine, Scan
from lichen.ports.lake import Column, Commit, Lake, Staged
from lichen.testing.engine import sql

TABLE = "tables.t"
_V = Column("v", "INTEGER")


class LakeKit:
    """Tests for pytest. Each call of `lake` with the same folder opens the same tables anew."""

    def lake(self, root: Path) -> Lake:
        """Open the lake in a folder."""
        raise NotImplementedError

    def engine(self) -> Engine:
        """Return the engine that writes the staged files."""
        raise NotImplementedError

    def put(self, lake: Lake, text: str, table: str = TABLE) -> Staged:
        """Stage the rows of a SELECT."""
        return self.engine().write(sql(text), {}, lake.stage(table))

    def read(self, lake: Lake, commit: Commit, column: Column = _V) -> Any:
        """Return one column of the table at a commit, in stored order."""
        scan = Scan(lake.files(TABLE, commit.version), (column,))
        return [
            row[column.name] for row in self.engine().rows(sql('select * from "t"'), {"t": scan})
        ]

    def test_a_table_that_was_never_written(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        assert lake.latest(TABLE) is None
        assert lake.check(TABLE) == ()
        assert lake.sweep(TABLE) == 0

    def test_appends_add_up_in_order(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        first = lake.append(TABLE, [self.put(lake, "select 1 as v")], 1)
        two = [self.put(lake, "select 2 as v"), self.put(lake, "select 3 as v")]
        second = lake.append(TABLE, two, 5)
        assert self.read(lake, second) == [1, 2, 3]
        assert self.read(lake, first) == [1]
        assert lake.latest(TABLE) == second == self.lake(tmp_path).latest(TABLE)
        assert self.lake(tmp_path).files(TABLE, second.version) == lake.files(TABLE, second.version)

    def test_a_sequence_lands_once(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        first = lake.append(TABLE, [self.put(lake, "select 1 as v")], 1)
        second = lake.append(TABLE, [self.put(lake, "select 2 as v")], 2)
        for again in (lake, self.lake(tmp_path)):
            assert again.append(TABLE, [self.put(again, "select 1 as v")], 1) == first
            assert again.replace(TABLE, [self.put(again, "select 9 as v")], 2) == second
            assert again.latest(TABLE) == second
        assert self.read(lake, second) == [1, 2]

    def test_a_lower_sequence_is_refused(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        lake.append(TABLE, [self.put(lake, "select 1 as v")], 5)
        refused(lambda: lake.append(TABLE, [self.put(lake, "select 2 as v")], 4), "sequence 4")

    def test_a_commit_may_be_empty(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        lake.append(TABLE, [self.put(lake, "select 1 as v")], 1)
        assert self.read(lake, lake.append(TABLE, [], 2)) == [1]
        assert lake.latest(TABLE) == Commit(2, 1)

    def test_replacing_keeps_earlier_versions(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        first = lake.append(TABLE, [self.put(lake, "select 1 as v")], 1)
        second = lake.replace(TABLE, [self.put(lake, "select 'a' as v, 2.5::double as w")], 2)
        third = lake.append(TABLE, [self.put(lake, "select 'b' as v, 3.5::double as w")], 3)
        assert self.read(lake, third, Column("w", "DOUBLE")) == [2.5, 3.5]
        assert self.read(lake, second, Column("v", "VARCHAR")) == ["a"]
        assert self.read(lake, first) == [1]

    def test_rows_of_another_shape_are_refused(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        last = lake.append(TABLE, [self.put(lake, "select 1::bigint as v, 2 as w")], 1)
        for other, said in OTHER_SHAPES:
            staged = [self.put(lake, f"select {other}")]
            refused(lambda staged=staged: lake.append(TABLE, staged, 2), said)  # type: ignore[misc]
        assert lake.latest(TABLE) == last

    def test_sweeping_takes_only_what_no_version_needs(self, tmp_path: Path) -> None:
        crashed = self.lake(tmp_path)
        first = crashed.append(TABLE, [self.put(crashed, "select 1 as v")], 1)
        second = crashed.replace(TABLE, [self.put(crashed, "select 2 as v")], 2)
        lost = self.put(crashed, "select 3 as v")
        lost.path.with_name(lost.path.name + "#1").write_bytes(b"half")
        lake = self.lake(tmp_path)
        mine = self.put(lake, "select 4 as v")
        assert lake.sweep(TABLE) == 2
        assert not lost.path.exists()
        assert (self.read(lake, first), self.read(lake, second)) == ([1], [2])
        assert self.read(lake, lake.append(TABLE, [mine], 3)) == [2, 4]

    def test_following_gives_the_same_versions_and_then_each_goes_its_way(
        self, tmp_path: Path
    ) -> None:
        first, second = self.lake(tmp_path / "1"), self.lake(tmp_path / "2")
        begun = first.append(TABLE, [self.put(first, "select 1 as v")], 1)
        assert second.follow(TABLE, first, begun.version) == 0
        assert second.latest(TABLE) == begun
        later = first.append(TABLE, [self.put(first, "select 2 as v")], 2)
        assert second.latest(TABLE) == begun
        assert second.follow(TABLE, first, later.version) == 0
        assert self.read(second, later) == [1, 2]
        own = second.replace(TABLE, [self.put(second, "select 9 as v")], 3)
        assert (self.read(second, own), self.read(first, later)) == ([9], [1, 2])
        other = first.append(TABLE, [self.put(first, "select 3 as v")], 3)
        refused(lambda: second.follow(TABLE, first, other.version), "holds commits that")
        assert self.read(second, own) == [9]

    def test_what_is_undone_was_never_there(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        first = lake.append(TABLE, [self.put(lake, "select 1 as v")], 1)
        lake.append(TABLE, [self.put(lake, "select 2 as v")], 2)
        lake.undo(TABLE, first.version)
        assert lake.latest(TABLE) == first
        again = lake.append(TABLE, [self.put(lake, "select 3 as v")], 3)
        assert self.read(lake, again) == [1, 3]
        lake.undo(TABLE, -1)
        assert lake.latest(TABLE) is None
        begun = lake.append(TABLE, [self.put(lake, "select 'anew' as w")], 1)
        assert lake.check(TABLE) == ()
        assert lake.latest(TABLE) == begun

    def test_damage_is_found(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        whole, cut = self.put(lake, "select 1 as v"), self.put(lake, "select 2 as v")
        lake.append(TABLE, [whole, cut], 1)
        assert lake.check(TABLE) == ()
        cut.path.write_bytes(cut.path.read_bytes()[:-1])
        whole.path.unlink()
        found = " ".join(finding.message for finding in lake.check(TABLE))
        assert f"{whole.path} is missing" in found
        assert f"{cut.path} has {cut.size - 1} bytes" in found


OTHER_SHAPES: Sequence[tuple[str, str]] = (
    ("1.5::double as v, 2 as w", "'v' is long in the table and double"),
    ("1::integer as v, 2 as w", "'v' is long in the table and integer"),
    ("2 as w, 1::bigint as v", "column 1 is 'v' in the table and 'w'"),
    ("1::bigint as v", "lack the column 'w'"),
    ("1::bigint as v, 2 as w, 3 as x", "the table lacks the column 'x'"),
    ("1::bigint as V, 2 as w", "column 1 is 'v' in the table and 'V'"),
)


def refused(act: Callable[[], object], said: str) -> None:
    """Assert that the act raises a LakeError that says so."""
    try:
        act()
    except LakeError as error:
        assert said in str(error), str(error)
        return
    raise AssertionError(f"nothing was refused, though {said!r}")
