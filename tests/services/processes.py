"""Processes that outlive the one that started them, found again and ended by what was recorded."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.frame import Launch, as_account, run

PATIENCE = 10.0  # seconds for a process to end by itself before it is killed

# Python warns of a child that lives longer than the object that stands for it: ours are meant to.
_CHILDREN: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Process:
    """A process as it can be found again: its id alone may have been given to another."""

    pid: int
    born: str  # its start in clock ticks since boot
    ends_by: int  # number of a signal

    @property
    def alive(self) -> bool:
        return _born(self.pid) == self.born


def spawn(launch: Launch, folder: Path, log: int) -> Process:
    """Start a process in a session of its own; its output goes to the open file `log`."""
    # It outlives us and a Ctrl-C in our terminal, and its group can be ended by one recorded id.
    child = subprocess.Popen(
        as_account(launch.account, launch.argv),
        env={**os.environ, **launch.env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    _CHILDREN.append(child)
    return Process(child.pid, _born(child.pid) or "", launch.ends_by)


def end(processes: Sequence[Process]) -> None:
    """End each process group by its own signal, and kill what has not gone after PATIENCE."""
    alive = [process for process in processes if process.alive]
    for process in alive:
        _signal(process, signal.Signals(process.ends_by))
    deadline = time.monotonic() + PATIENCE
    while any(process.alive for process in alive) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(alive)


def kill(processes: Sequence[Process]) -> None:
    """Kill each process group at once, as a crash of the server would."""
    for process in processes:
        if process.alive:
            _signal(process, signal.SIGKILL)
    while any(process.alive for process in processes):
        time.sleep(0.01)
    for child in _CHILDREN[:]:
        if child.poll() is not None:
            _CHILDREN.remove(child)


def memory(processes: Sequence[Process]) -> int:
    """Return the bytes of the processes and their descendants, shared pages counted once."""
    family, total = {process.pid for process in processes}, 0
    for pid, parent in _parents():  # a child's id is greater than its parent's, save after a wrap
        if parent in family:
            family.add(pid)
    for pid in family:
        with contextlib.suppress(OSError):
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total * 1024


def _parents() -> list[tuple[int, int]]:
    rows = (line.split() for line in run(["ps", "-e", "-o", "pid=,ppid="]).splitlines())
    return sorted((int(pid), int(parent)) for pid, parent in rows)


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _born(pid: int) -> str | None:
    """Return when the process started, or None if it is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else after_name[19]
