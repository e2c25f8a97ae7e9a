"""What a power cut may leave of a Delta table, put aside: nothing of it was ever acknowledged.

Each commit is durable before it is acknowledged, and before the next one begins. So only what
comes after the last acknowledged version can be torn, and only that is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lichen.adapters.deltalog import Entry, entry, pointed_at, read_entry

Sync = Callable[[Path], None]
LOST = ".lost"  # beside the tables: what was put aside


def mend(
    folder: Path, table: str, kept: int, aside: Path, sync: Sync, why: str | None = None
) -> Iterator[tuple[str, str]]:
    """Put aside what is not whole after the version `kept`; yields (rule, message) of each.

    A version is whole if its entry reads to its end and its files are there in full length. What
    comes after one that is not was never there for anybody, and goes with it. `why` says what is
    wrong with all of them.
    """
    entries = folder / "_delta_log"
    later = sorted(
        v for p in entries.glob("*.json") if p.stem.isdigit() and (v := int(p.stem)) > kept
    )
    broken = why
    moved = []
    for nth, version in enumerate(later, start=kept + 1):
        broken = broken or _broken(folder, table, version, nth)
        if broken:
            moved.append(entry(entries, version))
            yield "log", f"version {version} was never finished, and is put aside: {broken}"
    for path in entries.glob("_commit_*.json.tmp"):  # deltalake writes an entry there first
        moved.append(path)
    lost = {int(path.stem) for path in moved if path.stem.isdigit()}
    for path in entries.glob("*.checkpoint*.parquet"):
        if int(path.name.partition(".")[0]) in lost or not path.stat().st_size:
            moved.append(path)
            yield "checkpoint", f"the checkpoint {path.name} is not whole, and is put aside"
    _put_aside(moved, aside, sync)
    pointer = entries / "_last_checkpoint"
    if pointer.exists() and not any(path.stat().st_size for path in pointed_at(pointer)):
        _put_aside([pointer], aside, sync)
        yield "checkpoint", "the pointer to the last checkpoint led nowhere, and is put aside"


def _broken(folder: Path, table: str, version: int, expected: int) -> str | None:
    if version != expected:
        return f"version {expected} is missing"
    path = entry(folder / "_delta_log", version)
    found: Entry | None = read_entry(path, folder, table)
    if found is None:
        return f"{path.name} is empty or torn"
    if not found.whole:
        return f"{path.name} ends too early"
    for added, size in found.added:
        there = added.stat().st_size if added.exists() else None
        if there != size:
            return (
                f"{added.name} has {there} bytes, not {size}"
                if there is not None
                else (f"{added.name} is missing")
            )
    return None


def _put_aside(paths: list[Path], aside: Path, sync: Sync) -> None:
    if not paths:
        return
    aside.mkdir(parents=True, exist_ok=True)
    for path in paths:
        place = aside / path.name
        nth = 0
        while place.exists():
            nth += 1
            place = aside / f"{path.name}.{nth}"
        path.replace(place)
    for folder in (aside, *{path.parent for path in paths}):
        sync(folder)
