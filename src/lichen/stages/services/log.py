"""The service's own log files: one JSON object a line, drained into tables by `run`."""

from __future__ import annotations

from pathlib import Path

from lichen.core.names import Name


def log_folder(folder: Path, service: str) -> Path:
    """Return where a service of a target writes its logs."""
    return folder / "log" / service


def of_table(path: str, table: Name) -> bool:
    """Return whether a log file holds the lines of a table: `predictions-….ndjson` and so on."""
    return path.rpartition("/")[2].startswith(f"{table.kind.value}-")


def log_sizes(folder: Path, service: str) -> dict[str, int]:
    """Return each log file (relative to the target) with the bytes of its complete lines."""
    base = log_folder(folder, service)
    if not base.is_dir():
        return {}
    return {p.relative_to(folder).as_posix(): _complete(p) for p in sorted(base.glob("*.ndjson"))}


def _complete(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
